"""Synaptic operations as a loss: equal to what is counted, and a spike as dear as its fan-out."""

import pytest
import torch
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.encoders.spec import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.fusion import OPERATORS, build
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.neurons import LIF, LIFParams
from spikefuse.objectives.activity import fan_out, measured
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventConv2d, EventLinear, SpikePool

SIZES = {"vision": 18, "audio": 12}


def trains(sizes: dict[str, int], density: float = 0.2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: (torch.rand(12, 3, n, generator=generator) < density).float()
        for name, n in sizes.items()
    }


def model_of(fusion: str) -> FusionSNN:
    torch.manual_seed(0)
    vision = EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 10, 0.0)
    audio = EncoderSpec((), 8, 0.0, (0.0, 5.0))
    spec = ModelSpec(
        (ModalitySpec("vision", (7, 6, 2), vision), ModalitySpec("audio", (12, 1, 1), audio)),
        n_classes=4,
        dt_ms=5.0,
        fusion=fusion,
        fusion_hidden=6,
    )
    return FusionSNN(spec).eval()


def counted(model: nn.Module, inputs: dict[str, Tensor] | dict[str, SpikeBatch]) -> int:
    totals = count(model, inputs).totals
    return totals["effective_acs"] + totals["effective_macs"]


@pytest.mark.parametrize("name", list(OPERATORS))
@pytest.mark.parametrize("as_events", [False, True])
def test_an_operator_measures_what_it_is_counted_for(name: str, as_events: bool) -> None:
    operator, spikes = build(name, SIZES, 8, dt_ms=5.0).eval(), trains(SIZES)
    given = {k: SpikeBatch.from_dense(x) for k, x in spikes.items()} if as_events else spikes
    with torch.no_grad(), measured(operator) as activity:
        operator(given)
    assert int(activity.total()) == counted(operator, given) > 0


@pytest.mark.parametrize("name", list(OPERATORS))
def test_a_model_measures_what_it_is_counted_for(name: str) -> None:
    model, spikes = model_of(name), trains({"vision": 84, "audio": 12})
    events = {k: SpikeBatch.from_dense(x) for k, x in spikes.items()}
    with torch.no_grad(), measured(model) as activity:
        model(events)
    assert int(activity.total()) == counted(model, events) > 0


def test_several_events_of_an_address_in_one_step_all_count() -> None:
    layer, spikes = EventLinear(5, 3), 2 * torch.ones(2, 1, 5)
    with measured(layer) as activity:
        layer(SpikeBatch.from_dense(spikes))
    assert activity.total() == 2 * 2 * 5 * 3


@pytest.mark.parametrize("name", [n for n in OPERATORS if n != "early"])
def test_a_spike_is_as_dear_as_what_it_sets_off_at_once(name: str) -> None:
    """Nothing is cheaper for one spike more at its own synapses, whatever follows from it."""
    operator = build(name, SIZES, 8, dt_ms=5.0).train()
    spikes = {k: x.requires_grad_() for k, x in trains(SIZES).items()}
    with measured(operator) as activity:
        operator(spikes)
    direct = [v for k, v in activity.by_layer.items() if v.requires_grad]
    assert direct
    (grad,) = torch.autograd.grad(activity.total(), [spikes["vision"]])
    assert float(grad.mean()) > 0


def test_the_gradient_of_one_layer_is_its_fan_out() -> None:
    layer = EventConv2d((2, 6, 7), 3, (3, 3), (2, 2), (1, 0))
    with torch.no_grad():
        layer.weight[0, 0, 1, 1] = 0.0  # a pruned weight costs nothing
    spikes = torch.zeros(2, 1, 84, requires_grad=True)
    with measured(layer) as activity:
        layer(spikes)
    (grad,) = torch.autograd.grad(activity.total(), [spikes])
    for address in range(84):
        one = torch.zeros(1, 1, 84)
        one[0, 0, address] = 1.0
        assert grad[0, 0, address] == count(layer, one).totals["effective_acs"]


def test_pooling_fans_out_into_each_window_that_a_cell_falls_into() -> None:
    layer = SpikePool((2, 5, 5), (3, 3), (1, 2))
    for address, expected in enumerate(fan_out(layer)):
        one = torch.zeros(1, 1, 50)
        one[0, 0, address] = 1.0
        assert int(expected) == count(layer, one).totals["effective_acs"]


def test_descending_the_activity_lowers_the_count() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(EventLinear(12, 10, gain=3.0), Spiking(10), EventLinear(10, 4))
    spikes = trains({"audio": 12})["audio"]
    before = count(net, spikes, batch_dim=1).totals["effective_acs"]
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    for _ in range(20):
        with measured(net) as activity:
            net(spikes)
        optimizer.zero_grad()
        torch.autograd.backward(activity.total())
        optimizer.step()
    own = 12 * 10
    fixed = int(spikes.sum()) * own // 12
    assert count(net, spikes, batch_dim=1).totals["effective_acs"] - fixed < 0.7 * (before - fixed)


def test_dropout_leaves_the_estimate_unbiased() -> None:
    spec = EncoderSpec((), 40, 0.5)
    model = FusionSNN(ModelSpec((ModalitySpec("audio", (12, 1, 1), spec),), 4, 5.0))
    spikes = {"audio": SpikeBatch.from_dense(trains({"audio": 12})["audio"])}
    found = []
    for seed in range(60):
        torch.manual_seed(seed)
        with torch.no_grad(), measured(model.train()) as activity:
            model(spikes)
        found.append(float(activity.by_layer["fusion.fusion_synapses.audio"]))
    with torch.no_grad(), measured(model.eval()) as activity:
        model(spikes)
    exact = float(activity.by_layer["fusion.fusion_synapses.audio"])
    assert sum(found) / len(found) == pytest.approx(exact, rel=0.1)


def test_an_unknown_layer_is_named() -> None:
    net = nn.Sequential(nn.GRU(3, 3))
    with pytest.raises(ValueError, match="got GRU"), measured(net):
        net(torch.zeros(2, 1, 3))


class Spiking(nn.Module):
    """LIF neurons that return spikes alone."""

    batch_dim = 1

    def __init__(self, n: int) -> None:
        super().__init__()
        self.neurons = LIF(n, LIFParams(), 5.0)

    def forward(self, current: Tensor) -> Tensor:
        return self.neurons(current)[0]
