"""Pruning by price: the proximal step by hand, and which weights it leaves."""

import pytest
import torch
from torch import nn

from spikefuse.cost import count
from spikefuse.objectives.activity import measured
from spikefuse.objectives.pruning import shrink
from spikefuse.synapses import EventConv2d, EventLinear


def stepped(values: list[float], gradients: list[float]) -> tuple[nn.Parameter, torch.optim.Adam]:
    """A parameter after one step of Adam."""
    parameter = nn.Parameter(torch.tensor(values))
    optimizer = torch.optim.Adam([parameter], lr=0.1, eps=0.0)
    parameter.grad = torch.tensor(gradients)
    optimizer.step()
    return parameter, optimizer


def test_the_step_by_hand() -> None:
    parameter, optimizer = stepped([0.6, -0.9, 0.3], [2.0, -1.0, 4.0])
    # The first step of Adam is the rate times the sign: 0.5, -0.8, 0.2.
    size = ((0.5**2 + 0.8**2 + 0.2**2) / 3) ** 0.5
    shrink(optimizer, [(parameter, torch.tensor([3.0, 1.0, 40.0]))], 0.5)
    off = [0.1 * 0.5 * p / (size * g) for p, g in ((3.0, 2.0), (1.0, 1.0), (40.0, 4.0))]
    assert off[2] > 0.2
    expected = torch.tensor([0.5 - off[0], -0.8 + off[1], 0.0])
    torch.testing.assert_close(parameter.detach(), expected)


def test_prices_of_several_calls_add_up_and_free_weights_stay() -> None:
    once, twice = (stepped([0.6, 0.6], [1.0, 1.0]) for _ in range(2))
    shrink(once[1], [(once[0], torch.tensor([2.0, 0.0]))], 0.3)
    part = torch.tensor([1.0, 0.0])
    shrink(twice[1], [(twice[0], part), (twice[0], part)], 0.3)
    assert torch.equal(once[0], twice[0])
    assert float(once[0][1].detach()) == pytest.approx(0.5)


def test_a_parameter_that_was_not_stepped_is_left_alone() -> None:
    parameter = nn.Parameter(torch.ones(2))
    shrink(torch.optim.Adam([parameter]), [(parameter, torch.ones(2))], 1.0)
    assert parameter.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "layer",
    [EventLinear(24, 5), EventConv2d((2, 3, 4), 3, (2, 2), (1, 2), (1, 0)), nn.Linear(24, 5)],
)
def test_prices_sum_to_the_operations_that_are_counted(layer: nn.Module) -> None:
    with torch.no_grad():
        layer.weight[torch.rand_like(layer.weight) < 0.3] = 0.0
    spikes = (torch.rand(6, 2, 24) < 0.3).float()
    with torch.no_grad(), measured(layer, priced=True) as activity:
        layer(spikes)
    ((weight, price),) = activity.prices
    assert weight is layer.weight
    counted = count(layer, spikes).totals["effective_acs"]
    assert int((price * (weight != 0)).sum()) == int(activity.total()) == counted
