"""Pooled maps, joined trains and binned streams, against the plain references."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.kernels.binning import bin_events_ref
from spikefuse.kernels.gpu import binning, pooling
from spikefuse.kernels.gpu.parity.target import (
    Shape,
    Target,
    events_of,
    generator,
    random_spikes,
    same_events,
)
from spikefuse.kernels.pooling import RULES, spike_join_ref, spike_pool_ref


class Pool(NamedTuple):
    """Maps and windows."""

    in_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]


class Streams(NamedTuple):
    """Events of each sample, the sensor, and the step."""

    n_events: tuple[int, ...]
    sensor_size: tuple[int, int, int]
    dt_ms: float


CASES = [
    Pool((1, 1, 1), (1, 1), (1, 1)),
    Pool((2, 8, 6), (2, 2), (2, 2)),
    Pool((3, 7, 9), (3, 2), (2, 3)),
    Pool((2, 5, 5), (2, 2), (3, 3)),
]
STREAMS = [
    Streams((0, 40, 0, 300), (5, 4, 2), 1.0),
    Streams((33,), (31, 1, 1), 2.5),
    Streams((200, 100), (9, 3, 2), 0.7003),
]
_DURATION_US = 20_000


def check_pool(target: Target, case: Pool) -> None:
    """Sums and largest amplitudes of windows, some of which hold negative amplitudes."""
    n_in = case.in_shape[0] * case.in_shape[1] * case.in_shape[2]
    shape = Shape(4, 2, n_in, 1, 0.4)
    random = generator(shape, n_in)
    for graded in (False, True):
        spikes = random_spikes(shape, random, graded=graded)
        if graded:
            spikes *= 2 * torch.randint(0, 2, spikes.shape, generator=random) - 1
        events = target.put_events(events_of(spikes))
        dense = spikes.view(shape.n_steps, shape.n_batch, n_in)
        for largest in (False, True):
            want = spike_pool_ref(dense, *case, "max" if largest else "sum")
            got = pooling.pool(target.launch, events, *case, largest=largest)
            same_events("pooled maps", got, events_of(want.view(len(spikes), -1)))


def check_join(target: Target, shape: Shape) -> None:
    """Two trains by every rule."""
    random = generator(shape, 10)
    for graded in (False, True):
        pair = [random_spikes(shape, random, graded=graded) for _ in range(2)]
        left, right = (target.put_events(events_of(train)) for train in pair)
        for k, rule in enumerate(RULES):
            want = spike_join_ref(pair[0], pair[1], rule)  # type: ignore[arg-type]
            got = pooling.join(target.launch, left, right, k, shape.n_in)
            same_events(f"trains joined by {rule}", got, events_of(want))


def check_bin(target: Target, case: Streams) -> None:
    """Streams of several samples, some empty, by whole and broken microseconds a step."""
    rng = np.random.default_rng(sum(case.n_events))
    streams = [_stream(rng, n, case.sensor_size) for n in case.n_events]
    want = bin_events_ref(streams, case.dt_ms)
    joined = np.concatenate([stream.events for stream in streams])
    width, height, polarities = case.sensor_size
    first = torch.tensor([0, *np.cumsum(case.n_events)], dtype=torch.int32)
    t_us, x, y, polarity = (target.put(_tensor(joined, name)) for name in ("t", "x", "y", "p"))
    got = binning.bin_events(
        target.launch,
        t_us,
        x,
        y,
        polarity,
        target.put(first),
        step_us=case.dt_ms * 1e3,
        n_steps=want.shape[0],
        width=width,
        plane=width * height if polarities > 1 else 0,
        n_addresses=want.shape[2],
    )
    same_events("binned streams", got, (want.indptr, want.index, want.value))


def _stream(rng: np.random.Generator, n: int, size: tuple[int, int, int]) -> EventStream:
    """Random events of one sensor."""
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, _DURATION_US, n))
    for name, most in zip(("x", "y"), size, strict=False):
        events[name] = rng.integers(0, most, n)
    events["p"] = rng.random(n) < 0.5 if size[2] == 2 else True
    return EventStream(events, size, _DURATION_US, "vision")


def _tensor(events: np.ndarray, name: str) -> Tensor:
    """One field of the events."""
    return torch.from_numpy(np.ascontiguousarray(events[name]))
