"""Modalities beyond vision and audio, added by configuration alone."""

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from analysis.figures.energy import energy_by_part
from analysis.report import write_report
from experiments.config import Config, load_config, to_toml
from experiments.loading.data import load_data
from experiments.run import run_experiment
from sensors.files import write_events
from sensors.tactile import TactileParams, build_tactile
from spikefuse.errors import ConfigError, DataError

WITH_TOUCH = """
name = "with touch"
models = ["snn", "snn_tactile", "dense"]

[data]
duration_ms = 200.0
dt_ms = 20.0
digits = {n_train = 20, n_validation = 10, n_test = 10, voices = 2}

[data.modalities.tactile]
source = "tactile"
tactile = {n_train = 20, n_validation = 10, n_test = 10, fingers = 2, side = 4, duration_ms = 200.0}

[model]
fusion = "OPERATOR"
fusion_hidden = 12
vision = {hidden = 8}
audio = {hidden = 8, delays_ms = [0.0, 40.0]}

[model.modalities.tactile]
hidden = 6
delays_ms = [0.0, 20.0]

[train]
epochs = 1
dense_epochs = 1
threads = 1

[cost]
windows_ms = [100.0]
latency_repeats = 3
frame_ms = {tactile = 40.0}
"""


class Quiet:
    """Says nothing."""

    def stage(self, text: str) -> None: ...

    def progress(self, done: int, total: int, text: str) -> None: ...


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEFUSE_CACHE", str(tmp_path_factory.getbasetemp() / "modalities-cache"))


def configured(folder: Path, text: str, *overrides: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return load_config(str(path), overrides)


@pytest.mark.parametrize("operator", ["concat", "latent", "cross_synapse"])
def test_a_third_modality_by_configuration_alone(operator: str, tmp_path: Path) -> None:
    config = configured(tmp_path, WITH_TOUCH.replace("OPERATOR", operator))
    assert tomllib.loads(to_toml(config))["model"]["modalities"]["tactile"]["hidden"] == 6
    assert configured(tmp_path, to_toml(config)) == config
    folder = tmp_path / "run"
    run_experiment(config, folder, Quiet())
    result = json.loads((folder / "result.json").read_text())
    models = result["models"]
    assert models["snn"]["modalities"] == ["vision", "audio", "tactile"]
    assert models["dense"]["modalities"] == ["vision", "audio", "tactile"]
    assert models["snn_tactile"]["modalities"] == ["tactile"]
    paths = models["snn"]["counts"]["by_path"]
    touched = {name: row for name, row in paths.items() if "tactile" in name}
    assert any(name.startswith("encoders.tactile.") for name in touched)
    assert any(not name.startswith("encoders.") for name in touched)  # the operator reads it too
    assert sum(row["effective_acs"] for row in touched.values()) > 0
    alone = models["snn_tactile"]["counts"]["by_path"]
    assert not any("vision" in name or "audio" in name for name in alone)
    assert 0 <= models["snn_tactile"]["accuracy"] <= 1
    counted = result["data"]["counts"]["test"]["tactile"]
    assert (counted["recordings"], counted["groups"] <= 1) == (10, True)
    assert any("tactile" in line for line in result["data"]["attribution"])
    assert "fused_beats_unimodal" in result["comparison"]
    for estimate in models["snn"]["energy"].values():
        assert estimate["with_sensors_pj"] is None
        assert "tactile" in estimate["reasons"]["with_sensors_pj"]
    with (folder / "predictions.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert all(row["tactile_source"].startswith("test-contact-") for row in rows)
    assert {row["tactile_group"] for row in rows} == {"test-finger-0"}
    parts = energy_by_part(dict.fromkeys(paths, 1.0))
    assert {"tactile encoder", "vision encoder"} <= set(parts)
    assert sum(parts.values()) == len(paths)
    assert "SNN tactile only" in write_report([folder], folder / "report.html").read_text()
    with np.load(folder / "scores.npz") as scores:
        assert scores["modalities"].tolist() == ["vision", "audio", "tactile"]


def test_a_modality_from_a_folder_of_event_files(tmp_path: Path) -> None:
    params = TactileParams(n_train=20, n_validation=10, n_test=10, fingers=2, side=4)
    for item in build_tactile(params, 10, "anything"):
        folder = tmp_path / "touch" / str(item.split) / str(item.label)
        folder.mkdir(parents=True, exist_ok=True)
        finger = item.group.replace("_", "-")
        write_events(folder / f"{finger}_{item.source}.npz", item.stream)
    text = WITH_TOUCH.replace("OPERATOR", "concat").replace(
        'source = "tactile"', f'source = "files"\nroot = "{tmp_path / "touch"}"'
    )
    data = load_data(configured(tmp_path, text).data)
    assert list(data.splits["test"]) == ["vision", "audio", "tactile"]
    assert data.sensor_sizes["tactile"] == (4, 4, 1)
    assert {r.stream.modality for r in data.splits["train"]["tactile"]} == {"tactile"}
    assert {r.group for r in data.splits["test"]["tactile"]} == {"test-finger-0"}
    for pair in data.fixed_pairs["test"]:
        parts = data.splits["test"]
        labels = {parts[m][i].label for m, i in zip(parts, pair, strict=True)}
        assert len(labels) == 1
    (tmp_path / "touch" / "test" / "11").mkdir()
    with pytest.raises(DataError, match=r"must hold folders of the classes.*got '11'"):
        load_data(configured(tmp_path, text).data)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.modalities.tactile.hiden=3", "nearest valid key"),
        ("data.modalities.tactile.tactile.sid=3", "'data.modalities.tactile.tactile.side'"),
        ("data.modalities.tactile.tactile.side=0", "side must be >= 1, got 0"),
        ("data.modalities.tactile.source=video", "data.modalities.tactile.source is wrong"),
        ("data.modalities.tactile.source=files", "root must be a folder with source"),
        ("data.modalities.late={}", r"other than \['vision', .*\], got 'late'"),
        ("model.modalities.taste={}", r"must be of data.modalities \['tactile'\], got 'taste'"),
        ("cost.frame_ms.smell=3.0", r"cost.frame_ms must be of data.modalities"),
        ("cost.frame_ms.tactile=0.0", "cost.frame_ms.tactile must be positive, got 0"),
        ("model.modalities.tactile.delays_ms=[3.0]", "model.modalities.tactile.delays_ms must be"),
        ("models=snn_taste", "got 'snn_taste'"),
        ("data.modalities=3", "data.modalities"),
    ],
)
def test_wrong_keys_and_values_are_named(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        configured(tmp_path, WITH_TOUCH.replace("OPERATOR", "concat"), override)
