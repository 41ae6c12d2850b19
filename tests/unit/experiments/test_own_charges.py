"""A network of one's own step by step: by hand, and against ours built of the same layers."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import learner_of, tiny
from torch import Tensor, nn

from experiments.config import Config
from experiments.evaluation.charges import Charges, stepped
from experiments.evaluation.own_charges import (
    _read_alike,
    _rising,
    behind_neurons,
    counts_at,
    counts_until,
    own_charges,
)
from experiments.evaluation.precision import at_precision
from experiments.loading.batches import batches
from experiments.loading.data import PairedData, load_data
from experiments.training.called import Called
from experiments.training.foreign import Foreign, ForeignLearner
from spikefuse.cost.energy import energy
from spikefuse.cost.profile import load_profile
from spikefuse.cost.step_counts import count_steps
from spikefuse.errors import ConfigError
from spikefuse.neurons import FixedFormat
from spikefuse.opcounts import OpCounts, PathCounts

LOIHI = "loihi1_davies2018"


@dataclass(frozen=True)
class Given(ForeignLearner):
    """A learner whose inputs are given."""

    x: Any = None

    def inputs(self, samples: list[Any]) -> dict[str, Tensor]:
        return {"x": self.x[:, [int(s) for s in samples]]}


def given(net: nn.Module, x: Tensor, loop: bool = True) -> tuple[Given, list[Any]]:
    """A network on inputs [T, B, N], and its samples."""
    about = Foreign("module:net", layout="TBN", loop=loop)
    learner = Given(
        "net",
        Called(net, ("x",), "TBN", loop).eval(),
        ("x",),
        1.0,
        float(len(x)),
        {},
        about=about,
        n_classes=2,
        x=x,
    )
    samples: list[Any] = list(range(x.shape[1]))
    asked: Any = learner.asked(samples)
    return asked, samples


def none_heard(n: int, k: int) -> list[OpCounts]:
    return [OpCounts({}, n)] * k


def charged(learner: Given, samples: list[Any], config: Config, profile: str) -> Charges:
    k = learner.n_steps
    ((_, found),) = own_charges(
        learner, samples, none_heard(len(samples), k), learner.anytime_ms(()), config, [profile]
    )
    return found


def two_layers() -> tuple[nn.Module, Tensor]:
    """One input that fires three of three hidden neurons, which fire one of two."""
    snntorch = pytest.importorskip("snntorch")
    net = nn.Sequential(
        nn.Linear(2, 3, bias=False),
        snntorch.Leaky(beta=0.5, threshold=1.0, init_hidden=True, reset_mechanism="zero"),
        nn.Linear(3, 2, bias=False),
        snntorch.Leaky(beta=0.5, threshold=1.0, init_hidden=True, reset_mechanism="zero"),
    )
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.5, 0.0], [1.5, 0.0], [1.5, 0.0]]))
        net[2].weight.copy_(torch.tensor([[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]]))
    x = torch.zeros(3, 2, 2)
    x[1, 0, 0] = 1.0  # the first sample, at the second step; the other one is silent
    return net, x


def test_two_layers_of_snntorch_are_charged_as_by_hand() -> None:
    net, x = two_layers()
    learner, samples = given(net, x)
    found = charged(learner, samples, tiny(), LOIHI)
    chip = load_profile(LOIHI)
    synop, active, idle = (
        chip.value(name) for name in ("e_synop", "e_neuron_active", "e_neuron_idle")
    )
    spike = chip.value("e_spike_within_tile")
    # Step 2: a message of 3 synapses, 3 neurons that fire, 3 messages of 2 synapses, 2 neurons.
    busy = (3 + 6) * synop + 5 * active + 4 * spike
    assert found.energy_pj is not None
    steps = np.diff(found.energy_pj, axis=0, prepend=0)
    assert steps[:, 1].tolist() == pytest.approx(3 * [5 * idle])
    # snnTorch resets at the step after a spike: until then no membrane is at rest.
    assert steps[:, 0].tolist() == pytest.approx([5 * idle, busy, 5 * active])
    assert found.reason is None
    assert found.counts[1].totals["spikes_fired"] == 4


def test_its_steps_take_as_long_as_by_hand() -> None:
    net, x = two_layers()
    learner, samples = given(net, x)
    found = charged(learner, samples, tiny(), LOIHI)
    chip = load_profile(LOIHI)
    t = {n: chip.value(f"t_{n}") for n in ("sync", "synop", "neuron_active", "spike_within_tile")}
    # Most neurons are on the first core, 3; most messages on the second, 3 of 2 synapses each.
    core = 3 * t["neuron_active"] + 6 * t["synop"] + 3 * t["spike_within_tile"]
    assert found.step_us is not None
    assert found.step_us["value"][1, 0] == pytest.approx((t["sync"] + core) * 1e-3, rel=1e-6)
    assert (found.busiest, found.ticks) == ("1", 1)


def test_a_whole_sequence_costs_what_a_loop_does() -> None:
    class Whole(nn.Module):
        """The same layers, which walk through the steps themselves."""

        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.net(step) for step in x.unbind(0)])

    net, x = two_layers()
    x = (torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(0)) < 0.6).float()
    loop, samples = given(net, x)
    whole, _ = given(Whole(net), x, loop=False)
    assert whole.by_step
    for profile in (LOIHI, "horowitz_45nm_fp32"):
        a, b = (charged(each, samples, tiny(), profile) for each in (loop, whole))
        assert a.energy_pj is not None
        assert np.array_equal(a.energy_pj, b.energy_pj)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def config() -> Config:
    return tiny()


@pytest.fixture(scope="module")
def data(config: Config, tmp_path_factory: pytest.TempPathFactory) -> PairedData:
    return load_data(config.data, cache_dir=tmp_path_factory.mktemp("cache"))


def test_a_count_that_falls_by_rounding_alone_stays_as_it_was() -> None:
    counts = [OpCounts({"x": PathCounts(spikes_fired=n)}, 1) for n in (900, 899, 950, 10)]
    found = [c.by_path["x"].spikes_fired for c in _rising(counts)]
    assert found == [900, 900, 950, 10]  # the last one fell for another reason


class Pooled(nn.Module):
    """Neurons on the mean of pairs of inputs: whole in one sample, halves in the other."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(1, 50, bias=False)
        self.neurons = pytest.importorskip("snntorch").Leaky(beta=0.5, init_hidden=True)
        self.out = nn.Linear(50, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.neurons(self.read(x.mean(1, keepdim=True))))
        return out


def test_samples_that_are_read_otherwise_alone_are_charged_for_the_mean_one() -> None:
    x = torch.ones(3, 2, 2)
    x[:, 1, 0] = 0.0
    learner, samples = given(Pooled(), x)
    found = charged(learner, samples, tiny(), "horowitz_45nm_fp32")
    assert found.energy_pj is not None
    assert np.array_equal(found.energy_pj[:, 0], found.energy_pj[:, 1])
    assert found.step_us is None


def test_counts_that_differ_by_rounding_alone_are_read_alike() -> None:
    path = PathCounts(neuron_updates_active=12800, spikes_fired=900)
    near = replace(path, neuron_updates_active=12799, neuron_updates_idle=1, spikes_fired=905)
    far = replace(path, spikes_fired=0, effective_macs=900)
    dense = replace(path, kind="dense")
    alike = [
        _read_alike(OpCounts({"x": a}, 1), OpCounts({"x": path}, 1)) for a in (near, far, dense)
    ]
    assert alike == [True, False, False]
    assert not _read_alike(OpCounts({}, 1), OpCounts({"x": path}, 1))


def test_our_own_model_as_a_network_of_ones_own_is_charged_the_same(config, data) -> None:
    ours = learner_of(config, data)

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.snn = ours.model

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            scores: Tensor = self.snn(inputs).scores
            return scores

    about = Foreign("module:net", layout="TBN")
    modalities = ("vision", "audio")
    own = ForeignLearner(
        "net",
        Called(Wrapped().eval(), modalities, "TBN", False).eval(),
        modalities,
        ours.dt_ms,
        ours.duration_ms,
        {},
        about=about,
        n_classes=len(data.classes),
        sensor_sizes=data.sensor_sizes,
    )
    (batch,) = batches(data, "test", list(data.fixed_pairs["test"][:3]), 3)
    own = own.asked(batch.samples)
    heard = none_heard(3, own.n_steps)
    times = ours.anytime_ms(())
    steps = count_steps(ours.model, ours.events(batch.samples))
    profiles = [LOIHI, "horowitz_45nm_fp32"]
    expected = dict(stepped(steps, heard, config, profiles))
    found = dict(own_charges(own, batch.samples, heard, times, config, profiles))
    assert own.by_step
    for name, charges in expected.items():
        assert np.allclose(found[name].energy_pj, charges.energy_pj, rtol=1e-12)  # type: ignore[arg-type]
    assert found[LOIHI].ticks == expected[LOIHI].ticks
    assert found[LOIHI].busiest == f"snn.{expected[LOIHI].busiest}"
    for bound, times_us in (expected[LOIHI].step_us or {}).items():
        assert np.allclose((found[LOIHI].step_us or {})[bound], times_us)
    assert torch.allclose(
        own.anytime_scores(batch.samples, times), ours.anytime_scores(batch.samples, times)
    )


def test_a_layer_that_no_neurons_follow_has_no_place_on_a_chip() -> None:
    net, x = two_layers()
    learner, samples = given(net[:3], x)  # type: ignore[index]
    found = charged(learner, samples, tiny(), LOIHI)
    assert found.energy_pj is not None
    assert found.step_us is None
    assert "2 drives no neurons" in str(found.step_reason)
    assert behind_neurons(learner.counted(samples)) == ["2"]


def test_a_network_without_neurons_is_charged_step_by_step_for_the_mean_sample() -> None:
    torch.manual_seed(0)
    x = (torch.rand(4, 3, 2) < 0.5).float()
    learner, samples = given(nn.Linear(2, 2), x)
    found = charged(learner, samples, tiny(), "horowitz_45nm_fp32")
    whole = energy(learner.counted(samples), "horowitz_45nm_fp32").dynamic_pj
    assert found.energy_pj is not None
    assert found.energy_pj[-1].tolist() == pytest.approx([whole] * 3)
    assert (np.diff(found.energy_pj[:, 0]) > 0).all()
    assert "fills no cores" in str(found.step_reason)


class Once(nn.Module):
    """One answer of the sums."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(x.sum(0))
        return out


def test_one_that_answers_once_pays_for_every_time_it_is_asked() -> None:
    x = torch.ones(4, 3, 2)
    learner, samples = given(Once(), x, loop=False)
    assert learner.answers == "once"
    config = tiny("cost.windows_ms=[2.0]")
    times = learner.anytime_ms(config.cost.windows_ms)
    assert times == [2.0, 4.0]
    each = [energy(c, "horowitz_45nm_fp32").dynamic_pj for c in counts_at(learner, samples, times)]
    ((_, found),) = own_charges(
        learner, samples, none_heard(3, 2), times, config, ["horowitz_45nm_fp32"]
    )
    assert found.energy_pj is not None
    assert found.single_pj is not None
    assert found.single_pj[:, 0].tolist() == pytest.approx(each)
    assert found.energy_pj[:, 0].tolist() == pytest.approx([each[0], sum(each)])  # type: ignore[arg-type]
    assert "asked again" in str(found.step_reason)


class Ahead(nn.Module):
    """Answers at every step from all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(x.sum(0, keepdim=True).expand_as(x))
        return out


def test_one_that_looks_ahead_is_not_believed_step_by_step() -> None:
    x = torch.zeros(4, 3, 2)
    x[3] = 1.0
    learner, samples = given(Ahead(), x, loop=False)
    assert learner.answers == "ahead"
    early, late = learner.anytime_scores(samples, [2.0, 4.0])
    assert torch.equal(early, torch.zeros(3, 2))  # nothing has come yet
    assert not torch.equal(late, early)


def test_one_whose_first_steps_alone_answer_otherwise_is_not_counted_by_step() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / len(x)

    x = torch.ones(4, 3, 2)
    learner, samples = given(Scaled(2, 2, bias=False), x, loop=False)
    assert learner.by_step
    with pytest.raises(ConfigError, match="must answer on its first steps alone"):
        counts_until(learner, samples)
    found = charged(learner, samples, tiny(), LOIHI)
    assert "--loop" in str(found.reason)
    assert found.energy_pj is None


def test_a_step_is_waited_for_by_one_that_answers_at_each_alone() -> None:
    net, x = two_layers()
    assert given(net, x)[0].stepped
    assert not given(Once(), x, loop=False)[0].stepped
    assert not replace(given(net, x)[0], answers="ahead").stepped


def test_a_network_of_whole_inputs_is_charged_with_rounded_weights_at_8_bits(config, data) -> None:
    snntorch = pytest.importorskip("snntorch")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.audio = nn.Linear(64, 12, bias=False)
            self.neurons = snntorch.Leaky(beta=0.9, init_hidden=True)
            self.out = nn.Linear(12, 10, bias=False)
            self.answer = snntorch.Leaky(beta=0.9, init_hidden=True)

        def forward(self, audio: Tensor) -> Tensor:
            spikes = self.neurons(self.audio(audio))
            out: Tensor = self.answer(self.out(spikes))
            return out

    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.audio.weight[:, 0] = 1e-6  # rounds to 0: no synapse any more
    about = Foreign("module:net", layout="TBN", loop=True, modality="audio")
    (batch,) = batches(data, "test", list(data.fixed_pairs["test"][:3]), 3)
    learner = ForeignLearner(
        "net",
        Called(net, ("audio",), "TBN", True).eval(),
        ("audio",),
        config.data.dt_ms,
        config.data.duration_ms,
        {},
        about=about,
        n_classes=len(data.classes),
        sensor_sizes=data.sensor_sizes,
    ).asked(batch.samples)
    at: Any = at_precision(learner, FixedFormat(8, 24), data, 0)
    weight = at.model.net.audio.weight
    assert torch.equal(weight[:, 0], torch.zeros(12))
    assert len(torch.unique(weight[3])) <= 255
    step = net.audio.weight.abs().amax(1, keepdim=True) / 127
    assert ((weight - net.audio.weight).abs() <= step / 2 + 1e-6).all()
    sent = learner.inputs(batch.samples)["audio"].sum((0, 1))
    before, after = (x.counted(batch.samples).by_path["audio"] for x in (learner, at))
    gone = int((sent * (weight == 0).sum(0)).sum())
    assert before.effective_acs - after.effective_acs == gone > 0
    with pytest.raises(ConfigError, match="not rounded to 16 bits of state"):
        at_precision(learner, FixedFormat(8, 16), data, 0)
