"""Weights that are taken out by what they cost."""

import pytest
import torch
from torch import nn

from spikefuse.cost import count
from spikefuse.objectives.activity import measured
from spikefuse.objectives.magnitude import prune, zeros_kept
from spikefuse.synapses import EventLinear


def layer(weights: list[list[float]]) -> EventLinear:
    made = EventLinear(len(weights), len(weights[0]))
    made.weight = nn.Parameter(torch.tensor(weights))
    return made


def test_the_least_weights_go_until_the_share_is_saved() -> None:
    # Messages 1 and 3: weights cost 1, 1, 3, 3, in all 8.
    weights = nn.Parameter(torch.tensor([[4.0, 1.0], [2.0, 3.0]]))
    saved = prune([(weights, torch.tensor([[1.0], [3.0]]))], 0.5)
    assert weights.tolist() == [[4.0, 0.0], [0.0, 3.0]]
    assert saved == 0.5


def test_by_operation_a_dear_weight_goes_before_a_small_one() -> None:
    weights = nn.Parameter(torch.tensor([[4.0, 1.0], [2.0, 3.0]]))
    assert prune([(weights, torch.tensor([[1.0], [3.0]]))], 0.3, "per_operation") == 3 / 8
    assert weights.tolist() == [[4.0, 1.0], [0.0, 3.0]]


def test_weights_that_no_message_met_stay() -> None:
    weights = nn.Parameter(torch.tensor([[0.01], [5.0]]))
    assert prune([(weights, torch.tensor([[0.0], [2.0]]))], 1.0) == 1.0
    assert weights.flatten().tolist() == [pytest.approx(0.01), 0.0]


def test_what_is_saved_is_what_the_counter_no_longer_counts() -> None:
    torch.manual_seed(0)
    made = EventLinear(20, 30)
    spikes = (torch.rand(6, 4, 20) < 0.2).float()
    before = count(made, spikes).effective_acs
    made.eval()
    with measured(made, priced=True) as activity:
        made(spikes)
    saved = prune(activity.prices, 0.4)
    assert saved >= 0.4
    assert count(made, spikes).effective_acs == pytest.approx(before * (1 - saved))


def test_zeros_stay_and_others_learn() -> None:
    made = layer([[0.0, 1.0], [2.0, 0.0]])
    optimizer = torch.optim.AdamW(made.parameters(), 0.1)
    with zeros_kept(made):
        for _ in range(3):
            optimizer.zero_grad()
            made(torch.ones(1, 1, 2)).sum().backward()
            optimizer.step()
    assert (made.weight == 0).tolist() == [[True, False], [False, True]]
    assert made.weight[0, 1] != 1.0


@pytest.mark.parametrize(("share", "order"), [(1.5, "magnitude"), (0.5, "luck")])
def test_a_share_or_an_order_that_is_none_is_refused(share: float, order: str) -> None:
    with pytest.raises(ValueError, match=r"(share|order) must"):
        prune([], share, order)
