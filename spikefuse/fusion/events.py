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


def of_samples(spikes: SpikeBatch | Tensor, samples: Tensor) -> SpikeBatch | Tensor:
    """Spikes (T, B, N) of some samples (rising, int64 [S]) as (T, S, N), of the same kind."""
    if isinstance(spikes, Tensor):
        return spikes[:, samples]
    n_steps, n_batch, n = spikes.shape
    rows = (torch.arange(n_steps)[:, None] * n_batch + samples).flatten()
    keep = torch.zeros(n_steps * n_batch, dtype=torch.bool)
    keep[rows] = True
    kept = only_rows(spikes, keep)
    indptr = torch.zeros(len(rows) + 1, dtype=torch.int32)
    indptr[1:] = spikes.indptr.diff()[rows].cumsum(0)
    return SpikeBatch.trusted(indptr, kept.index, kept.value, (n_steps, len(samples), n))


def among_samples(part: SpikeBatch, samples: Tensor, n_batch: int) -> SpikeBatch:
    """Spikes (T, S, N) of the samples ``samples`` (rising, int64 [S]) as those of ``n_batch``."""
    n_steps, _, n = part.shape
    counts = torch.zeros(n_steps, n_batch, dtype=torch.int32)
    counts[:, samples] = part.indptr.diff().view(n_steps, -1)
    indptr = torch.zeros(n_steps * n_batch + 1, dtype=torch.int32)
    indptr[1:] = counts.flatten().cumsum(0)
    return SpikeBatch.trusted(indptr, part.index, part.value, (n_steps, n_batch, n))


def one_after_another(parts: Sequence[SpikeBatch]) -> SpikeBatch:
    """Chunks (T_1, B, N), (T_2, B, N), ... of the same samples as one batch of all their steps."""
    ends = torch.tensor([0, *(part.n_events for part in parts[:-1])]).cumsum(0)
    starts = [part.indptr[:-1] + int(end) for part, end in zip(parts, ends, strict=True)]
    n_events = sum(part.n_events for part in parts)
    indptr = torch.cat([*starts, torch.tensor([n_events])]).to(torch.int32)
    value = None
    if any(part.value is not None for part in parts):
        value = torch.cat([torch.ones(p.n_events) if p.value is None else p.value for p in parts])
    n_steps = sum(part.shape[0] for part in parts)
    index = torch.cat([part.index for part in parts])
    return SpikeBatch.trusted(indptr, index, value, (n_steps, *parts[0].shape[1:]))
