"""Operations from events to events on a GPU: compaction, pooling, joining, delays, binning.

A SpikeBatch says how many events it holds, so each of these waits for the device once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from spikefuse.events import EventStream
from spikefuse.kernels.gpu import binning, compaction, delays, launch, pooling
from spikefuse.kernels.gpu.compaction import Events
from spikefuse.spikes import SpikeBatch

Pair = tuple[int, int]


def compact(dense: Tensor) -> SpikeBatch:
    """Events of a dense [T, B, N] tensor."""
    n_steps, n_batch, n = dense.shape
    rows = dense.detach().reshape(-1, n).contiguous()
    return _batch(compaction.compact(launch.current(), rows), (n_steps, n_batch, n))


def expand(spikes: SpikeBatch) -> Tensor:
    """The same spikes as a dense tensor."""
    return compaction.expand(launch.current(), _events(spikes), spikes.shape[2]).view(spikes.shape)


def pool(
    spikes: SpikeBatch, in_shape: tuple[int, int, int], kernel: Pair, stride: Pair, largest: bool
) -> SpikeBatch:
    """Events of the pooled maps."""
    events = pooling.pool(
        launch.current(), _events(spikes), in_shape, kernel, stride, largest=largest
    )
    rows, columns = ((in_shape[1 + i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    return _batch(events, (*spikes.shape[:2], in_shape[0] * rows * columns))


def join(left: SpikeBatch, right: SpikeBatch, rule: int) -> SpikeBatch:
    """Events of two trains brought together."""
    n = left.shape[2]
    events = pooling.join(launch.current(), _events(left), _events(right), rule, n)
    return _batch(events, left.shape)


def delay_dense(x: Tensor, ahead: list[int], sizes: list[int], n_steps: int) -> Tensor:
    """``out[t, b, n] = x[t + ahead[group of n], b, n]``, zero where x has no such step."""
    moves = _per_address(tuple(ahead), tuple(sizes), x.device)
    return delays.delay_dense(launch.current(), x.detach().contiguous(), moves, n_steps)


def delay_events(
    spikes: SpikeBatch, ahead: list[int], sizes: list[int], n_steps: int
) -> SpikeBatch:
    """As `delay_dense`, on events."""
    _, n_batch, n = spikes.shape
    moves = _per_address(tuple(ahead), tuple(sizes), spikes.index.device)
    events = delays.delay_events(launch.current(), _events(spikes), moves, n_steps, n_batch)
    return _batch(events, (n_steps, n_batch, n))


def bin_streams(
    streams: Sequence[EventStream], step_us: float, n_steps: int, keep_counts: bool, device: str
) -> SpikeBatch:
    """Events of every step and stream; the records go to the device field by field."""
    width, height, polarities = streams[0].sensor_size
    n_addresses = streams[0].n_addresses
    first = np.zeros(len(streams) + 1, np.int32)
    np.cumsum([len(stream) for stream in streams], out=first[1:])

    def field(name: str, dtype: type[np.generic]) -> Tensor:
        """One field of all streams, end to end."""
        parts = [stream.events[name].astype(dtype) for stream in streams]
        return torch.from_numpy(np.concatenate(parts)).to(device)

    indptr, index, count = binning.bin_events(
        launch.current(),
        field("t", np.int64),
        field("x", np.int16),
        field("y", np.int16),
        field("p", np.bool_),
        torch.from_numpy(first).to(device),
        step_us=step_us,
        n_steps=n_steps,
        width=width,
        plane=width * height if polarities > 1 else 0,
        n_addresses=n_addresses,
    )
    shape = (n_steps, len(streams), n_addresses)
    return SpikeBatch.trusted(indptr, index, count if keep_counts else None, shape)


@lru_cache(maxsize=256)
def _per_address(ahead: tuple[int, ...], sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """The move of each address; kept on the device, as copying it there makes the host wait."""
    return torch.tensor(np.repeat(ahead, sizes), dtype=torch.int32, device=device)


def _events(spikes: SpikeBatch) -> Events:
    """What kernels read of a batch."""
    value = spikes.value
    scale = None if value is None else value.detach().float().contiguous()
    return spikes.indptr.contiguous(), spikes.index.contiguous(), scale


def _batch(events: Events, shape: tuple[int, int, int]) -> SpikeBatch:
    """A batch of what a kernel wrote."""
    return SpikeBatch.trusted(*events, shape)
