"""Gated products: the rows of a window are read at the steps that hold events, and nowhere else."""

from __future__ import annotations

import numpy as np
from numba import njit

from spikefuse.kernels.cpu.layout import Floats, Ints

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@_cached
def _gate(total: Floats, z: Floats, saturating: bool, to: Floats) -> None:
    """One row of the gated product."""
    for m in range(len(total)):
        gate = np.float32(1) - np.exp(-max(z[m], np.float32(0))) if saturating else z[m]
        to[m] = total[m] * gate


@_cached
def _decay(z: Floats, beta: Floats, steps: int) -> None:
    """A trace some steps later; a power costs twenty times a product, and one step is common."""
    if steps == 1:
        for m in range(len(z)):
            z[m] *= beta[m]
    elif steps > 1:
        for m in range(len(z)):
            z[m] *= beta[m] ** np.float32(steps)


@_cached
def gated_rows(
    indptr: Ints,
    index: Ints,
    value: Floats | None,
    weight: Floats,  # flat [n_in, M]
    window: Floats,  # flat [R, M]
    saturating: bool,
    out: Floats,  # flat [R, M], zero
    drive: Floats,  # flat [R, M] or [0]
    width: int,
) -> None:
    """``out[r] = (sum of the events' weight rows) * gate(window[r])``; ``drive`` keeps the sum."""
    total = np.empty(width, np.float32)
    for r in range(len(indptr) - 1):
        if indptr[r] == indptr[r + 1]:
            continue
        total[:] = np.float32(0)
        for e in range(indptr[r], indptr[r + 1]):
            s = value[e] if value is not None else np.float32(1)
            w = weight[index[e] * width : (index[e] + 1) * width]
            for m in range(width):
                total[m] += s * w[m]
        _gate(
            total, window[r * width : (r + 1) * width], saturating, out[r * width : (r + 1) * width]
        )
        if len(drive) > 0:
            keep = drive[r * width : (r + 1) * width]
            for m in range(width):
                keep[m] = total[m]


@_cached
def decaying_rows(
    indptr: Ints,  # events that count
    index: Ints,
    value: Floats | None,
    weight: Floats,  # flat [n_in, M]
    opener_ptr: Ints,  # events that open
    opener_index: Ints,
    opener_value: Floats | None,
    opener_weight: Floats,  # flat [n_opener, M]
    beta: Floats,  # [M]
    same_step: bool,
    saturating: bool,
    trace: Floats,  # [B, M], to the trace after the last step
    out: Floats,  # flat [R, M], zero
) -> None:
    """As `gated_rows` with an exponential window that is brought up to date at events alone."""
    n_batch, width = trace.shape
    n_steps = (len(indptr) - 1) // n_batch
    total = np.empty(width, np.float32)
    for b in range(n_batch):
        z, last = trace[b], -1
        for t in range(n_steps):
            r = t * n_batch + b
            opens = opener_ptr[r + 1] > opener_ptr[r]
            counts = indptr[r + 1] > indptr[r]
            if not (opens or counts):
                continue
            _decay(z, beta, t - last)
            last = t
            total[:] = np.float32(0)
            for e in range(indptr[r], indptr[r + 1]):
                s = value[e] if value is not None else np.float32(1)
                w = weight[index[e] * width : (index[e] + 1) * width]
                for m in range(width):
                    total[m] += s * w[m]
            to = out[r * width : (r + 1) * width]
            if counts and not same_step:
                _gate(total, z, saturating, to)
            for e in range(opener_ptr[r], opener_ptr[r + 1]):
                s = opener_value[e] if opener_value is not None else np.float32(1)
                w = opener_weight[opener_index[e] * width : (opener_index[e] + 1) * width]
                for m in range(width):
                    z[m] += s * w[m]
            if counts and same_step:
                _gate(total, z, saturating, to)
        _decay(z, beta, n_steps - 1 - last)
