"""``spikefuse neurobench`` on a small model and a stand-in for its run."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from experiments.cli import app
from experiments.commands import neurobench as command
from spikefuse.errors import ConfigError
from spikefuse.interop.nir.cases import CASES

pytest.importorskip("neurobench", reason="NeuroBench is not installed: spikefuse[peers]")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    torch.manual_seed(2)
    model = next(case for case in CASES if case.name == "fusion of two modalities").make()
    config = SimpleNamespace(seeds=(7,), train=SimpleNamespace(mask_padding=False))
    result = {
        "models": {
            "snn": {
                "energy": {"one": {"dynamic_pj": 2e6}, "other": {"dynamic_pj": None}},
                "latency": {"p50_ms": 12.5},
            }
        }
    }
    inputs = {
        "vision": (torch.rand(10, 6, 128) < 0.2).float(),
        "audio": (torch.rand(10, 6, 20) < 0.4).float(),
    }
    monkeypatch.setattr("experiments.run.load_run_config", lambda run: config)
    monkeypatch.setattr(
        "experiments.evaluation.opening.open_model", lambda *args: (model.eval(), result)
    )
    monkeypatch.setattr(command, "_test_pairs", lambda *args: (inputs, torch.arange(6) % 4))
    return config


def test_energy_and_latency_stand_beside_its_results(
    stand_in: SimpleNamespace, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    result = CliRunner().invoke(
        app, ["neurobench", "RUN", "--json", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert found["beside"]["energy_pj_by_profile"] == {"one": 2e6, "other": None}
    assert found["beside"]["latency_p50_ms"] == 12.5
    assert not {"energy", "latency"} & {key.lower() for key in found["neurobench"]}
    assert found["row"]["Eff_ACs"] > 100
    assert found["seed"] == 7
    assert "not priced" in result.output


def test_masked_padding_is_refused(stand_in: SimpleNamespace) -> None:
    stand_in.train.mask_padding = True
    with pytest.raises(ConfigError, match="mask_padding"):
        CliRunner().invoke(app, ["neurobench", "RUN"], catch_exceptions=False)
