"""Scans of neurons with synaptic current, adaptation and recurrence, forward and backward.

A neuron's state is (i, v, a): ``[rows, 3, N]``. Its parameters are (alpha, beta, theta, kappa,
rho): ``[5, N]``. One array each keeps the alias checks few enough for LLVM to vectorise a row.
Arithmetic follows the torch references operation by operation. A step of one row is

    i = alpha i + (x + r);  h = beta v + i;  s = [h - (theta + kappa a) > 0];  a = rho a + s

with ``r`` the sum of the weight rows of the neurons that fired in the step before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse.kernels.cpu.surrogates import surrogate_row

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_ZERO, _ONE = np.float32(0), np.float32(1)


@_cached
def _add_row(scale: float, row: Floats, total: Floats) -> None:
    """``total += scale * row``."""
    for n in range(len(total)):
        total[n] += scale * row[n]


@_cached
def _arriving(fired: Floats, weight: Floats, r: Floats) -> None:
    """``r = fired @ weight``, reading only the rows of neurons that fired."""
    r[:] = _ZERO
    for j in range(len(fired)):
        if fired[j] != _ZERO:
            _add_row(fired[j], weight[j], r)


@_cached
def _step_row(
    x: Floats, r: Floats, p: Floats, subtract: bool, state: Floats, spikes: Floats
) -> int:
    """One step of one row; how many of its neurons had a state or an input."""
    n_active = np.int32(0)
    for n in range(len(spikes)):
        i, v, a = p[0, n] * state[0, n], state[1, n], p[3, n] * state[2, n]
        total = x[n] + r[n]
        n_active += np.int32(i != _ZERO or v != _ZERO or a != _ZERO or total != _ZERO)
        i = i + total
        h = p[1, n] * v + i
        s = _ONE if h - (p[2, n] + a) > _ZERO else _ZERO
        spikes[n] = s
        state[0, n] = i
        state[1, n] = h - p[2, n] * s if subtract else h * (_ONE - s)
        state[2, n] = p[4, n] * state[2, n] + s
    return int(n_active)


@_cached
def scan_forward(
    x: Floats,
    x_step: int,
    x_row: int,
    weight: Floats,  # [N, N], or [0, 0] without recurrence
    p: Floats,  # [5, N]
    subtract: bool,
    every: int,
    fired: Floats,  # [B, N], spikes of the step before the first; [0, 0] without recurrence
    state: Floats,  # [B, 3, N], from the first state to the last
    spikes: Floats,  # [T, B, N]
    saved: Floats,  # [ceil(T / every), B, 3, N], or [0, B, 3, N] where no gradient is wanted
) -> int:
    """Spikes of every step; returns the neuron-steps with a state or an input."""
    n_steps, n_rows, width = spikes.shape
    r = np.zeros(width, np.float32)
    n_active = 0
    for t in range(n_steps):
        if len(saved) > 0 and t % every == 0:
            saved[t // every] = state
        for b in range(n_rows):
            if len(weight) > 0:
                _arriving(spikes[t - 1, b] if t > 0 else fired[b], weight, r)
            at = t * x_step + b * x_row
            n_active += _step_row(x[at : at + width], r, p, subtract, state[b], spikes[t, b])
    return n_active


@_cached
def _retrace_row(
    x: Floats, r: Floats, p: Floats, subtract: bool, state: Floats, trace: Floats
) -> None:
    """One step again; ``trace`` keeps (i, v, a) before it and the membrane before its reset."""
    for n in range(len(x)):
        i = p[0, n] * state[0, n] + (x[n] + r[n])
        h = p[1, n] * state[1, n] + i
        s = _ONE if h - (p[2, n] + p[3, n] * state[2, n]) > _ZERO else _ZERO
        trace[0, n] = state[0, n]
        trace[1, n] = state[1, n]
        trace[2, n] = state[2, n]
        trace[3, n] = h
        state[0, n] = i
        state[1, n] = h - p[2, n] * s if subtract else h * (_ONE - s)
        state[2, n] = p[4, n] * state[2, n] + s


@_cached
def _limit_row(p: Floats, trace: Floats, limit: Floats) -> None:
    """The threshold that held in this step."""
    for n in range(len(limit)):
        limit[n] = p[2, n] + p[3, n] * trace[2, n]


@_cached
def _back_row(
    grad: Floats,
    carry: Floats,
    h: Floats,
    limit: Floats,
    phi: Floats,
    p: Floats,
    subtract: bool,
    detach: bool,
    dstate: Floats,
    dx: Floats,
    parts: Floats,
) -> None:
    """One step back: ``dstate`` from the gradient after this step to that before it.

    ``parts`` are what `_part_row` needs: the gradients of h, theta, theta + kappa a, and a.
    """
    for n in range(len(dx)):
        s = _ONE if h[n] - limit[n] > _ZERO else _ZERO
        dv, da = dstate[1, n], dstate[2, n]
        by_reset = _ZERO if detach else dv * p[2, n] if subtract else dv * h[n]
        du = phi[n] * (grad[n] + carry[n] + da - by_reset)
        dh = du + (dv if subtract else dv * (_ONE - s))
        di = dh + dstate[0, n]
        dx[n] = di
        parts[0, n] = dh
        parts[1, n] = du + (dv * s if subtract else _ZERO)
        parts[2, n] = du
        parts[3, n] = da
        dstate[0, n] = p[0, n] * di
        dstate[1, n] = p[1, n] * dh
        dstate[2, n] = p[4, n] * da - p[3, n] * du


@_cached
def _part_row(dx: Floats, parts: Floats, trace: Floats, sums: Floats) -> None:
    """This step's part of the parameters' gradients.

    Apart from `_back_row`, because LLVM gives up on a loop with more than 128 alias checks.
    """
    for n in range(len(dx)):
        sums[0, n] += dx[n] * trace[0, n]
        sums[1, n] += parts[0, n] * trace[1, n]
        sums[2, n] -= parts[1, n]
        sums[3, n] -= parts[2, n] * trace[2, n]
        sums[4, n] += parts[3, n] * trace[2, n]


@_cached
def retrace(
    x: Floats,
    x_step: int,
    x_row: int,
    weight: Floats,
    p: Floats,
    subtract: bool,
    fired: Floats,  # [B, N]
    spikes: Floats,  # [T, B, N] of a recurrent layer, or [0, B, N]
    first: int,
    last: int,
    low: int,
    high: int,
    saved: Floats,  # [B, 3, N], the state before step ``first``
    trace: Floats,  # [every, high - low, 4, N]
) -> None:
    """Steps ``first`` to ``last`` again for rows ``low`` to ``high``."""
    width = p.shape[1]
    state = np.empty((3, width), np.float32)
    r = np.zeros(width, np.float32)
    for b in range(low, high):
        state[:] = saved[b]
        for t in range(first, last):
            if len(weight) > 0:
                _arriving(spikes[t - 1, b] if t > 0 else fired[b], weight, r)
            at = t * x_step + b * x_row
            _retrace_row(x[at : at + width], r, p, subtract, state, trace[t - first, b - low])


@_cached
def step_back(
    grad: Floats,
    grad_step: int,
    grad_row: int,
    carry: Floats,  # [B, N], or [1, N] of zeros
    p: Floats,
    subtract: bool,
    detach: bool,
    kind: int,
    slope: float,
    t: int,
    low: int,
    high: int,
    trace: Floats,  # [high - low, 4, N]
    dstate: Floats,  # [B, 3, N]
    dx: Floats,  # [T, B, N]
    sums: Floats,  # [5, N], or [0, N] where no parameter's gradient is wanted
) -> None:
    """Step ``t`` back for rows ``low`` to ``high``."""
    width = p.shape[1]
    phi, limit = np.empty(width, np.float32), np.empty(width, np.float32)
    parts = np.empty((4, width), np.float32)
    for b in range(low, high):
        at = t * grad_step + b * grad_row
        _limit_row(p, trace[b - low], limit)
        surrogate_row(kind, slope, trace[b - low, 3], limit, phi)
        _back_row(
            grad[at : at + width],
            carry[b if len(carry) > 1 else 0],
            trace[b - low, 3],
            limit,
            phi,
            p,
            subtract,
            detach,
            dstate[b],
            dx[t, b],
            parts,
        )
        if len(sums) > 0:
            _part_row(dx[t, b], parts, trace[b - low], sums)


@_cached
def flush(sums: Floats, dp: Doubles) -> None:
    """Move float32 sums of few terms to float64: long sums would lose the small ones."""
    for k in range(sums.shape[0]):
        for n in range(sums.shape[1]):
            dp[k, n] += sums[k, n]
            sums[k, n] = _ZERO


@_cached
def scan_backward(
    grad: Floats,
    grad_step: int,
    grad_row: int,
    x: Floats,
    x_step: int,
    x_row: int,
    p: Floats,
    subtract: bool,
    detach: bool,
    kind: int,
    slope: float,
    every: int,
    tile: int,
    saved: Floats,  # [ceil(T / every), B, 3, N]
    dstate: Floats,  # [B, 3, N], from the gradient of the last state to that of the first
    dx: Floats,  # [T, B, N]
    dp: Doubles,  # [5, N], or [0, N] where no parameter's gradient is wanted
) -> None:
    """Gradients of everything, without recurrence: ``every`` steps of ``tile`` rows at a time."""
    n_steps, n_rows, width = dx.shape
    trace = np.empty((every, tile, 4, width), np.float32)
    sums, none = np.zeros(dp.shape, np.float32), np.zeros((1, width), np.float32)
    no_weight, no_spikes = np.zeros((0, 0), np.float32), np.zeros((0, 0, 0), np.float32)
    for k in range(len(saved) - 1, -1, -1):
        first, last = k * every, min(n_steps, (k + 1) * every)
        for low in range(0, n_rows, tile):
            high = min(n_rows, low + tile)
            retrace(
                x, x_step, x_row, no_weight, p, subtract, no_weight, no_spikes, first, last, low,
                high, saved[k], trace,
            )  # fmt: skip
            for t in range(last - 1, first - 1, -1):
                step_back(
                    grad, grad_step, grad_row, none, p, subtract, detach, kind, slope, t, low,
                    high, trace[t - first], dstate, dx, sums,
                )  # fmt: skip
            flush(sums, dp)


@_cached
def weight_gradient(
    fired: Floats,  # [B, N]
    spikes: Floats,  # [T, B, N]
    dx: Floats,  # [T, B, N]
    dweight: Floats,  # [N, N]
) -> None:
    """``dweight[j] += dx`` of every step after one in which neuron j fired."""
    for t in range(spikes.shape[0]):
        for b in range(spikes.shape[1]):
            before = spikes[t - 1, b] if t > 0 else fired[b]
            for j in range(len(before)):
                if before[j] != _ZERO:
                    _add_row(before[j], dx[t, b], dweight[j])
