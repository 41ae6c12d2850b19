"""`doctor --gpu` and `bench kernels --calibrate`: what they say and write, on the emulator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from experiments.gpu import doctor as doctor_gpu
from experiments.gpu import thresholds as gpu_thresholds
from experiments.gpu.timing import Pair, Run, Sizes, event_pairs, neuron_pairs
from spikefuse.errors import BackendError
from spikefuse.kernels.gpu import dispatch, launch, requirements
from spikefuse.kernels.gpu.parity import Mismatch, Target

from .rungs import shared_emulator

TINY = Sizes(3, 2, 40, 12, 6, 3)


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("SPIKEFUSE_GPU_TABLE", str(tmp_path / "gpu.toml"))
    dispatch.forget()
    with launch.using(shared_emulator("in order")):
        yield
    dispatch.forget()


def test_what_is_timed_computes_the_same() -> None:
    for pair in (*event_pairs("cpu", TINY, (0.3,)), *neuron_pairs("cpu", TINY)):
        ours, dense = pair.ours(), pair.dense()
        torch.testing.assert_close(ours.flatten(), dense.flatten(), rtol=1e-4, atol=1e-5)


def test_a_report_holds_parity_times_and_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {name: doctor_gpu.CHECKS[name] for name in ("lif", "products")}

    def wrong(target: Target, case: Any) -> None:
        raise Mismatch("dx must be within 1 of its reference, got 2")

    def broken(target: Target, case: Any) -> None:
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")

    monkeypatch.setattr(doctor_gpu, "CHECKS", checks)
    target = Target(shared_emulator("in order"))
    found = doctor_gpu.examined(target, lambda run: 5.0, TINY, (0.1, 0.2))
    assert found["healthy"] is True
    assert found["parity"] == dict.fromkeys(checks, "as its reference")
    assert {row["name"] for row in found["times"]} >= {"product", "convolution", "lif"}
    assert all(row["ours_us"] == row["dense_us"] == 5.0 for row in found["times"])
    assert found["machine"]["thresholds"]["source"] == "paper estimate"
    json.dumps(found, allow_nan=False)
    monkeypatch.setattr(doctor_gpu, "CHECKS", {"a": (wrong, [1]), "b": (broken, [2])})
    found = doctor_gpu.examined(target, lambda run: 5.0, TINY, ())
    assert found["healthy"] is False
    assert found["parity"]["a"] == "dx must be within 1 of its reference, got 2, at 1"
    assert found["parity"]["b"] == "RuntimeError: CUDA_ERROR_ILLEGAL_ADDRESS, at 2"
    console = Console(record=True, width=200)
    doctor_gpu.render(found, console)
    assert "ILLEGAL_ADDRESS" in console.export_text()


@pytest.mark.parametrize(
    ("event_us", "share"), [(lambda d: 100 * d, 0.02), (lambda d: 9.0, 0.0), (lambda d: 0.1, 0.16)]
)
def test_a_threshold_is_the_last_density_up_to_which_events_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, event_us: Any, share: float
) -> None:
    densities = (0.01, 0.02, 0.04, 0.16)
    timed: dict[int, float] = {}

    def pairs(device: str, sizes: Sizes, given: tuple[float, ...]) -> Iterator[Pair]:
        for density in given:
            for operation in ("product", "conv"):
                ours, dense = (lambda: None), (lambda: 1)
                timed[id(ours)], timed[id(dense)] = event_us(density), 3.0
                kept.extend((ours, dense))
                yield Pair("x", operation, density, ours, dense)

    kept: list[Run] = []
    monkeypatch.setattr(gpu_thresholds, "event_pairs", pairs)
    shares = gpu_thresholds.measured("cpu", lambda run: timed[id(run)], TINY, densities)
    assert shares == {"product": share, "conv": share}
    table = tmp_path / "gpu.toml"
    gpu_thresholds.keep(table, "some GPU", {"product": 0.3, "conv": 0.2})
    gpu_thresholds.keep(table, "host", shares)
    assert set(dispatch.read_table(table)) == {"some GPU", "host"}
    assert dispatch.thresholds_of(torch.device("cpu")).share == shares


def test_without_a_gpu_both_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "missing", lambda: "no NVIDIA driver is loaded: install one")
    console = Console(record=True, width=200)
    assert doctor_gpu.examine_gpu(console) is None
    assert console.export_text() == "gpu: no NVIDIA driver is loaded: install one\n"
    with pytest.raises(BackendError, match="nothing to calibrate: no NVIDIA driver is loaded"):
        gpu_thresholds.calibrate(console)


@pytest.mark.skipif(requirements.missing() is None, reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("command", "code"), [(["doctor", "--gpu"], 1), (["bench", "kernels", "--calibrate"], 2)]
)
def test_the_commands_end_with_one_line_and_no_traceback(command: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    said = (done.stdout + done.stderr).strip()
    assert "\n" not in said
    assert "pip install" in said


@pytest.mark.skipif(requirements.missing() is None, reason="this machine has a GPU")
def test_a_required_gpu_fails_where_there_is_none() -> None:
    here = Path(__file__).with_name("test_on_gpu.py")
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-k", "on_the_gpu and lif", str(here)]
    skipped, failed = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        for more in ([], ["--require-gpu"])
    )
    assert skipped.returncode == 0
    assert "skipped" in skipped.stdout
    assert failed.returncode == 1
    assert "pip install" in failed.stdout
