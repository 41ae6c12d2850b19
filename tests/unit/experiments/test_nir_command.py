"""``spikefuse nir`` on small files and a small run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from experiments.cli import app
from spikefuse.errors import ConfigError, DataError
from spikefuse.interop.nir import LossyExportError, load_nir, save_nir
from spikefuse.interop.nir.cases import CASES
from spikefuse.models import FusionSNN
from spikefuse.neurons import LIF, LIFParams
from spikefuse.synapses import EventLinear


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["nir", *args], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def fused(tmp_path: Path) -> Path:
    torch.manual_seed(2)
    model = next(case for case in CASES if case.name == "fusion of two modalities").make()
    save_nir(tmp_path / "fused.nir", model)
    return tmp_path / "fused.nir"


def test_check_prints_every_layer_in_every_library(fused: Path, tmp_path: Path) -> None:
    out = run("check", str(fused), "--rate", "0.2", "--json", str(tmp_path / "out.json"))
    assert "norse: equal" in out
    assert "snntorch: equal" in out
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found["norse"]["layers"]) == {"lif_0", "fusion_lif", "readout"}
    assert found["norse"]["layers"]["lif_0"]["n_spikes"] > 100


def test_check_leaves_with_1_where_a_library_runs_it_differently(tmp_path: Path) -> None:
    net = nn.Sequential(EventLinear(5, 4, 3.0), LIF(4, LIFParams(reset="zero"), 1.0))
    save_nir(tmp_path / "net.nir", net, "snntorch", in_shape=(5,))
    out = run("check", str(tmp_path / "net.nir"), "--rate", "0.3", code=1)
    assert "norse: DIFFERENT" in out
    assert "snntorch: equal" in out


def test_import_prints_layers_and_operations(fused: Path, tmp_path: Path) -> None:
    out = run("import", str(fused), "--json", str(tmp_path / "out.json"))
    assert "fusion_lif" in out
    assert "Operations per sample" in out
    found = json.loads((tmp_path / "out.json").read_text())
    kinds = [layer["kind"] for layer in found["layers"]]
    assert kinds == ["input"] + ["EventLinear", "LIF"] * 2 + ["EventLinear", "LIReadout"]
    assert found["counts"]["totals"]["effective_acs"] > 0


def test_a_damaged_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "bad.nir").write_bytes(b"no network")
    for command in ("check", "import"):
        with pytest.raises(DataError, match="must be a whole NIR file"):
            run(command, str(tmp_path / "bad.nir"))


def test_count_reads_a_file(fused: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = (np.random.default_rng(0).random((30, 2, 148)) < 0.1).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    result = CliRunner().invoke(
        app, ["count", str(fused), "--data", "x.npz", "--json", "out.json"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    found = json.loads(Path("out.json").read_text())
    first = found["by_path"]["layers.synapse_0"]["effective_acs"]
    # Vision's events reach its 12 neurons, audio's its 10.
    assert first == int(x[..., :128].sum()) * 12 + int(x[..., 128:].sum()) * 10


def test_export_writes_the_model_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    model = next(case for case in CASES if case.name == "fusion of two modalities").make()
    assert isinstance(model, FusionSNN)
    opened: list[tuple[object, ...]] = []

    class Config:
        seeds = (7,)

    def open_model(*args: object) -> tuple[FusionSNN, dict[str, object]]:
        opened.append(args)
        return model, {}

    monkeypatch.setattr("experiments.run.load_run_config", lambda run: Config())
    monkeypatch.setattr("experiments.evaluation.opening.open_model", open_model)
    file = tmp_path / "net.nir"
    out = run("export", "RUN", str(file), "--rate", "0.2", "--model", "snn_two")
    assert [line for line in out.splitlines() if "equal" in line] == [
        "the model itself: equal",
        "norse: equal",
        "snntorch: equal",
    ]
    assert opened[0][2:] == ("snn_two", 7)
    assert load_nir(file).joined == {"vision": 128, "audio": 20}
    with pytest.raises(ConfigError, match="profile must be one of"):
        run("export", "RUN", str(file), "--profile", "norse")


def test_export_refuses_a_loss_and_keeps_the_old_file(tmp_path: Path) -> None:
    net = nn.Sequential(EventLinear(5, 4), LIF(4, LIFParams(reset="subtract"), 1.0))
    file = tmp_path / "net.nir"
    file.write_bytes(b"old")
    with pytest.raises(LossyExportError, match="reset by subtraction"):
        save_nir(file, net, in_shape=(5,))
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["net.nir"]
