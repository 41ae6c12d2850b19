"""SpikeDelay: groups of axons with whole steps of delay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn

from spikefuse.kernels.delays import delay
from spikefuse.spikes import SpikeBatch

Spikes = TypeVar("Spikes", SpikeBatch, Tensor)


class SpikeDelay(nn.Module):
    """Delay every group of addresses by its own number of steps: see `delay`.

    Parameters
    ----------
    steps : sequence of int
        Delay of each group.
    sizes : sequence of int, optional
        Addresses in each group; by default one delay holds for all.

    Raises
    ------
    ValueError
        If a delay is negative or the numbers of delays and groups differ.
    """

    batch_dim = 1

    def __init__(self, steps: Sequence[int], sizes: Sequence[int] | None = None) -> None:
        super().__init__()
        if not len(steps) or min(steps) < 0:
            raise ValueError(f"steps must be at least one delay of 0 or more, got {list(steps)}")
        if sizes is not None and len(sizes) != len(steps):
            raise ValueError(f"sizes must be {len(steps)} group sizes, got {list(sizes)}")
        self.steps = tuple(steps)
        self.sizes = None if sizes is None else tuple(sizes)

    def forward(self, spikes: Spikes, state: Spikes | None = None) -> tuple[Spikes, Spikes]:
        """Spikes ``[T, B, N]`` and the last steps before them to delayed spikes and last steps."""
        return delay(spikes, self.steps, self.sizes, state)
