"""Event batches side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

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
    index = indptr.new_empty(int(indptr[-1]))
    graded = any(part.value is not None for part in parts)
    value = torch.ones(len(index), device=index.device) if graded else None
    ahead = torch.zeros_like(indptr[:-1])  # events of earlier parts in each row
    n = 0
    for part in parts:
        counts = part.indptr.diff()
        shift = indptr[:-1] + ahead - part.indptr[:-1]
        place = torch.arange(part.n_events, device=index.device) + shift.repeat_interleave(counts)
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
    device = samples.device
    rows = (torch.arange(n_steps, device=device)[:, None] * n_batch + samples).flatten()
    keep = torch.zeros(n_steps * n_batch, dtype=torch.bool, device=device)
    keep[rows] = True
    kept = only_rows(spikes, keep)
    indptr = spikes.indptr.new_zeros(len(rows) + 1)
    indptr[1:] = spikes.indptr.diff()[rows].cumsum(0)
    return SpikeBatch.trusted(indptr, kept.index, kept.value, (n_steps, len(samples), n))


def among_samples(part: SpikeBatch, samples: Tensor, n_batch: int) -> SpikeBatch:
    """Spikes (T, S, N) of the samples ``samples`` (rising, int64 [S]) as those of ``n_batch``."""
    n_steps, _, n = part.shape
    counts = part.indptr.new_zeros(n_steps, n_batch)
    counts[:, samples] = part.indptr.diff().view(n_steps, -1)
    indptr = part.indptr.new_zeros(n_steps * n_batch + 1)
    indptr[1:] = counts.flatten().cumsum(0)
    return SpikeBatch.trusted(indptr, part.index, part.value, (n_steps, n_batch, n))


def one_after_another(parts: Sequence[SpikeBatch]) -> SpikeBatch:
    """Chunks (T_1, B, N), (T_2, B, N), ... of the same samples as one batch of all their steps."""
    ends = [0, *accumulate(part.n_events for part in parts)]
    starts = [part.indptr[:-1] + end for part, end in zip(parts, ends, strict=False)]
    indptr = torch.cat([*starts, parts[0].indptr.new_tensor(ends[-1:])]).to(torch.int32)
    value = None
    if any(part.value is not None for part in parts):
        value = torch.cat(
            [
                torch.ones(p.n_events, device=p.index.device) if p.value is None else p.value
                for p in parts
            ]
        )
    n_steps = sum(part.shape[0] for part in parts)
    index = torch.cat([part.index for part in parts])
    return SpikeBatch.trusted(indptr, index, value, (n_steps, *parts[0].shape[1:]))
