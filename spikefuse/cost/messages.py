"""Spikes as the messages they are: how many each address sent, whether dense or as events."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spikefuse.spikes import SpikeBatch

Spikes = Tensor | SpikeBatch


@dataclass(frozen=True)
class Messages:
    """Messages of every address, summed over time and batch; float64, exact for whole numbers.

    Parameters
    ----------
    whole : Tensor[N]
        Spikes: an amplitude of whole number n > 0 is n of them.
    graded : Tensor[N]
        Messages of any other amplitude but 0, which has to be multiplied.
    """

    whole: Tensor
    graded: Tensor

    @property
    def all(self) -> Tensor:
        """Messages of both kinds, [N]."""
        return self.whole + self.graded

    @property
    def total(self) -> int:
        """Number of messages."""
        return int(self.all.sum())


def messages_of(spikes: Spikes) -> Messages:
    """The messages in spikes (T, B, N); events are never made dense."""
    n = spikes.shape[2]
    if isinstance(spikes, SpikeBatch):
        index = spikes.index.long()
        if spikes.value is None:
            whole = torch.bincount(index, minlength=n).double()
            return Messages(whole, torch.zeros_like(whole))
        value = spikes.value.detach().double()
        amounts = _split(value)
        whole, graded = (torch.bincount(index, weights=part, minlength=n) for part in amounts)
        return Messages(whole, graded)
    whole, graded = _split(spikes.detach().double())
    return Messages(whole.sum((0, 1)), graded.sum((0, 1)))


def _split(value: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes and graded messages of every cell."""
    is_whole = (value > 0) & (value == value.floor())
    return torch.where(is_whole, value, 0.0), ((value != 0) & ~is_whole).double()


def n_rows(spikes: Spikes) -> int:
    """Steps times samples: how often a layer that never rests would run."""
    return spikes.shape[0] * spikes.shape[1]
