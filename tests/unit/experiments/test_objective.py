"""Training objectives in the loop: what they change, and that a resumed run is the same."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from tiny_run import learner_of

from experiments.config import Config
from experiments.evaluation.missing import accuracy_without, describe_missing
from experiments.loading.batches import Batch, batches
from experiments.loading.data import PairedData, load_data
from experiments.studies.runs import operations
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.learners import Learner
from experiments.training.loop import train_model
from experiments.training.objective import Objective
from spikefuse.errors import ConfigError
from spikefuse.events import EventStream, MultiStream


def tiny(*more: str) -> Config:
    return tiny_run.tiny("train.epochs=2", *more)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PairedData:
    return load_data(tiny().data, cache_dir=tmp_path_factory.mktemp("cache"))


def run(
    config: Config, data: PairedData, folder: Path, epochs: int | None = None
) -> tuple[Learner, list[dict[str, float]]]:
    """Train, or go on; stop after ``epochs`` as a kill would."""
    learner, records = learner_of(config, data), []

    class Killed(Exception):
        pass

    def on_epoch(record: dict[str, float]) -> None:
        records.append(record)
        if record["epoch"] == epochs:
            raise Killed

    with contextlib.suppress(Killed):
        train_model(learner, data, config, 0, CheckpointFolder(folder), on_epoch)
    return learner, records


def test_a_resumed_run_with_every_objective_is_the_same(data: PairedData, tmp_path: Path) -> None:
    config = tiny(
        "train.modality_dropout=0.5",
        "train.auxiliary_weight=0.3",
        "train.balance=ogm",
        "train.activity_weight=5.0",
    )
    whole, records = run(config, data, tmp_path / "whole")
    run(config, data, tmp_path / "cut", epochs=1)
    resumed, last = run(config, data, tmp_path / "cut")
    assert [r["epoch"] for r in last] == [2]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    skip = {"seconds", "events_per_s"}
    assert {k: v for k, v in records[-1].items() if k not in skip} == {
        k: v for k, v in last[-1].items() if k not in skip
    }
    assert {"gradient_norm_ratio", "rate_vision", "rate_audio", "train_operations"} <= set(last[-1])
    assert not any("heads" in name for name in whole.model.state_dict())


def test_without_objectives_a_step_is_cross_entropy(data: PairedData) -> None:
    config = tiny("train.window_weight=0.0")
    learner = learner_of(config, data)
    objective = Objective(learner, config, 10, 0)
    batch = first_batch(data)
    loss, scores, rates = objective.step(learner, batch, rng(), rng())
    assert torch.equal(loss, torch.nn.functional.cross_entropy(scores, batch.labels))
    assert rates == {}
    assert list(objective.parameters()) == []


def test_a_target_above_what_is_done_costs_nothing(data: PairedData) -> None:
    losses = []
    for target in (1e12, 0.0):
        config = tiny("train.activity_weight=2.0", f"train.activity_target={target}")
        learner = learner_of(config, data)
        learner.model.eval()
        objective = Objective(learner, config, 10, 0)
        losses.append(objective.step(learner, first_batch(data), rng(), rng())[0].item())
    # Without a target the first batch costs the whole weight: it is its own reference.
    assert losses[1] - losses[0] == pytest.approx(2.0, rel=1e-5)


def test_a_price_lowers_the_counted_operations(data: PairedData, tmp_path: Path) -> None:
    found = []
    for weight in (0.0, 100.0):
        learner, _ = run(tiny(f"train.activity_weight={weight}"), data, tmp_path / str(weight))
        found.append(operations(learner, data, "validation").effective_acs)
    assert found[1] < 0.9 * found[0]


def test_heads_at_weight_zero_teach_the_encoders_nothing(data: PairedData) -> None:
    gradients = []
    for options in ([], ["train.balance=ogm"]):
        config = tiny(*options)
        learner = learner_of(config, data)
        objective = Objective(learner, config, 10, 0)
        torch.manual_seed(1)
        loss, _, _ = objective.step(learner, first_batch(data), rng(), rng())
        torch.autograd.backward(loss)
        gradients.append([p.grad for p in learner.model.parameters() if p.grad is not None])
    for plain, probed in zip(*gradients, strict=True):
        assert torch.equal(plain, probed)
    assert all(p.grad is not None for p in objective.parameters() if p.requires_grad)


def test_slower_encoders_take_smaller_steps(data: PairedData) -> None:
    config = tiny("train.balance=ogm", "train.weight_decay=0.0")
    moved = {}
    for rate in (1.0, 0.25):
        learner = learner_of(config, data)
        objective = Objective(learner, config, 10, 0)
        optimizer = torch.optim.AdamW(objective.groups(learner.model), 1e-2, weight_decay=0.0)
        weight = learner.model.encoders["vision"].synapses[0].weight
        before = weight.detach().clone()
        loss, _, _ = objective.step(learner, first_batch(data), rng(), rng())
        torch.autograd.backward(loss)
        objective.update(optimizer, {"vision": rate, "audio": 1.0})
        moved[rate] = (weight.detach() - before).abs().max()
        assert {group["lr"] for group in optimizer.param_groups} == {1e-2}
    torch.testing.assert_close(moved[0.25], 0.25 * moved[1.0], rtol=1e-3, atol=1e-6)


def test_operators_without_encoders_have_no_heads(data: PairedData) -> None:
    config = tiny("model.fusion=early", "train.auxiliary_weight=0.1")
    with pytest.raises(ConfigError, match="auxiliary_weight must be 0"):
        Objective(learner_of(config, data), config, 10, 0)
    unimodal = learner_of(config, data, "snn_audio")
    assert Objective(unimodal, config, 10, 0).heads is None


@pytest.mark.parametrize("fusion", ["concat", "early", "late", "coincidence"])
def test_an_absent_modality_is_an_empty_stream(data: PairedData, fusion: str) -> None:
    config = tiny(f"model.fusion={fusion}")
    learner = learner_of(config, data)
    pairs = data.fixed_pairs["test"]
    (batch,) = batches(data, "test", pairs, len(pairs))
    emptied = [
        MultiStream(
            {
                "vision": s["vision"],
                "audio": EventStream.empty(s["audio"].sensor_size, s["audio"].duration_us, "audio"),
            }
        )
        for s in batch.samples
    ]
    learner.model.eval()
    answers = learner.anytime_scores(emptied, [learner.duration_ms])[-1].argmax(1)
    expected = float((answers == batch.labels).float().mean())
    assert accuracy_without(learner, data, "test", "audio") == pytest.approx(expected)
    described = describe_missing([learner, learner], data, config)
    assert set(described) == {"vision", "audio"}
    assert described["audio"]["accuracy_by_seed"] == [pytest.approx(expected)] * 2
    for found in described["audio"]["energy"].values():
        on, off = found["sensor_on"], found["sensor_off"]
        if on["reason"]:  # the profile cannot price the operator
            assert on["with_sensors_pj"] is None
            continue
        assert off["with_sensors_pj"] < on["with_sensors_pj"]
        assert off["dynamic_pj"] < on["dynamic_pj"]  # the cochlea no longer works on silence


def test_a_unimodal_model_misses_nothing(data: PairedData) -> None:
    assert describe_missing([learner_of(tiny(), data, "snn_audio")], data, tiny()) == {}


def test_modality_dropout_comes_from_seed_and_epoch_alone(
    data: PairedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same samples lose the same modality, whatever else is drawn."""
    seen: list[list[tuple[int, int]]] = []
    inner = Learner.training_scores

    def watched(self, samples, *rest):
        seen[-1] += [(len(s["vision"]), len(s["audio"])) for s in samples]
        return inner(self, samples, *rest)

    monkeypatch.setattr(Learner, "training_scores", watched)
    base = tiny("train.modality_dropout=0.5", "train.epochs=1")
    still = replace(base.train.augment, shift_px=0, time_stretch=0.0, channel_shift=0)
    for drop in (0.0, 0.5):
        train = replace(base.train, augment=replace(still, event_drop=drop))
        seen.append([])
        run(replace(base, train=train), data, tmp_path / str(drop))
    absent = [[(v == 0, a == 0) for v, a in counts] for counts in seen]
    assert absent[0] == absent[1]
    assert {(True, False), (False, True), (False, False)} == set(absent[0])


def first_batch(data: PairedData) -> Batch:
    return next(batches(data, "train", data.epoch_pairs(0, 1, 1), 16))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)
