"""Distillation, pruning and training at fewer bits, as a run does them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_run import learner_of, tiny

from experiments.config import Config, load_config
from experiments.evaluation.evaluate import priced
from experiments.evaluation.precision import AtPrecision, aware_in, aware_name
from experiments.evaluation.repricing import _stored
from experiments.loading.batches import batches
from experiments.loading.data import PairedData, load_data
from experiments.run import Silent, run_experiment
from experiments.studies.runs import operations
from experiments.training.distil import teacher_of
from experiments.training.objective import Objective
from experiments.training.prune import prune_learner
from spikefuse.errors import ConfigError
from spikefuse.objectives.distillation import distillation_loss


@pytest.fixture(scope="module")
def config() -> Config:
    return tiny("cost.latency_repeats=3", "models=dense,snn", "train.distil_weight=0.5")


@pytest.fixture(scope="module")
def data(config: Config, tmp_path_factory: pytest.TempPathFactory) -> PairedData:
    return load_data(config.data, cache_dir=tmp_path_factory.mktemp("cache"))


def test_pruning_saves_what_is_counted_in_training_samples(config, data) -> None:
    learner = learner_of(config, data)
    counted = operations(learner, data, "test").effective_acs
    saved = prune_learner(learner, data, 0.5, 0)
    assert 0.5 <= saved < 0.52
    # On other samples, with fewer spikes behind the pruned layer, at least about as much.
    assert operations(learner, data, "test").effective_acs < 0.6 * counted


def test_the_teacher_adds_its_distance_to_the_loss(config, data) -> None:
    snn, dense = learner_of(config, data), learner_of(config, data, "dense")
    teacher = teacher_of(snn, dense, config)
    assert teacher is not None
    (batch,) = batches(data, "train", data.epoch_pairs(0, 1, 1)[:8], 8)
    plain, taught = Objective(snn, config, 10, 0), Objective(snn, config, 10, 0, teacher=teacher)
    snn.model.eval()
    losses = [
        o.step(snn, batch, np.random.default_rng(0), np.random.default_rng(0))[:2]
        for o in (plain, taught)
    ]
    with torch.no_grad():
        answers = dense.anytime_scores(batch.samples, [400.0])[-1]
    expected = 0.5 * distillation_loss(losses[1][1], answers, 2.0)
    assert losses[1][0].item() - losses[0][0].item() == pytest.approx(expected.item(), rel=1e-4)


def test_only_a_spiking_model_of_both_modalities_is_taught(config, data) -> None:
    dense = learner_of(config, data, "dense")
    assert teacher_of(learner_of(config, data, "snn_audio"), dense, config) is None
    assert teacher_of(dense, dense, config) is None
    assert teacher_of(learner_of(config, data), None, config) is None
    assert teacher_of(learner_of(config, data), dense, tiny()) is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.aware_bits=1", "train.aware_bits must be 2 to 8, got 1"),
        ("train.prune_share=1.0", r"train.prune_share must lie in \[0, 1\), got 1.0"),
        ("train.prune_epochs=0", "train.prune_epochs must be positive, got 0"),
        ("train.distil_weight=0.5", "models must name dense before snn"),
        ("train.distil_temperature=0", "train.distil_temperature must be positive, got 0"),
    ],
)
def test_settings_out_of_range_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("demo", [override])


def test_a_run_prunes_then_trains_at_four_bits_and_prices_both(tmp_path: Path) -> None:
    config = tiny(
        "models=dense,snn",
        "train.epochs=2",
        "train.dense_epochs=1",
        "train.distil_weight=0.5",
        "train.prune_share=0.4",
        "train.prune_epochs=1",
        "train.aware_epochs=1",
        "train.aware_bits=4",
        "cost.latency_repeats=3",
    )
    result = run_experiment(config, tmp_path / "run", Silent())
    snn = result["models"]["snn"]
    assert set(snn["accuracy_by_precision"]) == {"fp32", "int8", "int4_aware"}
    at_int8 = snn["energy"]["horowitz_45nm_int8"]
    assert at_int8["precision"] == "int4_aware"
    assert "Weights of int4_aware are charged as words of 8 bits." in at_int8["assumptions"]
    path = next((tmp_path / "run/checkpoints/snn-seed0").glob("best-*.safetensors"))
    from safetensors.torch import load_file

    weights = [w for k, w in load_file(path).items() if "synapse" in k and w.ndim == 2]
    assert sum(int((w == 0).sum()) for w in weights) > 0
    first = json.loads((tmp_path / "run/result.json").read_text())
    again = run_experiment(config, tmp_path / "run", Silent())
    # Read again from its checkpoints, nothing more is pruned.
    assert again["models"]["snn"]["counts"]["exact"] == first["models"]["snn"]["counts"]["exact"]
    from analysis.records import load_run

    assert _stored(load_run(tmp_path / "run"), "snn", "horowitz_45nm_int8")[0] == "int4_aware"


def test_the_model_trained_behind_the_rounding_goes_before_the_rounded_one() -> None:
    assert aware_in(["fp32", "int8", "int4_aware"]) == aware_name(4)
    assert aware_in(["fp32", "int8"]) is None

    held = {"int8": AtPrecision(counts="rounded"), "int8_aware": AtPrecision(counts="a")}
    evaluated = SimpleNamespace(counts="float", by_precision=held)
    assert priced(evaluated, "horowitz_45nm_int8") == ("int8_aware", "a", None)  # type: ignore[arg-type]
