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
    """Normal weights, scaled so that their sums stay near 1."""
    generator = torch.Generator().manual_seed(seed)
    weight: Tensor = torch.randn(n_in, n_out, generator=generator) / n_in**0.5
    return weight
