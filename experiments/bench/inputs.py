"""Random input of the benchmarks: spikes of a given density, and weights."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.compaction import compact
from spikefuse.spikes import SpikeBatch


def random_spikes(shape: tuple[int, int, int], density: float, seed: int = 5) -> SpikeBatch:
    """Independent spikes: each cell holds one with the same probability.

    Parameters
    ----------
    shape : (T, B, N)
    density : float
        Between 0 and 1.
    seed : int
    """
    generator = torch.Generator().manual_seed(seed)
    spikes: SpikeBatch = compact((torch.rand(shape, generator=generator) < density).float())
    return spikes


def random_weight(n_in: int, n_out: int, seed: int = 6) -> Tensor:
    """Normal weights, scaled so that their sums stay near 1, on the grid of `on_grid`."""
    generator = torch.Generator().manual_seed(seed)
    return on_grid(torch.randn(n_in, n_out, generator=generator) / n_in**0.5)


def on_grid(weight: Tensor) -> Tensor:
    """Weights rounded to multiples of 2^-14.

    Sums of such weights are exact in float32 in any order, as long as they stay below 1024: every
    library then has the same currents to the last bit, and its spikes can be compared one by one.
    """
    rounded: Tensor = (weight * 2.0**14).round() * 2.0**-14
    return rounded
