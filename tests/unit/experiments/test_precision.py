"""Accuracy, counts and energy at the precision that a profile prices."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_run import tiny

from experiments.config import Config, load_config
from experiments.evaluation.evaluate import Evaluation, describe_energy, evaluate, priced
from experiments.evaluation.precision import (
    AWARE,
    at_precision,
    precision_of,
    precisions_of,
    train_aware,
)
from experiments.evaluation.results import _describe_precisions
from experiments.loading.batches import batches
from experiments.loading.data import PairedData, load_data
from experiments.run import run_experiment
from experiments.training.learners import Learner, build_learner
from spikefuse.errors import ConfigError
from spikefuse.neurons import FixedFormat

LOIHI, INT8, FP32 = "loihi1_davies2018", "horowitz_45nm_int8", "horowitz_45nm_fp32"


@pytest.fixture(scope="module")
def config() -> Config:
    return tiny("train.aware_epochs=2", "cost.latency_repeats=3")


@pytest.fixture(scope="module")
def data(config: Config, tmp_path_factory: pytest.TempPathFactory) -> PairedData:
    return load_data(config.data, cache_dir=tmp_path_factory.mktemp("cache"))


def learner_of(config: Config, data: PairedData, name: str) -> Learner:
    return build_learner(name, config, data.sensor_sizes, 0, len(data.classes))


@pytest.fixture(scope="module")
def evaluated(config: Config, data: PairedData) -> dict[str, tuple[Learner, Evaluation]]:
    learners = {name: learner_of(config, data, name) for name in ("snn", "dense")}
    return {name: (one, evaluate(one, data, config)) for name, one in learners.items()}


@pytest.mark.parametrize(
    ("profile", "name", "form"),
    [
        (FP32, "fp32", None),
        (INT8, "int8", FixedFormat(8, 24)),
        (LOIHI, "int8", FixedFormat(8, 24)),
        ("yan2024_22nm", "int8_state16", FixedFormat(8, 16)),
        ("cpu_degnan2015", "fp32", None),
    ],
)
def test_a_profile_says_what_it_prices(profile: str, name: str, form: FixedFormat | None) -> None:
    assert precision_of(profile) == (name, form)


def test_each_precision_is_evaluated_once(config: Config) -> None:
    assert precisions_of(config) == {"int8": FixedFormat(8, 24)}


@pytest.mark.parametrize("name", ["snn", "dense"])
def test_whole_numbers_have_answers_and_counts_of_their_own(name: str, evaluated, config) -> None:
    learner, evaluation = evaluated[name]
    whole = evaluation.by_precision["int8"]
    assert whole.reason is None
    assert len(whole.predictions) == len(evaluation.labels)
    assert whole.counts.n_samples == evaluation.counts.n_samples
    assert whole.counts.by_path.keys() == evaluation.counts.by_path.keys()
    assert (whole.predictions == evaluation.predictions).mean() > 0.7
    assert priced(evaluation, FP32) == ("fp32", evaluation.counts, None)
    assert priced(evaluation, INT8) == ("int8", whole.counts, None)
    found = describe_energy(learner, evaluation, config)
    assert [found[p]["precision"] for p in (FP32, INT8, LOIHI)] == ["fp32", "int8", "int8"]


def test_the_spiking_model_pays_for_the_spikes_of_its_whole_numbers(evaluated, config) -> None:
    learner, evaluation = evaluated["snn"]
    whole = evaluation.by_precision["int8"].counts
    assert whole.spikes_fired != evaluation.counts.spikes_fired
    silent = replace(evaluation, by_precision={})
    with_own = describe_energy(learner, evaluation, config)[INT8]["dynamic_pj"]
    assert describe_energy(learner, silent, config)[INT8]["dynamic_pj"] != with_own
    again = replace(silent, counts=whole)
    assert describe_energy(learner, again, config)[INT8]["dynamic_pj"] == with_own


def test_a_model_without_twin_is_priced_by_its_float_counts_and_says_so(data, config) -> None:
    gated = replace(config, model=replace(config.model, fusion="uncertainty_gate"))
    learner = learner_of(gated, data, "snn")
    evaluation = evaluate(learner, data, gated)
    assert evaluation.by_precision["int8"].predictions is None
    estimate = describe_energy(learner, evaluation, gated)[INT8]
    assert estimate["precision"] == "fp32"
    assert "got 'uncertainty_gate'" in estimate["assumptions"][-1]
    described = _describe_precisions([evaluation], data)
    assert described["int8"]["accuracy"] is None
    assert "uncertainty_gate" in described["int8"]["reason"]
    assert described["fp32"]["accuracy"] == evaluation.accuracy


@pytest.mark.parametrize("name", ["snn", "dense"])
def test_training_on_at_eight_bits_resumes_and_goes_before_rounding(
    name: str, evaluated, data: PairedData, config: Config, tmp_path: Path
) -> None:
    learner, _ = evaluated[name]
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    records: list[dict[str, float]] = []
    aware = train_aware(learner, data, config, 0, tmp_path, records.append)
    again = train_aware(learner, data, config, 0, tmp_path, records.append)
    assert [r["epoch"] for r in records] == [1, 2]
    assert all(bool((v == before[k]).all()) for k, v in learner.model.state_dict().items())
    evaluation = evaluate(learner, data, config, 0, aware)
    assert priced(evaluation, INT8)[0] == AWARE
    answers = evaluate(learner, data, config, 0, again).by_precision[AWARE].predictions
    assert np.array_equal(evaluation.by_precision[AWARE].predictions, answers)
    described = _describe_precisions([evaluation], data)
    assert set(described) == {"fp32", "int8", AWARE}
    assert described[AWARE]["accuracy"] == (answers == evaluation.labels).mean()


def test_wider_membranes_than_those_evaluated_change_nothing(data, config) -> None:
    learner = learner_of(config, data, "snn")
    samples = next(batches(data, "test", data.fixed_pairs["test"], 16)).samples
    answers = [
        at_precision(learner, FixedFormat(8, bits), data, 0).anytime_scores(samples, [400.0])
        for bits in (24, 32)
    ]
    assert bool((answers[0] == answers[1]).all())


def test_negative_epochs_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.aware_epochs must be >= 0, got -1"):
        load_config("demo", ["train.aware_epochs=-1"])


def test_a_dense_model_that_cannot_be_rounded_says_why(config, data, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("calibration must reach every layer, got no input for ['a']")

    monkeypatch.setattr("experiments.evaluation.precision.quantised", refuse)
    learner = learner_of(config, data, "dense")
    with pytest.raises(ConfigError, match=r"dense has no whole-number twin: calibration must"):
        at_precision(learner, FixedFormat(), data, 0)
    assert "calibration" in str(evaluate(learner, data, config).by_precision["int8"].reason)


class Silent:
    def stage(self, text: str) -> None: ...

    def progress(self, done: int, total: int, text: str) -> None: ...


def test_a_run_prices_the_model_that_was_trained_on(config, data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("experiments.run.load_data", lambda *_: data)
    short = replace(config, models=("snn",), train=replace(config.train, epochs=1))
    model = run_experiment(short, tmp_path / "run", Silent())["models"]["snn"]
    assert set(model["accuracy_by_precision"]) == {"fp32", "int8", AWARE}
    assert model["accuracy_by_precision"]["fp32"]["interval"] == model["accuracy_interval"]
    for profile, precision in ((FP32, "fp32"), (INT8, AWARE), (LOIHI, AWARE)):
        estimate = model["energy"][profile]
        assert estimate["precision"] == precision
        at = model["accuracy_by_precision"][precision]
        assert (estimate["accuracy"], estimate["accuracy_interval"]) == (
            at["accuracy"],
            at["interval"],
        )
    assert (tmp_path / "run" / "checkpoints" / f"snn-seed0-{AWARE}").is_dir()
