"""Events made, listed, transposed and delayed, against torch's own indexing."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.gpu import compaction, delays
from spikefuse.kernels.gpu.compaction import Events
from spikefuse.kernels.gpu.parity.target import (
    Shape,
    Target,
    events_of,
    generator,
    random_spikes,
    same,
    same_events,
)

# Lengths around a warp, around a block and over several blocks' worth.
ROWS = [1, 31, 32, 33, 1023, 1024, 1025, 3000]


def check_compaction(target: Target, shape: Shape) -> None:
    """Dense to events and back, with amplitudes where not all are 1; a NaN is an event."""
    for graded in (False, True):
        dense = random_spikes(shape, generator(shape, 5), graded=graded)
        got = compaction.compact(target.launch, target.put(dense))
        same_events("spikes", got, events_of(dense))
        same("dense", compaction.expand(target.launch, got, shape.n_in), dense)
    dense[0, 0] = torch.nan
    indptr, index, _ = compaction.compact(target.launch, target.put(dense))
    same("indptr with a NaN", indptr, events_of(dense)[0])
    same("index with a NaN", index, events_of(dense)[1])


def check_row_pointer(target: Target, n_rows: int) -> None:
    """The scan of any number of counts, by blocks of several sizes."""
    count = torch.randint(0, 5, (n_rows,), generator=generator((n_rows,)), dtype=torch.int32)
    want = torch.zeros(n_rows + 1, dtype=torch.int32)
    want[1:] = count.cumsum(0)
    for threads in (32, 128, 1024):
        got = torch.zeros(n_rows + 1, dtype=torch.int32, device=target.device)
        arguments = (target.put(count), got, n_rows)
        target.launch("compaction", "sf_scan_counts", (1, 1, 1), (threads, 1, 1), arguments)
        same(f"row pointer by {threads} threads", got, want)


def check_transpose(target: Target, shape: Shape) -> None:
    """Events by column are the events of the transposed matrix."""
    for graded in (False, True):
        dense = random_spikes(shape, generator(shape, 6), graded=graded)
        events = target.put_events(events_of(dense))
        got = compaction.transpose(target.launch, events, shape.n_in)
        same_events("columns", got, events_of(dense.t()))


def check_delay(target: Target, shape: Shape) -> None:
    """Dense steps and events move alike, earlier and later, in and out of the sequence."""
    n_steps, n_batch, n, *_ = shape
    random = generator(shape, 7)
    for graded in (False, True):
        dense = random_spikes(shape, random, graded=graded)
        ahead = torch.randint(-3, 4, (n,), generator=random, dtype=torch.int32)
        for n_out in (n_steps, n_steps + 2):
            want = _delayed(dense.view(n_steps, n_batch, n), ahead, n_out)
            given = target.put(dense.view(n_steps, n_batch, n))
            got = delays.delay_dense(target.launch, given, target.put(ahead), n_out)
            same("delayed steps", got, want)
            events = target.put_events(events_of(dense))
            moved = delays.delay_events(target.launch, events, target.put(ahead), n_out, n_batch)
            same_events("delayed events", _with_values(moved, graded), _wanted(want, graded))


def _delayed(x: Tensor, ahead: Tensor, n_out: int) -> Tensor:
    """``out[t, b, n] = x[t + ahead[n], b, n]`` by indexing a padded copy."""
    pad = x.new_zeros(8, *x.shape[1:])
    padded = torch.cat([pad, x, pad])
    source = torch.arange(n_out)[:, None] + ahead[None, :].long() + 8
    columns = torch.arange(x.shape[2])[None, :]
    return padded[source, :, columns].permute(0, 2, 1).contiguous()


def _wanted(dense: Tensor, graded: bool) -> Events:
    """Events of dense steps; with amplitudes even if those that are left are all 1."""
    return _with_values(events_of(dense.reshape(-1, dense.shape[2])), graded)


def _with_values(events: Events, graded: bool) -> Events:
    """The events with amplitudes if ``graded``."""
    indptr, index, value = events
    if not graded:
        return indptr, index, None
    return indptr, index, torch.ones(len(index), device=index.device) if value is None else value
