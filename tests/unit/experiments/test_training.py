"""Training: schedule, patience, what stops it, what it goes on from, padding that never counts."""

import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from tiny_run import learner_of

from experiments.config import Config, TrainConfig
from experiments.loading.batches import batches
from experiments.loading.data import PairedData, load_data
from experiments.training import checkpoints
from experiments.training import loop as training
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.guard import NotFiniteError
from experiments.training.learners import Learner
from experiments.training.loop import Score, train_model
from experiments.training.objective import Objective
from experiments.training.schedule import learning_rate_scale
from spikefuse.errors import ConfigError
from spikefuse.events import EVENT_DTYPE, EventStream, MultiStream
from spikefuse.models import running_mean


def tiny(*more: str) -> Config:
    return tiny_run.tiny("train.epochs=2", "train.batch_size=16", *more)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PairedData:
    return load_data(tiny().data, cache_dir=tmp_path_factory.mktemp("cache"))


def run(
    config: Config,
    data: PairedData,
    folder: Path,
    name: str = "snn",
    prepare: Callable[[Learner], None] = lambda _: None,
) -> tuple[Learner, list[dict]]:
    learner, records = learner_of(config, data, name), []
    prepare(learner)
    train_model(learner, data, config, 0, CheckpointFolder(folder), records.append)
    return learner, records


def same_weights(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_the_schedule_is_a_function_of_the_place_alone() -> None:
    cosine, constant = TrainConfig(), TrainConfig(schedule="constant", warmup_epochs=2.0)
    assert learning_rate_scale(cosine, 1, 10, 0.1) == 1.0
    assert learning_rate_scale(cosine, 6, 10, 1.0) == pytest.approx(0.5)
    assert learning_rate_scale(cosine, 100, 100, 1.0) == 0.02
    rise = [learning_rate_scale(constant, e, 10, f) for e in (1, 2, 3) for f in (0.5, 1.0)]
    assert rise == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_training_ends_when_patience_is_lost(
    data: PairedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.5, 0.7, 0.7, 0.6, 0.9, 0.9])
    monkeypatch.setattr(training, "evaluate_pairs", lambda *_: Score(1.0, next(accuracies)))
    config = tiny("train.epochs=6", "train.patience_epochs=2")
    _, records = run(config, data, tmp_path)
    assert [r["epoch"] for r in records] == [1, 2, 3, 4]
    assert CheckpointFolder(tmp_path).load_progress().best_epoch == 2
    _, again = run(config, data, tmp_path)
    assert again == []  # a resumed run knows that it had ended


def test_gradients_longer_than_the_norm_are_cut(
    data: PairedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[float] = []
    inner = Objective.update

    def watched(self, optimizer, rates):
        parts = [p.grad.norm() for g in optimizer.param_groups for p in g["params"]]
        lengths.append(float(torch.stack(parts).norm()))
        return inner(self, optimizer, rates)

    monkeypatch.setattr(Objective, "update", watched)
    for clip in (0.0, 0.01):
        run(tiny("train.epochs=1", f"train.clip_norm={clip}"), data, tmp_path / str(clip))
    n = len(lengths) // 2
    assert min(lengths[:n]) > 0.01
    assert lengths[n:] == pytest.approx([0.01] * n, rel=1e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("train.patience_epochs=-1", "train.patience_epochs must be >= 0"),
        ("train.clip_norm=-0.1", "train.clip_norm must be >= 0"),
        ("train.warmup_epochs=inf", "train.warmup_epochs must be >= 0 and finite"),
        ("train.schedule=step", "train.schedule is wrong"),
    ],
)
def test_settings_out_of_range_are_named(wrong: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny(wrong)


def test_settings_that_exclude_each_other_are_named() -> None:
    for other in ("patience_epochs", "checkpoint_steps", "tbptt_steps"):
        with pytest.raises(ConfigError, match=f"{other} must be 0 with train.activity_weight"):
            tiny("train.activity_weight=1.0", f"train.{other}=3")
    with pytest.raises(ConfigError, match="must be a multiple"):
        tiny("train.checkpoint_steps=4", "train.tbptt_steps=6")


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize(
    ("name", "layer"),
    [("snn", "encoders.audio.synapses.0"), ("snn", "readout_synapse"), ("dense", "")],
)
def test_a_weight_that_is_not_finite_stops_training_by_name(
    data: PairedData, tmp_path: Path, name: str, layer: str, value: float
) -> None:
    config = tiny("train.dense_epochs=2")
    run(replace(config, train=replace(config.train, epochs=1, dense_epochs=1)), data, tmp_path,
        name)  # fmt: skip
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def poison(folder: CheckpointFolder, *given) -> None:
        partial = inner(folder, *given)
        model = given[0]
        module = model.get_submodule(layer) if layer else [*model.modules()][-1]
        with torch.no_grad():
            next(module.parameters()).view(-1)[0] = value
        return partial

    inner = CheckpointFolder.restore
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointFolder, "restore", poison)
        with pytest.raises(NotFiniteError) as caught:
            run(config, data, tmp_path, name)
    said = str(caught.value)
    assert f"weight of layer {layer}" in said
    assert f"{name}, seed 0, epoch 2, batch 1 of 3" in said
    assert "first sample: vision" in said
    assert "\n" not in said
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    _, records = run(config, data, tmp_path, name)  # and the good epoch goes on
    assert [r["epoch"] for r in records] == [2]


def test_an_output_that_is_not_finite_names_the_first_layer(
    data: PairedData, tmp_path: Path
) -> None:
    def plant(learner: Learner) -> None:
        layer = learner.model.get_submodule("readout")
        layer.register_forward_hook(lambda _, __, out: (out[0] * math.nan, out[1]))

    with pytest.raises(NotFiniteError, match="output of layer readout in snn, seed 0, epoch 1"):
        run(tiny(), data, tmp_path, prepare=plant)


def test_a_gradient_that_is_not_finite_names_its_layer(data: PairedData, tmp_path: Path) -> None:
    def plant(learner: Learner) -> None:
        weight = learner.model.get_submodule("encoders.audio.synapses.0").weight
        weight.register_hook(lambda grad: grad * math.inf)

    with pytest.raises(
        NotFiniteError, match=r"gradient of weight of layer encoders.audio.synapses.0"
    ):
        run(tiny(), data, tmp_path, prepare=plant)


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_an_interrupt_finishes_the_batch_and_goes_on_from_there(
    data: PairedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    config = tiny("train.modality_dropout=0.5", "train.auxiliary_weight=0.3", "train.balance=ogm")
    whole, records = run(config, data, tmp_path / "whole")
    inner, steps = Objective.step, []

    def interrupted(self, *given):
        steps.append(1)
        if len(steps) == batch:
            os.kill(os.getpid(), signal.SIGINT)
        return inner(self, *given)

    monkeypatch.setattr(Objective, "step", interrupted)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(config, data, tmp_path / "cut")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(steps) == batch
    assert len(list((tmp_path / "cut").glob("part-*"))) == 1
    resumed, rest = run(config, data, tmp_path / "cut")
    assert len(steps) == 6  # two epochs of three batches, none twice
    same_weights(whole.model, resumed.model)
    timed = {"seconds", "events_per_s"}
    for record, expected in zip(rest, records[-len(rest) :], strict=True):
        assert {k: v for k, v in record.items() if k not in timed} == {
            k: v for k, v in expected.items() if k not in timed
        }
    assert not list((tmp_path / "cut").glob("part-*"))


def test_drafts_of_a_killed_process_are_removed(data: PairedData, tmp_path: Path) -> None:
    run(tiny("train.epochs=1"), data, tmp_path)
    (tmp_path / ".epoch-0002.draft").mkdir()
    (tmp_path / ".epoch-0002.draft" / "weights.safetensors").write_bytes(b"half")
    (tmp_path / ".best-0002.safetensors.x1y2z3a4").write_bytes(b"half")
    run(tiny(), data, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["epoch-0002", *(p.name for p in tmp_path.glob("best-*"))]
    )


@pytest.mark.parametrize("settings", [["train.checkpoint_steps=4"], ["train.tbptt_steps=5"]])
def test_a_model_trains_in_chunks(data: PairedData, tmp_path: Path, settings: list[str]) -> None:
    plain, first = run(tiny("train.epochs=1"), data, tmp_path / "plain")
    chunked, second = run(tiny("train.epochs=1", *settings), data, tmp_path / "chunked")
    differences = [
        float((a - b).detach().abs().max())
        for a, b in zip(plain.model.parameters(), chunked.model.parameters(), strict=True)
    ]
    if "checkpoint" in settings[0]:  # the same gradients, added up in another order
        assert max(differences) < 1e-3
        assert second[0]["train_loss"] == pytest.approx(first[0]["train_loss"], rel=1e-4)
    else:
        assert max(differences) > 1e-3


def test_evidence_stops_where_padding_begins() -> None:
    scores = torch.tensor([[1.0], [3.0], [5.0], [math.nan]])[:, :, None]
    found = running_mean(scores, torch.tensor([2]))
    assert found[:, 0, 0].tolist() == [1.0, 2.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="n_valid must be"):
        running_mean(scores, torch.tensor([0]))


def sample_of(recorded_us: int | None, padding: bool) -> MultiStream:
    """200 ms of events, and in the padding a burst that no recording holds."""
    rng = np.random.default_rng(3)

    def stream(name: str, size: tuple[int, int, int]) -> EventStream:
        events = np.zeros(400, EVENT_DTYPE)
        events["t"] = np.sort(rng.integers(0, 200_000, 400))
        events["x"] = rng.integers(0, size[0], 400)
        if padding:
            late = events.copy()
            late["t"] += 200_000
            events = np.concatenate([events, late])
        return EventStream(events, size, 400_000, name)

    streams = {"vision": stream("vision", (34, 34, 2)), "audio": stream("audio", (64, 1, 1))}
    return MultiStream(streams, 3, recorded_us=recorded_us)


def test_padding_changes_neither_answer_nor_gradient(data: PairedData) -> None:
    sizes = data.sensor_sizes
    assert sizes["vision"] == (34, 34, 2)
    learner = learner_of(tiny("train.mask_padding=true"), data)
    learner.model.eval()
    found = []
    for padding in (False, True):
        sample = sample_of(200_000, padding)
        out = learner.training_scores([sample], (), np.random.default_rng(0))
        learner.model.zero_grad()
        out.final[0, 3].backward()
        gradients = [p.grad for p in learner.model.parameters() if p.grad is not None]
        found.append([out.final, learner.anytime_scores([sample], [400.0])[-1], *gradients])
    for clean, padded in zip(*found, strict=True):
        torch.testing.assert_close(clean, padded, rtol=1e-5, atol=1e-7)
    unmasked = replace(learner, mask_padding=False)
    answers = [unmasked.anytime_scores([sample_of(200_000, p)], [400.0]) for p in (False, True)]
    assert not torch.allclose(*answers, rtol=1e-2)


def test_pairs_know_when_their_last_recording_ends(data: PairedData) -> None:
    pairs = data.fixed_pairs["test"]
    for batch, pair in zip(batches(data, "test", pairs, 1), pairs, strict=True):
        chosen = [items[i] for items, i in zip(data.splits["test"].values(), pair, strict=True)]
        longest = max(r.stream.duration_us for r in chosen)
        assert batch.samples[0].recorded_us == min(longest, 400_000)


def test_activity_is_spikes_of_a_neuron_per_sample(data: PairedData) -> None:
    learner = learner_of(tiny(), data)
    learner.model.eval()
    (batch,) = [next(batches(data, "test", data.fixed_pairs["test"], 4))]
    out = learner.model(learner.events(batch.samples))
    spikes = out.hidden.sum() + sum(x.sum() for x in out.encoded.values())
    said = learner.training_scores(batch.samples, (), np.random.default_rng(0)).spikes_per_neuron
    assert said == pytest.approx(float(spikes) / (4 * 30))
    late = learner_of(tiny(), data, "snn_late")
    late.model.eval()
    out = late.model(late.events(batch.samples))
    said = late.training_scores(batch.samples, (), np.random.default_rng(0)).spikes_per_neuron
    assert said == pytest.approx(float(out.hidden.sum()) / (4 * 20))


class Killed(BaseException):
    """Stands for a signal that nothing can catch."""


# Five files for an epoch that is the best so far, then the rename that makes them an epoch.
@pytest.mark.parametrize("moment", ["write 1", "write 3", "write 5", "write 6", "write 7",
                                    "write 9", "before rename 2", "after rename 2"])  # fmt: skip
def test_killed_while_it_saves_training_goes_on_as_if_never(
    data: PairedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    whole, records = run(tiny(), data, tmp_path / "whole")
    *when, what, number = moment.split()
    done = 0
    write, rename = checkpoints.write_bytes, Path.rename

    def dying_write(path: Path, content: bytes) -> None:
        nonlocal done
        done += what == "write"
        if what == "write" and done == int(number):
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / f".{path.name}.x1y2z3a4").write_bytes(content[: len(content) // 2])
            raise Killed
        write(path, content)

    def dying_rename(path: Path, target: Path) -> Path:
        nonlocal done
        done += what == "rename"
        dies = what == "rename" and done == int(number)
        if dies and when == ["before"]:
            raise Killed
        moved = rename(path, target)
        if dies:
            raise Killed
        return moved

    folder = tmp_path / "cut"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_bytes", dying_write)
        patch.setattr(Path, "rename", dying_rename)
        with pytest.raises(Killed):
            run(tiny(), data, folder)
    reached = CheckpointFolder(folder).load_progress().epoch
    lost = {"write 1": 0, "write 3": 0, "write 5": 0, "after rename 2": 2}
    assert reached == lost.get(moment, 1)
    resumed, rest = run(tiny(), data, folder)
    assert [r["epoch"] for r in rest] == list(range(reached + 1, 3))
    same_weights(whole.model, resumed.model)
    history = CheckpointFolder(folder).load_progress().history
    timed = {"seconds", "events_per_s"}
    assert history == [{k: v for k, v in r.items() if k not in timed} for r in records]
    assert not [p for p in folder.rglob("*") if p.name.startswith(".")]
    assert [p.name for p in folder.glob("epoch-*")] == ["epoch-0002"]  # nothing that it replaced
