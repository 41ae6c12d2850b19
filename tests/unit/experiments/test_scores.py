"""Scores of final decisions: kept, and late fusion calibrated on validation pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.records import load_run
from experiments.config import load_config
from experiments.evaluation.scores import (
    FinalScores,
    bounded_temperature,
    calibrate_late,
    final_scores,
)
from experiments.loading.batches import batches
from experiments.loading.data import load_data
from experiments.run import run_experiment
from experiments.training.learners import build_learner
from spikefuse.fusion import LateFusion, fit_temperature

TINY = [
    "data.digits.n_train=40",
    "data.digits.n_validation=20",
    "data.digits.n_test=20",
    "model.vision.convs=[]",
    "model.vision.hidden=8",
    "model.audio.hidden=8",
    "model.fusion_hidden=8",
    "data.dt_ms=50.0",
    "train.epochs=2",
    "train.threads=1",
    "cost.latency_repeats=3",
]


class Silent:
    """A reporter that says nothing."""

    def stage(self, text: str) -> None: ...

    def progress(self, done: int, total: int, text: str) -> None: ...


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPIKEFUSE_CACHE", str(cache))
    return load_config("demo", [*TINY, "models=snn_late,snn_vision", "seeds=[0,1]"])


def test_scores_are_log_probabilities_of_the_answers() -> None:
    scores = FinalScores.from_logits(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    np.testing.assert_allclose(np.exp(scores.log_probs).sum(1), 1)
    assert scores.log_probs[0, 0] == pytest.approx(2 - np.log(1 + np.exp(2)))
    assert scores.accuracy == 0.5


def test_few_right_answers_are_no_reason_for_certainty() -> None:
    right, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    assert fit_temperature(right, labels) < 0.01
    assert bounded_temperature(right, labels) == 0.1
    assert bounded_temperature(right, 1 - labels) == 10
    unsure = torch.tensor([[1.0, 0.0]] * 4)
    assert bounded_temperature(unsure, torch.tensor([0, 0, 0, 1])) == pytest.approx(1 / np.log(3))


def test_late_temperatures_make_each_modality_most_likely_on_validation(config) -> None:
    data = load_data(config.data)
    learner = build_learner("snn_late", config, data.sensor_sizes, 0)
    found = calibrate_late(learner, data)
    fusion = learner.model.fusion
    assert isinstance(fusion, LateFusion)
    [batch] = batches(data, "validation", data.fixed_pairs["validation"], 64)
    with torch.no_grad():
        encoded = learner.model(learner.events(batch.samples)).encoded
        traces, _ = fusion.evidence(encoded)
    for name, trace in traces.items():
        expected = bounded_temperature(trace.mean(0), batch.labels)
        assert found[name] == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(
        fusion.log_temperature.exp().numpy(), [found["vision"], found["audio"]], rtol=1e-6
    )
    # The mean of log softmax(z / T) over steps is mean(z) / T, up to a constant over classes.
    fusion.set_temperature({"vision": 0.5, "audio": 0.2})
    by_hand = traces["vision"].mean(0) / 0.5 + traces["audio"].mean(0) / 0.2
    np.testing.assert_allclose(
        final_scores(learner, data, "validation").log_probs,
        torch.log_softmax(by_hand, 1).numpy(),
        atol=1e-4,
    )
    assert calibrate_late(learner, data)["vision"] == found["vision"]
    assert calibrate_late(build_learner("snn", config, data.sensor_sizes, 0), data) == {}


def test_a_run_keeps_its_scores_and_gives_the_same_again(config, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = run_experiment(config, folder, Silent())
    run = load_run(folder)
    assert run.scores is not None
    assert run.predictions is not None
    for model in config.models:
        entry = first["models"][model]
        right = []
        for seed in config.seeds:
            log_probs = run.scores[f"test.{model}.seed{seed}"]
            assert log_probs.dtype == np.float32
            mine = (run.predictions["model"] == model) & (run.predictions["seed"] == seed)
            np.testing.assert_array_equal(log_probs.argmax(1), run.predictions["prediction"][mine])
            right.append((log_probs.argmax(1) == run.scores["test.labels"]).mean())
        assert right == pytest.approx(entry["accuracy_by_seed"])
        calibration = entry["calibration"]
        assert len(calibration["temperature_by_seed"]) == 2
        temperature = bounded_temperature(
            torch.from_numpy(run.scores[f"validation.{model}.seed1"]),
            torch.from_numpy(run.scores["validation.labels"].astype(np.int64)),
        )
        assert calibration["temperature_by_seed"][1] == pytest.approx(temperature, rel=1e-3)
    assert run.scores["test.pairs"].shape == (len(run.scores["test.labels"]), 2)

    # Evaluated again from the checkpoints, fitted temperatures included: the same to the bit.
    again = run_experiment(config, folder, Silent())
    assert again["models"]["snn_late"]["calibration"] == first["models"]["snn_late"]["calibration"]
    assert again["models"]["snn_late"]["anytime"] == first["models"]["snn_late"]["anytime"]
    scores = load_run(folder).scores
    assert scores is not None
    for name, values in run.scores.items():
        np.testing.assert_array_equal(values, scores[name])
