"""Events to time bins: from the common t0, never dropping the tail, never touching the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.kernels import buffers, eager, registry
from spikefuse.spikes import SpikeBatch

_OP = "bin_events"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.binning")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.events")

Counts = Literal["keep", "clip"]


def bin_events_ref(
    streams: Sequence[EventStream],
    dt_ms: float,
    n_steps: int | None = None,
    counts: Counts = "keep",
) -> SpikeBatch:
    """`bin_events` by sorting the flat cell of every event: its definition."""
    n_steps = _checked_steps(streams, dt_ms, n_steps, counts)
    n_batch, n_addresses = len(streams), streams[0].n_addresses
    cells = [
        (step_of(stream.events["t"], dt_ms) * n_batch + b) * n_addresses + stream.addresses()
        for b, stream in enumerate(streams)
    ]
    cell, count = np.unique(np.concatenate(cells), return_counts=True)
    row, index = np.divmod(cell, n_addresses)
    indptr = np.zeros(n_steps * n_batch + 1, np.int32)
    np.cumsum(np.bincount(row, minlength=n_steps * n_batch), out=indptr[1:])
    keep_counts = counts == "keep" and bool((count > 1).any())
    return SpikeBatch(
        torch.from_numpy(indptr),
        torch.from_numpy(index.astype(np.int32)),
        torch.from_numpy(count.astype(np.float32)) if keep_counts else None,
        (n_steps, n_batch, n_addresses),
    )


def bin_events(
    streams: Sequence[EventStream],
    dt_ms: float,
    n_steps: int | None = None,
    counts: Counts = "keep",
    *,
    backend: str | None = None,
) -> SpikeBatch:
    """Bin a batch of event streams of one sensor into steps of ``dt_ms``.

    An event at ``t`` microseconds falls into step ``floor(t / (1000 dt_ms))``; steps start at the
    clock's zero, not at a stream's first event, so modalities binned apart stay aligned.

    Parameters
    ----------
    streams : sequence of EventStream
        The ``B`` samples; all of one sensor size. Empty streams are legal.
    dt_ms : float
        Step length in milliseconds.
    n_steps : int, optional
        ``T``; defaults to enough steps for the longest stream's duration.
    counts : "keep" or "clip"
        Whether several events of one address in one step keep their number or count as one.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    SpikeBatch of shape ``(T, B, W * H * P)``
        The sum of its values equals the number of events with ``counts="keep"``.

    Raises
    ------
    ValueError
        If ``streams`` is empty or mixes sensors, ``dt_ms`` is not positive, or an event lies
        beyond ``n_steps`` (crop the stream first: `EventStream.cropped` says what is cut).
    BackendError
        If an explicit backend cannot run.
    """
    n_steps = _checked_steps(streams, dt_ms, n_steps, counts)
    # Streams lie on the host, so the GPU bins only what it is asked to.
    gpu = registry.on_gpu(backend, "cpu")
    device = registry.gpu_device() if gpu else "cpu"
    chosen = registry.choose(_OP, backend, device, None if gpu else eager.simd_refused())
    if chosen == registry.REFERENCE:
        return bin_events_ref(streams, dt_ms, n_steps, counts)
    return _binned(streams, step_length_us(dt_ms), n_steps, counts == "keep", device, chosen)


@registry.twin(_OP, "bin_streams")
def _binned(
    streams: Sequence[EventStream],
    step_us: float,
    n_steps: int,
    keep_counts: bool,
    device: str,
    backend: str,
) -> SpikeBatch:
    """`bin_events` of checked streams."""
    width, height, polarities = streams[0].sensor_size
    n_batch, n_addresses = len(streams), streams[0].n_addresses
    first = np.zeros(n_batch + 1, np.int64)
    np.cumsum([len(stream) for stream in streams], out=first[1:])
    indptr = torch.empty(n_steps * n_batch + 1, dtype=torch.int32)
    index = buffers.empty((int(first[-1]),), torch.int32)
    count = buffers.empty((len(index),))
    # As bytes: NumPy joins records field by field, ten times slower.
    records = [np.ascontiguousarray(stream.events).view(np.uint8) for stream in streams]
    largest = registry.kernel(_OP, backend, "bin_streams")(
        np.concatenate(records).view(EVENT_DTYPE),
        first,
        width,
        width * height if polarities > 1 else 0,
        n_addresses,
        step_us,
        int(step_us) if _is_whole(step_us) else 0,
        n_steps,
        indptr.numpy(),
        index.numpy(),
        count.numpy(),
    )
    # Several events of one cell leave room at the end; much of it is not kept alive for nothing.
    n_cells = int(indptr[-1])
    roomy = 4 * n_cells < 3 * len(index)
    cells, values = (x[:n_cells].clone() if roomy else x[:n_cells] for x in (index, count))
    value = values if keep_counts and largest > 1 else None
    return SpikeBatch.trusted(indptr, cells, value, (n_steps, n_batch, n_addresses))


def accumulate_events(
    cells: np.ndarray[tuple[int], np.dtype[np.int64]], shape: tuple[int, ...]
) -> torch.Tensor:
    """Dense float32 tensor of ``shape`` that counts how often each flat cell occurs.

    The short way to a dense training batch: equal to ``bin_events(...).to_dense()`` on the cells
    ``(step * B + b) * N + address``, without building the sparse form first.
    """
    dense = torch.zeros(int(np.prod(shape)))
    dense.index_add_(0, torch.from_numpy(cells), torch.ones(len(cells)))
    return dense.view(shape)


def step_length_us(dt_ms: float) -> float:
    """Step length in microseconds, without the product's rounding: 4.03 * 1e3 is above 4030."""
    step_us = dt_ms * 1e3
    nearest = float(np.rint(step_us))
    return nearest if abs(step_us - nearest) <= 1e-12 * step_us else step_us


def _is_whole(step_us: float) -> bool:
    """Whether times can be divided by the step in integers."""
    return step_us.is_integer() and step_us < np.iinfo(np.int64).max


def step_of(
    times: np.ndarray[tuple[int], np.dtype[np.int64]], dt_ms: float
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Step of each time; whole-microsecond steps are divided exactly, in integers."""
    step_us = step_length_us(dt_ms)
    if _is_whole(step_us):
        return np.asarray(times // int(step_us), dtype=np.int64)
    return np.floor(times / step_us).astype(np.int64)


def _checked_steps(
    streams: Sequence[EventStream], dt_ms: float, n_steps: int | None, counts: str
) -> int:
    """Number of steps, once everything fits together."""
    if not streams:
        raise ValueError("streams must hold at least one EventStream, got none")
    if not 0 < dt_ms < np.inf:
        raise ValueError(f"dt_ms must be positive and finite, got {dt_ms}")
    if counts not in ("keep", "clip"):
        raise ValueError(f"counts must be 'keep' or 'clip', got {counts!r}")
    sizes = {stream.sensor_size for stream in streams}
    if len(sizes) > 1:
        raise ValueError(f"streams must share one sensor_size, got {sorted(sizes)}")
    # Times never decrease, so the latest of the last events tells.
    last_us = max((int(s.events["t"][-1]) for s in streams if len(s)), default=-1)
    n_needed = int(step_of(np.array([last_us]), dt_ms)[0]) + 1 if last_us >= 0 else 0
    if n_steps is None:
        longest_us = max(stream.duration_us for stream in streams)
        n_steps = max(n_needed, int(np.ceil(longest_us / step_length_us(dt_ms))))
    if n_needed > n_steps:
        raise ValueError(
            f"n_steps must be at least {n_needed} to hold every event at dt_ms={dt_ms}, got "
            f"{n_steps}; crop the streams first if the tail is to go"
        )
    return n_steps
