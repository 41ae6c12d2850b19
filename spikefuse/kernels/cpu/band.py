"""Neurons near threshold, as bits: where a surrogate gradient of compact support is not zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint64]

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_ZERO, _ONE = np.float32(0), np.float32(1)


@_cached
def _near_row(
    x: Floats, v: Floats, beta: Floats, theta: Floats, k: np.float32, subtract: bool, near: Words
) -> None:
    """One step of one row, as `lif_forward` takes it; 1 where the triangle's slope is not zero."""
    for n in range(len(x)):
        h = beta[n] * v[n] + x[n]
        u = h - theta[n]
        near[n] = np.uint64(_ONE - k * abs(u) > _ZERO)
        s = _ONE if u > _ZERO else _ZERO
        v[n] = h - theta[n] * s if subtract else h * (_ONE - s)


@_cached
def lif_near(
    x: Floats,
    x_step: int,
    x_row: int,
    beta: Floats,  # [N]
    theta: Floats,  # [N]
    slope: float,
    subtract: bool,
    v: Floats,  # [B, N], from the first state to the last
    mask: Words,  # [T * B, ceil(N / 64)]
) -> None:
    """Set bit n of row ``t * B + b`` where neuron n is near threshold."""
    n_rows, width = v.shape
    k = np.float32(slope)
    near = np.zeros(mask.shape[1] * 64, np.uint64)
    for r in range(mask.shape[0]):
        t, b = r // n_rows, r % n_rows
        at = t * x_step + b * x_row
        _near_row(x[at : at + width], v[b], beta, theta, k, subtract, near[:width])
        for word in range(mask.shape[1]):
            bits = np.uint64(0)
            for c in range(64):
                bits |= near[64 * word + c] << np.uint64(c)
            mask[r, word] = bits
