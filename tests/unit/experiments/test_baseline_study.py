"""The study of dense baselines: small cells, tables, marks."""

import json
from dataclasses import replace

import pytest
import torch

from experiments.config import load_config
from experiments.loading.data import load_data
from experiments.studies.baselines.study import Setting, anytime_counts, study
from experiments.studies.baselines.tables import tables
from experiments.studies.baselines.training import calibration, fit, frame_reader, sum_reader
from experiments.training.learners import build_learner
from spikefuse.baselines import DenseFusion, QNNTwin, n_parameters


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    small = ["data.digits.n_train=60", "data.digits.n_validation=20", "data.digits.n_test=20"]
    config = load_config("demo", small)
    folder = tmp_path_factory.mktemp("cells")
    data = load_data(config.data, cache_dir=folder / "cache")
    model = build_learner("snn", config, data.sensor_sizes, 0).model
    return Setting(config, data, model.spec, n_parameters(model), 1, folder, False)


def test_training_picks_the_best_epoch_and_repeats(setting: Setting) -> None:
    def run() -> float:
        torch.manual_seed(0)
        model = DenseFusion(setting.spec, {"vision": 100.0, "audio": 40.0}, 400.0)
        read = frame_reader(model.modalities, model.frame_ms, 400.0)
        fit(model, read, setting.data, setting.config, 0, 2)
        return float(sum(p.detach().double().sum() for p in model.parameters()))

    assert run() == run()


def test_a_twin_reads_sums_of_at_most_a_spike_a_step(setting: Setting) -> None:
    twin = QNNTwin(setting.spec, 20)
    sums = calibration(sum_reader(twin, 20.0), setting.data, 0, 1)[0]
    assert sums["vision"].max() <= 20
    assert torch.equal(sums["audio"], sums["audio"].round())


def test_answers_by_changes_cost_less(setting: Setting) -> None:
    model = DenseFusion(setting.spec, {"vision": 50.0, "audio": 20.0}, 400.0).eval()
    read = frame_reader(model.modalities, model.frame_ms, 400.0)
    inputs = calibration(read, setting.data, 0, 1)[0]
    work = anytime_counts(model, inputs, setting.config)
    assert work["n_answers"] == 8
    assert work["anytime_delta"] < 0.5 * work["anytime"]


def test_a_stored_cell_is_not_made_again(setting: Setting) -> None:
    assert setting.cell("one", lambda: {"x": 1}) == [{"x": 1}]
    assert setting.cell("one", lambda: {"x": 2}) == [{"x": 1}]
    assert json.loads((setting.folder / "one.json").read_text()) == {"x": 1}


def test_tables_hold_what_there_is() -> None:
    twin = {
        "test": 0.5,
        "bits": 5,
        "n_steps": 20,
        "not_equivalent": ["membranes leak"],
        "n_parameters": 10,
        "macs_effective": 1500.0,
    }
    found = {"operators": {"gru": []}, "frames": [], "sizes": [], "twin": [twin, twin]}
    text = tables(found, 3, [0, 1])
    assert "| 5 bits for 20 steps | 10 | 50.0 (50.0 to 50.0) | 1.5 | not equivalent" in text
    assert "gru" not in text


def test_nothing_is_trained_for_stored_tables(setting: Setting) -> None:
    found = study(replace(setting, stored=True), [7])
    assert not any(found["operators"].values())
    assert found["twin"] == found["sizes"] == found["frames"] == []
