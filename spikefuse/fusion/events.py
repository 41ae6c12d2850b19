"""Event batches side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spikefuse.spikes import SpikeBatch


def side_by_side(parts: Sequence[SpikeBatch]) -> SpikeBatch:
    """Spikes of several populations as those of one, their addresses end to end.

    Parameters
    ----------
    parts : sequence of SpikeBatch, each (T, B, n)

    Returns
    -------
    SpikeBatch of shape (T, B, sum of n)

    Raises
    ------
    ValueError
        If there is none, or steps or samples differ.
    """
    if len({part.shape[:2] for part in parts}) != 1:
        shapes = [part.shape for part in parts]
        raise ValueError(f"parts must agree in steps and samples, got {shapes}")
    indptr = torch.stack([part.indptr for part in parts]).sum(0, dtype=torch.int32)
    index = torch.empty(int(indptr[-1]), dtype=torch.int32)
    value = torch.ones(len(index)) if any(part.value is not None for part in parts) else None
    ahead = torch.zeros_like(indptr[:-1])  # events of earlier parts in each row
    n = 0
    for part in parts:
        counts = part.indptr.diff()
        shift = indptr[:-1] + ahead - part.indptr[:-1]
        place = torch.arange(part.n_events) + shift.repeat_interleave(counts)
        index[place] = part.index + n
        if value is not None and part.value is not None:
            value[place] = part.value
        ahead, n = ahead + counts, n + part.shape[2]
    return SpikeBatch.trusted(indptr, index, value, (*parts[0].shape[:2], n))


def steps_of(spikes: SpikeBatch | Tensor, first: int, last: int) -> SpikeBatch | Tensor:
    """Steps ``first`` to ``last`` (excluded) of spikes (T, B, N), of the same kind."""
    if isinstance(spikes, Tensor):
        return spikes[first:last]
    n_batch = spikes.shape[1]
    indptr = spikes.indptr[first * n_batch : last * n_batch + 1]
    begin, end = int(indptr[0]), int(indptr[-1])
    value = None if spikes.value is None else spikes.value[begin:end]
    shape = (last - first, n_batch, spikes.shape[2])
    return SpikeBatch.trusted(indptr - begin, spikes.index[begin:end], value, shape)


def only_rows(spikes: SpikeBatch, keep: Tensor) -> SpikeBatch:
    """The events of some rows.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, N)
    keep : bool Tensor[T * B]

    Returns
    -------
    SpikeBatch of the same shape
    """
    counts = spikes.indptr.diff()
    kept = keep.repeat_interleave(counts)
    indptr = torch.zeros_like(spikes.indptr)
    indptr[1:] = (counts * keep).cumsum(0)
    value = None if spikes.value is None else spikes.value[kept]
    return SpikeBatch.trusted(indptr, spikes.index[kept], value, spikes.shape)
