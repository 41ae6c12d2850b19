"""Currents that meet on the same neurons: two layers summed count as one on joined spikes."""

import pytest
import torch
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.opcounts import OpCounts

snntorch = pytest.importorskip("snntorch")


class Summed(nn.Module):
    """Two layers of weights onto the same neurons, added in some way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.left, self.right = nn.Linear(4, 3, bias=False), nn.Linear(5, 3, bias=False)
        self.neurons = snntorch.Leaky(0.5, init_hidden=True)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        by_hand = self.how == "product"
        left = a @ self.left.weight.T if by_hand else self.left(a)
        right = self.right(b)
        if self.how in ("plus", "product"):
            current = left + right
        elif self.how == "in place":
            current = left
            current += right
        elif self.how == "reshaped":
            current = (left[None] + right.unsqueeze(0))[0]
        elif self.how == "scaled":
            current = 0.5 * left + right
        elif self.how == "rectified":
            current = left.relu() + right
        else:
            current = torch.add(left, right, alpha=2)
        out: Tensor = self.neurons(current)
        return out


class Joined(nn.Module):
    """The same weights side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(9, 3, bias=False)
        self.neurons = snntorch.Leaky(0.5, init_hidden=True)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        out: Tensor = self.neurons(self.both(torch.cat([a, b], 1)))
        return out


def counted(how: str) -> tuple[OpCounts, OpCounts]:
    torch.manual_seed(0)
    summed, joined = Summed(how), Joined()
    with torch.no_grad():
        joined.both.weight.copy_(torch.cat([summed.left.weight, summed.right.weight], 1))
    a, b = (torch.rand(2, 4) < 0.5).float(), (torch.rand(2, 5) < 0.5).float()
    return count(summed, (a, b)), count(joined, (a, b))


@pytest.mark.parametrize("how", ["plus", "in place", "reshaped", "product"])
def test_two_layers_summed_are_one_on_the_spikes_side_by_side(how: str) -> None:
    summed, joined = counted(how)
    assert summed.totals == joined.totals
    assert {path.kind for path in summed.by_path.values()} == {"event"}


@pytest.mark.parametrize("how", ["scaled", "rectified", "twice"])
def test_a_sum_of_anything_else_is_work_of_its_own(how: str) -> None:
    summed, joined = counted(how)
    extra = summed.by_path["Summed:elementwise"]
    assert extra.kind == "dense"
    assert summed.effective_acs > joined.effective_acs


def test_frames_are_summed_at_a_cost() -> None:
    torch.manual_seed(0)
    found = count(Summed("plus"), (torch.rand(2, 4), torch.rand(2, 5)))
    assert found.by_path["Summed:elementwise"].effective_acs == 2 * 3
