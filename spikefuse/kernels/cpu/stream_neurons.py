"""Neurons of `stream`: a step of theirs, and what they are after a gap.

Numba's cache does not watch this file: touch `stream.py` when it changes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse._types import Int64Array
from spikefuse.kernels.cpu.layout import Floats
from spikefuse.kernels.stream import (
    ALIF,
    ALPHA,
    BETA,
    CUBA,
    FIRST,
    KAPPA,
    KIND,
    PEAK,
    RHO,
    SIZE,
    SUBTRACT,
    THRESHOLD,
)

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

Flags = npt.NDArray[np.uint8]
Table = npt.NDArray[np.float32]  # [6, P]

# Gaps up to this long are decayed step by step, as the clock would, which gives the same bits.
_EXACT_GAP = 64


@_cached
def _rest_lif(gap: int, v: Floats, beta: Floats) -> None:
    """Membranes after ``gap`` steps without input."""
    if gap > _EXACT_GAP:
        for c in range(len(v)):
            v[c] *= np.float32(np.float64(beta[c]) ** np.float64(gap))
        return
    for _ in range(gap):
        for c in range(len(v)):
            v[c] = beta[c] * v[c]


@_cached
def _rest_cuba(gap: int, v: Floats, i: Floats, alpha: Floats, beta: Floats) -> None:
    """Membranes and currents after ``gap`` steps without input, in closed form after long ones."""
    if gap <= _EXACT_GAP:
        for _ in range(gap):
            for c in range(len(v)):
                i[c] = alpha[c] * i[c]
                v[c] = beta[c] * v[c] + i[c]
        return
    for c in range(len(v)):
        a, b, k = np.float64(alpha[c]), np.float64(beta[c]), np.float64(gap)
        left, kept = a**k, b**k
        # The quotient loses its digits where both decays are nearly one.
        lift = a * (left - kept) / (a - b) if abs(a - b) > 1e-6 else k * ((a + b) / 2) ** k
        v[c] = np.float32(kept * v[c] + lift * i[c])
        i[c] = np.float32(left * i[c])


@_cached
def _fire_lif(
    x: Floats, v: Floats, beta: Floats, threshold: Floats, subtract: bool, spikes: Flags
) -> tuple[int, int]:
    """One step; spikes, and neurons that would fire in the next step without input."""
    n_fired, n_hot = np.int32(0), np.int32(0)
    zero, one = np.float32(0), np.float32(1)
    for c in range(len(v)):
        h = beta[c] * v[c] + x[c]
        s = one if h - threshold[c] > zero else zero
        h = h - threshold[c] * s if subtract else h * (one - s)
        v[c] = h
        x[c] = zero
        spikes[c] = np.uint8(s)
        n_fired += np.int32(s)
        n_hot += np.int32(beta[c] * h > threshold[c])
    return int(n_fired), int(n_hot)


@_cached
def _fire_cuba(
    x: Floats, v: Floats, i: Floats, neurons: Table, at: int, subtract: bool, spikes: Flags
) -> tuple[int, int]:
    """As `_fire_lif`; the second number bounds who could fire at any later step."""
    n_fired, n_hot = np.int32(0), np.int32(0)
    zero, one = np.float32(0), np.float32(1)
    for c in range(len(v)):
        theta = neurons[THRESHOLD, at + c]
        current = neurons[ALPHA, at + c] * i[c] + x[c]
        h = neurons[BETA, at + c] * v[c] + current
        s = one if h - theta > zero else zero
        h = h - theta * s if subtract else h * (one - s)
        i[c], v[c], x[c] = current, h, zero
        spikes[c] = np.uint8(s)
        n_fired += np.int32(s)
        n_hot += np.int32(max(h, zero) + neurons[PEAK, at + c] * max(current, zero) > theta)
    return int(n_fired), int(n_hot)


@_cached
def _fire_alif(
    x: Floats, v: Floats, a: Floats, neurons: Table, at: int, subtract: bool, spikes: Flags
) -> tuple[int, int]:
    """As `_fire_lif`; the threshold sinks in silence, but never below its baseline."""
    n_fired, n_hot = np.int32(0), np.int32(0)
    zero, one = np.float32(0), np.float32(1)
    for c in range(len(v)):
        theta, beta = neurons[THRESHOLD, at + c], neurons[BETA, at + c]
        h = beta * v[c] + x[c]
        s = one if h - (theta + neurons[KAPPA, at + c] * a[c]) > zero else zero
        h = h - theta * s if subtract else h * (one - s)
        a[c] = neurons[RHO, at + c] * a[c] + s
        v[c], x[c] = h, zero
        spikes[c] = np.uint8(s)
        n_fired += np.int32(s)
        n_hot += np.int32(beta * h > theta)
    return int(n_fired), int(n_hot)


@_cached
def update(
    step: int,
    gap: int,
    population: Int64Array,
    neurons: Table,
    v: Floats,
    i: Floats,
    a: Floats,
    x: Floats,
    spikes: Flags,
) -> tuple[int, int]:
    """Bring a population up to this step; spikes, and neurons that may fire without input."""
    at, size = population[FIRST], population[SIZE]
    subtract = population[SUBTRACT] != 0
    own, beta = v[at : at + size], neurons[BETA, at : at + size]
    here, fired = x[:size], spikes[at : at + size]
    if population[KIND] == CUBA:
        current = i[at : at + size]
        _rest_cuba(gap, own, current, neurons[ALPHA, at : at + size], beta)
        return _fire_cuba(here, own, current, neurons, at, subtract, fired)
    _rest_lif(gap, own, beta)
    if population[KIND] == ALIF:
        adapted = a[at : at + size]
        _rest_lif(gap, adapted, neurons[RHO, at : at + size])
        return _fire_alif(here, own, adapted, neurons, at, subtract, fired)
    return _fire_lif(here, own, beta, neurons[THRESHOLD, at : at + size], subtract, fired)


@_cached
def read_out(
    population: Int64Array, neurons: Table, v: Floats, x: Floats, filled: bool, trace: Floats
) -> None:
    """One step of leaky integrators, written out."""
    at = population[FIRST]
    for c in range(len(trace)):
        h = neurons[BETA, at + c] * v[at + c]
        if filled:
            h = h + neurons[ALPHA, at + c] * x[c]
            x[c] = np.float32(0)
        v[at + c] = trace[c] = h
