"""What `spikefuse doctor` says about the operations."""

from io import StringIO

import pytest
from rich.console import Console

from experiments.commands.doctor import diagnose, render_diagnosis
from spikefuse.kernels import registry
from spikefuse.kernels.gpu import requirements


def test_every_operation_is_listed_with_the_state_of_every_backend() -> None:
    backends = diagnose()["backends"]
    operations = {
        "bin_events",
        "event_conv2d",
        "event_matmul",
        "fused_layer",
        "lif_scan",
        "li_scan",
        "tally",
    }
    assert operations <= set(backends)
    assert backends["lif_scan"] == {
        "reference": "on",
        "numba": "on",
        "cuda": requirements.missing() or "on",
    }
    assert backends["tally"]["cuda"] == "no cuda kernel of tally"


def test_the_reason_is_printed_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_missing", lambda package: f"{package} is not installed")
    monkeypatch.setattr(requirements, "missing", lambda: "cupy is not installed")
    console = Console(file=StringIO(), width=40)
    render_diagnosis(diagnose(), console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert (
        "  recurrent_lif_scan: reference on; numba numba is not installed; "
        "cuda cupy is not installed"
    ) in lines
