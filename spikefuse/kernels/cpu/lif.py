"""LIF scans, forward and backward, on rows of neurons that LLVM turns into SIMD code.

Arithmetic follows `spikefuse.kernels.neurons.lif_scan_ref` operation by operation, so the bits
agree. Rows are 1-d slices and resets are arithmetic: a branch in a nested 2-d loop is four times
slower. There are no bounds checks here: the callers validate.

A time-major input is flat, with the steps in floats from one time step and one row to the next.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse._types import Int64Array
from spikefuse.kernels.cpu.surrogates import arctan, fast_sigmoid, surrogate_row, triangle

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_ZERO, _ONE = np.float32(0), np.float32(1)


@_cached
def _fire_row(
    x: Floats, v: Floats, beta: Floats, theta: Floats, subtract: bool, spikes: Floats
) -> None:
    """One step of one row: decay, input, spike, reset."""
    for n in range(len(spikes)):
        h = beta[n] * v[n] + x[n]
        s = _ONE if h - theta[n] > _ZERO else _ZERO
        spikes[n] = s
        v[n] = h - theta[n] * s if subtract else h * (_ONE - s)


@_cached
def _live_row(x: Floats, v: Floats) -> int:
    """How many neurons of a row have a state or an input."""
    n_active = np.int32(0)  # 32 bits, as the lanes beside it
    for n in range(len(v)):
        n_active += np.int32((v[n] != _ZERO) | (x[n] != _ZERO))
    return int(n_active)


@_cached
def lif_forward(
    x: Floats,
    x_step: int,
    x_row: int,
    beta: Floats,  # [N]
    theta: Floats,  # [N]
    subtract: bool,
    every: int,
    v: Floats,  # [B, N], from the first state to the last
    spikes: Floats,  # [T, B, N]
    saved: Floats,  # [ceil(T / every), B, N], or [0, B, N] where no gradient is wanted
    active: Int64Array,  # [1], to which neuron-steps with a state or an input are added, or [0]
) -> None:
    """Spikes of every step; the membrane before every ``every``-th step goes to ``saved``."""
    n_steps, n_rows, width = spikes.shape
    for t in range(n_steps):
        if len(saved) > 0 and t % every == 0:
            saved[t // every] = v
        for b in range(n_rows):
            at = t * x_step + b * x_row
            if len(active) > 0:
                active[0] += _live_row(x[at : at + width], v[b])
            _fire_row(x[at : at + width], v[b], beta, theta, subtract, spikes[t, b])


@_cached
def _integrate_row(
    x: Floats, v: Floats, beta: Floats, theta: Floats, subtract: bool, trace: Floats
) -> None:
    """One step again, keeping the membrane before its reset."""
    for n in range(len(trace)):
        h = beta[n] * v[n] + x[n]
        s = _ONE if h - theta[n] > _ZERO else _ZERO
        trace[n] = h
        v[n] = h - theta[n] * s if subtract else h * (_ONE - s)


@_cached
def _through(
    grad: np.float32,
    h: np.float32,
    phi: np.float32,
    theta: np.float32,
    subtract: bool,
    detach: bool,
    dv: np.float32,
) -> np.float32:
    """Gradient of one membrane before its reset, by its spike and by what the reset leaves."""
    s = _ONE if h - theta > _ZERO else _ZERO
    left = dv if subtract else dv * (_ONE - s)
    by_reset = _ZERO if detach else dv * theta if subtract else dv * h
    return phi * (grad - by_reset) + left


@_cached
def _back_row(
    grad: Floats,
    h: Floats,
    kind: int,
    slope: float,
    beta: Floats,
    theta: Floats,
    subtract: bool,
    detach: bool,
    dv: Floats,
    dx: Floats,
) -> None:
    """One step back: ``dv`` from after this step's reset to after the step before."""
    k = np.float32(slope)
    if kind == 0:
        for n in range(len(dx)):
            phi = fast_sigmoid(h[n] - theta[n], k)
            dx[n] = _through(grad[n], h[n], phi, theta[n], subtract, detach, dv[n])
            dv[n] = beta[n] * dx[n]
    elif kind == 1:
        for n in range(len(dx)):
            phi = triangle(h[n] - theta[n], k)
            dx[n] = _through(grad[n], h[n], phi, theta[n], subtract, detach, dv[n])
            dv[n] = beta[n] * dx[n]
    else:
        for n in range(len(dx)):
            phi = arctan(h[n] - theta[n], k)
            dx[n] = _through(grad[n], h[n], phi, theta[n], subtract, detach, dv[n])
            dv[n] = beta[n] * dx[n]


@_cached
def _theta_row(
    grad: Floats,
    h: Floats,
    phi: Floats,
    theta: Floats,
    subtract: bool,
    detach: bool,
    dv: Floats,
    dtheta: Floats,
) -> None:
    """This step's part of the threshold's gradient; needs ``dv`` after the reset."""
    for n in range(len(dtheta)):
        s = _ONE if h[n] - theta[n] > _ZERO else _ZERO
        by_reset = _ZERO if detach else dv[n] * theta[n] if subtract else dv[n] * h[n]
        shift = dv[n] * s if subtract else _ZERO
        dtheta[n] -= phi[n] * (grad[n] - by_reset) + shift


@_cached
def _beta_row(dx: Floats, h: Floats, theta: Floats, subtract: bool, dbeta: Floats) -> None:
    """This step's part of the decay's gradient, from the membrane ``h`` of the step before."""
    for n in range(len(dbeta)):
        s = _ONE if h[n] - theta[n] > _ZERO else _ZERO
        v = h[n] - theta[n] * s if subtract else h[n] * (_ONE - s)
        dbeta[n] += dx[n] * v


@_cached
def _beta_row_first(dx: Floats, v: Floats, dbeta: Floats) -> None:
    """`_beta_row` at a checkpoint, where the membrane is known after its reset."""
    for n in range(len(dbeta)):
        dbeta[n] += dx[n] * v[n]


@_cached
def lif_backward(
    grad: Floats,
    grad_step: int,
    grad_row: int,
    x: Floats,
    x_step: int,
    x_row: int,
    beta: Floats,  # [N]
    theta: Floats,  # [N]
    subtract: bool,
    detach: bool,
    kind: int,
    slope: float,
    every: int,
    tile: int,
    saved: Floats,  # [ceil(T / every), B, N]
    dv: Floats,  # [B, N], from the gradient of the last state to that of the first
    dx: Floats,  # [T, B, N]
    dbeta: Doubles,  # [N], or [0] where it is not wanted
    dtheta: Doubles,  # [N], or [0]
) -> None:
    """Gradients of everything; the membrane is computed again, ``every`` steps of ``tile`` rows.

    That much of it fits the second-level cache, so nothing but the input is read from memory.
    """
    n_steps, n_rows, width = dx.shape
    trace = np.empty((every, tile, width), np.float32)
    v, phi = np.empty(width, np.float32), np.empty(width, np.float32)
    part_beta, part_theta = np.zeros(len(dbeta), np.float32), np.zeros(len(dtheta), np.float32)
    for k in range(len(saved) - 1, -1, -1):
        first, last = k * every, min(n_steps, (k + 1) * every)
        for low in range(0, n_rows, tile):
            high = min(n_rows, low + tile)
            for b in range(low, high):
                v[:] = saved[k, b]
                for t in range(first, last):
                    at = t * x_step + b * x_row
                    h = trace[t - first, b - low]
                    _integrate_row(x[at : at + width], v, beta, theta, subtract, h)
            for t in range(last - 1, first - 1, -1):
                for b in range(low, high):
                    h = trace[t - first, b - low]
                    at = t * grad_step + b * grad_row
                    g = grad[at : at + width]
                    if len(dtheta) > 0:
                        surrogate_row(kind, slope, h, theta, phi)
                        _theta_row(g, h, phi, theta, subtract, detach, dv[b], part_theta)
                    _back_row(g, h, kind, slope, beta, theta, subtract, detach, dv[b], dx[t, b])
                    if len(dbeta) > 0 and t > first:
                        before = trace[t - first - 1, b - low]
                        _beta_row(dx[t, b], before, theta, subtract, part_beta)
                    elif len(dbeta) > 0:
                        _beta_row_first(dx[t, b], saved[k, b], part_beta)
            # Few terms in float32, then float64: long sums would lose the small ones.
            for n in range(len(dbeta)):
                dbeta[n] += part_beta[n]
                part_beta[n] = _ZERO
            for n in range(len(dtheta)):
                dtheta[n] += part_theta[n]
                part_theta[n] = _ZERO


@_cached
def _active_row(x: Floats, v: Floats, beta: Floats, theta: Floats, subtract: bool) -> int:
    """One step of one row; how many of its neurons had a state or an input."""
    n_active = np.int32(0)  # 32 bits, as the lanes beside it
    for n in range(len(x)):
        n_active += np.int32(v[n] != _ZERO or x[n] != _ZERO)
        h = beta[n] * v[n] + x[n]
        s = _ONE if h - theta[n] > _ZERO else _ZERO
        v[n] = h - theta[n] * s if subtract else h * (_ONE - s)
    return int(n_active)


@_cached
def lif_active(
    x: Floats,
    x_step: int,
    x_row: int,
    n_steps: int,
    beta: Floats,
    theta: Floats,
    subtract: bool,
    v: Floats,  # [B, N]
) -> int:
    """Neuron-steps whose state or input is not zero."""
    n_rows, width = v.shape
    n_active = 0
    for t in range(n_steps):
        for b in range(n_rows):
            at = t * x_step + b * x_row
            n_active += _active_row(x[at : at + width], v[b], beta, theta, subtract)
    return n_active
