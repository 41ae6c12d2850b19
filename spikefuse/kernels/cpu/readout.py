"""Leaky integration, forward and backward: rows as in `spikefuse.kernels.cpu.lif`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@_cached
def _step_row(x: Floats, v: Floats, beta: Floats, gain: Floats, trace: Floats) -> None:
    """One step of one row."""
    for n in range(len(trace)):
        v[n] = beta[n] * v[n] + gain[n] * x[n]
        trace[n] = v[n]


@_cached
def _seen_row(x: Floats, seen: Flags) -> int:
    """Note which neurons of a row have an input, and count those that ever had one."""
    n_seen = np.int32(0)  # 32 bits, as the lanes beside it
    for n in range(len(seen)):
        seen[n] |= np.uint8(x[n] != np.float32(0))
        n_seen += np.int32(seen[n])
    return int(n_seen)


@_cached
def li_forward(
    x: Floats,
    x_step: int,
    x_row: int,
    beta: Floats,  # [N]
    gain: Floats,  # [N]
    v: Floats,  # [B, N]
    trace: Floats,  # [T, B, N]
    seen: Flags,  # [B, N], which neurons have a state, or [0, N] where nobody asks
) -> int:
    """``v = beta v + gain x``, written every step; returns the neuron-steps from a first input on.

    The number is 0 where ``seen`` is empty.
    """
    n_steps, n_rows, width = trace.shape
    n_active = 0
    for t in range(n_steps):
        for b in range(n_rows):
            at = t * x_step + b * x_row
            if len(seen) > 0:
                n_active += _seen_row(x[at : at + width], seen[b])
            _step_row(x[at : at + width], v[b], beta, gain, trace[t, b])
    return n_active


@_cached
def _back_row(
    grad: Floats, beta: Floats, gain: Floats, dv: Floats, total: Floats, dx: Floats
) -> None:
    """One step back; ``total`` is the gradient of this step's state."""
    for n in range(len(dx)):
        g = grad[n] + dv[n]
        total[n] = g
        dx[n] = gain[n] * g
        dv[n] = beta[n] * g


@_cached
def _sum_row(total: Floats, before: Floats, x: Floats, dbeta: Doubles, dgain: Doubles) -> None:
    """This step's part of the parameters' gradients."""
    for n in range(len(dbeta)):
        dbeta[n] += total[n] * before[n]
        dgain[n] += total[n] * x[n]


@_cached
def li_backward(
    grad: Floats,
    grad_step: int,
    grad_row: int,
    x: Floats,
    x_step: int,
    x_row: int,
    beta: Floats,  # [N]
    gain: Floats,  # [N]
    first: Floats,  # [B, N]
    trace: Floats,  # [T, B, N], or [0, B, N] where no parameter's gradient is wanted
    dv: Floats,  # [B, N], to the gradient of the first state
    dx: Floats,  # [T, B, N]
    dbeta: Doubles,  # [N] or [0]
    dgain: Doubles,  # [N] or [0]
) -> None:
    """Gradients of everything."""
    n_steps, n_rows, width = dx.shape
    total = np.empty(width, np.float32)
    for t in range(n_steps - 1, -1, -1):
        for b in range(n_rows):
            at = t * grad_step + b * grad_row
            _back_row(grad[at : at + width], beta, gain, dv[b], total, dx[t, b])
            if len(trace) > 0:
                at = t * x_step + b * x_row
                before = trace[t - 1, b] if t > 0 else first[b]
                _sum_row(total, before, x[at : at + width], dbeta, dgain)
