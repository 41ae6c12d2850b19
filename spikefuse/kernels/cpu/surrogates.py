"""Slopes of the surrogate spike functions, row by row: the twins of `spikefuse.surrogate`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]

_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_HALF_PI = np.float32(np.pi / 2)


@njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
def surrogate_row(kind: int, slope: float, h: Floats, theta: Floats, phi: Floats) -> None:
    """``phi`` = slope of surrogate ``kind`` (its place in `surrogate.NAMES`) at ``h - theta``."""
    k = np.float32(slope)
    if kind == 0:
        for n in range(len(phi)):
            d = _ONE + k * abs(h[n] - theta[n])
            phi[n] = _ONE / (d * d)
    elif kind == 1:
        for n in range(len(phi)):
            phi[n] = max(_ZERO, _ONE - k * abs(h[n] - theta[n]))
    else:
        for n in range(len(phi)):
            z = _HALF_PI * k * (h[n] - theta[n])
            phi[n] = _HALF * k / (_ONE + z * z)
