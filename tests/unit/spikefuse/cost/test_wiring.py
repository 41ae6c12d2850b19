"""Who drives whom: branches that run side by side, states, loops, and the order of their counts."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikefuse.cost import count
from spikefuse.cost.chip import populations_of
from spikefuse.cost.latency import layer_ticks
from spikefuse.cost.wiring import Wiring, wiring_of


def two_branches() -> nn.Module:
    """Both encoders' weights run before either's neurons."""
    snntorch = pytest.importorskip("snntorch")

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.see, self.hear = nn.Linear(6, 4, bias=False), nn.Linear(3, 5, bias=False)
            self.eye, self.ear = (snntorch.Leaky(0.5, init_hidden=True) for _ in range(2))
            self.norm = nn.BatchNorm1d(9)
            self.fuse = nn.Linear(9, 2, bias=False)
            self.out = snntorch.Leaky(0.5, init_hidden=True)

        def forward(self, vision: Tensor, audio: Tensor) -> Tensor:
            seen, heard = self.see(vision.flatten(1)), self.hear(audio)
            joined = torch.cat([self.eye(seen), self.ear(2.0 * heard)], 1)
            out: Tensor = self.out(self.fuse(self.norm(joined)))
            return out

    return Branches().eval()


def wired(net: Any, *inputs: Tensor) -> Wiring:
    named = dict(zip(("vision", "audio"), inputs, strict=False))
    return wiring_of(net, named, lambda: [net(*inputs) for _ in range(2)])


def test_each_layer_of_neurons_has_the_synapses_that_reach_it() -> None:
    net = two_branches()
    vision, audio = torch.ones(2, 2, 3), torch.ones(2, 3)
    wiring = wired(net, vision, audio)
    assert wiring.neurons == {"eye", "ear", "out"}
    assert wiring.drives == {
        "see": frozenset(),
        "hear": frozenset(),
        "eye": {"see"},
        "ear": {"hear"},
        "fuse": {"eye", "ear"},
        "out": {"fuse"},
    }
    assert wiring.modalities["eye"] == {"vision"}
    assert wiring.modalities["ear"] == {"audio"}
    assert wiring.modalities["norm"] == wiring.modalities[""] == {"vision", "audio"}


def test_counts_in_its_order_are_the_populations_of_a_chip() -> None:
    net = two_branches()
    vision, audio = torch.ones(2, 2, 3), torch.ones(2, 3)
    wiring = wired(net, vision, audio)
    counted = count(net, (vision, audio))
    found = wiring.sorted(counted)
    inputs = {p.name: p.inputs for p in populations_of(found)}
    assert inputs["eye"] == ("see",)
    assert inputs["ear"][0] == "hear"
    assert found.by_path["eye"].modality == "vision"
    assert found.by_path["fuse"].modality == "shared"
    # Eye and ear side by side, the output behind them: one tick between two layers.
    assert layer_ticks(found) == 1
    assert found.totals == counted.totals


def test_what_comes_back_through_a_state_is_no_drive_of_its_own() -> None:
    class Leaking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.back = nn.Linear(3, 4), nn.Linear(4, 4)
            self.state = torch.zeros(4)

        def forward(self, vision: Tensor) -> Tensor:
            self.state = self.read(vision) + self.back(self.state)
            return self.state

    wiring = wired(Leaking(), torch.ones(2, 3))
    assert wiring.drives["back"] == {"read"}  # and itself, which is left out
    assert wiring.modalities["back"] == {"vision"}
    assert not wiring.neurons
