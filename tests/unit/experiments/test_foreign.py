"""Networks of one's own as learners: how they are called, asked, counted and refused."""

import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_run import tiny
from torch import Tensor, nn

from experiments.config import Config
from experiments.evaluation.evaluate import evaluate
from experiments.loading.batches import batches
from experiments.loading.data import PairedData, load_data
from experiments.training.foreign import Foreign
from spikefuse.errors import ConfigError

N_VISION, N_AUDIO, N_CLASSES = 34 * 34 * 2, 64, 10


class Sums(nn.Module):
    """Two inputs of one step; its answer is linear in the events."""

    def __init__(self) -> None:
        super().__init__()
        self.vision = nn.Linear(N_VISION, N_CLASSES, bias=False)
        self.audio = nn.Linear(N_AUDIO, N_CLASSES, bias=False)

    def forward(self, vision: Tensor, audio: Tensor) -> Tensor:
        out: Tensor = self.vision(vision.flatten(1)) + self.audio(audio.flatten(1))
        return out


class Whole(Sums):
    """The same of a whole sample, by steps; of a mapping."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        out: Tensor = self.vision(inputs["vision"].flatten(2))
        return out + self.audio(inputs["audio"].flatten(2))


class Once(Sums):
    """One answer for the whole sample."""

    def forward(self, vision: Tensor, audio: Tensor) -> Tensor:
        out: Tensor = self.vision(vision.sum(0).flatten(1)) + self.audio(audio.sum(0).flatten(1))
        return out


class Remembering(nn.Module):
    """A leaky sum whose state goes in and out, as Norse's do."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(N_AUDIO, N_CLASSES, bias=False)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        now: Tensor = self.read(x.flatten(1)) + (0.0 if state is None else 0.5 * state)
        return now, now


class NotANumber(Sums):
    def forward(self, vision: Tensor, audio: Tensor) -> Tensor:
        return super().forward(vision, audio) * math.nan


class Silent(nn.Module):
    def forward(self, vision: Tensor, audio: Tensor) -> Tensor:
        return torch.zeros(vision.shape[1], N_CLASSES)


@pytest.fixture(scope="module")
def config() -> Config:
    return tiny("cost.latency_repeats=3", "train.epochs=1")


@pytest.fixture(scope="module")
def data(config: Config, tmp_path_factory: pytest.TempPathFactory) -> PairedData:
    return load_data(config.data, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("nets_of_mine")
    for kind in (Sums, Whole, Once, Remembering, NotANumber, Silent):
        setattr(made, kind.__name__.lower(), kind)
    made.wrong = lambda: nn.Linear(3, 2)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nets_of_mine", made)
    return made


def learner_of(net: str, config: Config, data: PairedData, **options):  # type: ignore[no-untyped-def]
    return Foreign(f"nets_of_mine:{net}", **options).learner(config, data)


def first(data: PairedData, n: int = 4):  # type: ignore[no-untyped-def]
    (batch,) = batches(data, "test", list(data.fixed_pairs["test"][:n]), n)
    return batch.samples


def test_a_loop_a_whole_sample_and_batch_first_answer_alike(config, data) -> None:
    samples, times = first(data), [80.0, 400.0]
    step = learner_of("sums", config, data, loop=True)
    whole = learner_of("whole", config, data)
    flat = learner_of("whole", config, data, layout="BTN")
    for other in (whole, flat):
        other.model.load_state_dict(step.model.state_dict())
    expected = step.anytime_scores(samples, times)
    assert expected.shape == (2, 4, N_CLASSES)
    assert torch.allclose(whole.anytime_scores(samples, times), expected, atol=1e-5)
    # Its sums are over the time dimension, wherever it is.
    assert torch.allclose(flat.anytime_scores(samples, times), expected, atol=1e-5)


def test_a_network_that_answers_once_is_asked_again_at_each_window(config, data) -> None:
    samples = first(data)
    once, step = learner_of("once", config, data), learner_of("sums", config, data, loop=True)
    step.model.load_state_dict(once.model.state_dict())
    assert once.anytime_ms(config.cost.windows_ms)[-1] == config.data.duration_ms
    assert len(once.anytime_ms(config.cost.windows_ms)) < len(step.anytime_ms(()))
    n_seen = np.array([2, step.n_steps])
    sums = once.anytime_scores(samples, [80.0, 400.0])
    means = step.anytime_scores(samples, [80.0, 400.0])
    for i, n in enumerate(n_seen):
        assert torch.allclose(sums[i], means[i] * float(n), atol=1e-4)


def test_its_state_is_handed_back_in_a_loop(config, data) -> None:
    samples = first(data)
    learner = learner_of("remembering", config, data, loop=True, modality="audio")
    (x,) = learner.inputs(samples).values()
    now, found = torch.zeros(4, N_CLASSES), []
    for step in x:
        now = learner.model.net.read(step.flatten(1)) + 0.5 * now
        found.append(now)
    assert torch.allclose(learner.model({"audio": x}), torch.stack(found))


def test_it_is_counted_by_the_spikes_that_reach_it(config, data) -> None:
    samples = first(data)
    learner = learner_of("sums", config, data, loop=True, read_as="events")
    n_spikes = sum(int(x.sum()) for x in learner.inputs(samples).values())
    counts = learner.counted(samples)
    assert counts.n_samples == 4
    # Beyond the synapses both currents are added in every step.
    assert counts.by_path["vision"].effective_acs + counts.by_path["audio"].effective_acs == (
        n_spikes * N_CLASSES
    )


def test_planes_lie_as_the_sensor_does(config, data) -> None:
    samples = first(data)
    planes = learner_of("sums", config, data, loop=True).inputs(samples)
    assert planes["vision"].shape == (10, 4, 2, 34, 34)
    assert planes["audio"].shape == (10, 4, 1, 1, 64)
    event = samples[0]["vision"].events[0]
    seen = planes["vision"][int(event["t"]) // 40000, 0]
    assert seen[int(event["p"]), int(event["y"]), int(event["x"])] >= 1


def test_it_is_evaluated_as_our_models_are(config, data) -> None:
    found = evaluate(learner_of("sums", config, data, loop=True), data, config)
    assert len(found.predictions) == len(data.fixed_pairs["test"])
    assert found.answers.shape == (10, len(found.labels))
    at_8_bits = found.by_precision["int8"]
    assert at_8_bits.predictions is not None
    assert at_8_bits.counts is not None
    assert (
        at_8_bits.counts.by_path["vision.1"].dense_macs == found.counts.by_path["vision"].dense_macs
    )


def test_weights_come_from_a_file(config, data, tmp_path: Path) -> None:
    net = Sums()
    save_file(net.state_dict(), tmp_path / "mine.safetensors")
    learner = learner_of("sums", config, data, loop=True, weights=tmp_path / "mine.safetensors")
    assert torch.equal(learner.model.net.vision.weight, net.vision.weight)
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="--weights must be a safetensors file of the network's"):
        learner_of("sums", config, data, loop=True, weights=tmp_path / "other.safetensors")
    (tmp_path / "junk").write_bytes(b"\x80\x04junk")
    with pytest.raises(ConfigError, match="--weights must be a safetensors file"):
        learner_of("sums", config, data, loop=True, weights=tmp_path / "junk")


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        ("sums", {}, r"network must take inputs of shape vision \(10, 2, 2, 34, 34\)"),
        ("wrong", {"modality": "audio", "layout": "TBN"}, "network must take inputs of shape"),
        ("notanumber", {"loop": True}, "scores of nets_of_mine:notanumber must be finite"),
        ("silent", {}, "must have parameters, got none"),
        ("sums", {"modality": "touch"}, r"--modality must be one of \['vision', 'audio'\]"),
        ("sums", {"layout": "NTB"}, "--layout must be one of"),
        ("sums", {"layout": "frames", "loop": True}, "--loop must go with a layout that has time"),
        ("sums", {"name": "snn_mine"}, "--name must be of small letters"),
        ("absent", {}, "must name something in 'nets_of_mine', got 'absent'"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(net, options, message, config, data) -> None:
    with pytest.raises(ConfigError, match=message):
        learner_of(net, config, data, **options)


def test_a_module_that_is_not_there_is_named(config, data) -> None:
    with pytest.raises(ConfigError, match="got 'no_such_module'"):
        Foreign("no_such_module:net").learner(config, data)


def test_scores_of_another_number_of_classes_are_refused(config, data, module) -> None:
    module.few = lambda: nn.Sequential(nn.Flatten(1), nn.Linear(N_AUDIO, 3))
    with pytest.raises(ConfigError, match=r"scores of .*few must be \[T, B, C\] \(10, 2, 10\)"):
        learner_of("few", config, data, modality="audio", loop=True)


def test_a_norse_network_is_run_from_its_own_state(config, data, module) -> None:
    import norse.torch as norse

    net = norse.SequentialState(
        nn.Flatten(), nn.Linear(N_AUDIO, 12), norse.LIFBoxCell(), nn.Linear(12, N_CLASSES)
    )
    module.net = net
    learner = learner_of("net", config, data, modality="audio", loop=True)
    (x,) = learner.inputs(first(data)).values()
    state, found = None, []
    for step in x:
        out, state = net(step, state)
        found.append(out)
    assert torch.equal(learner.model({"audio": x}), torch.stack(found))
    assert learner.counted(first(data)).totals["neuron_updates_active"] > 0
