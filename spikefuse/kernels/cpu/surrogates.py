"""Slopes of the surrogate spike functions: the twins of `spikefuse.surrogate`.

Numba's cache watches the file of the function that is called from Python, not this one: a change
here needs one in `lif` and `dynamics` too, or an emptied cache.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]

_inlined = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_HALF_PI = np.float32(np.pi / 2)


@_inlined
def fast_sigmoid(u: np.float32, k: np.float32) -> np.float32:
    """``1 / (1 + k |u|)^2``."""
    d = _ONE + k * abs(u)
    return _ONE / (d * d)


@_inlined
def triangle(u: np.float32, k: np.float32) -> np.float32:
    """``max(0, 1 - k |u|)``."""
    return max(_ZERO, _ONE - k * abs(u))


@_inlined
def arctan(u: np.float32, k: np.float32) -> np.float32:
    """``k / 2 / (1 + (pi k u / 2)^2)``."""
    z = _HALF_PI * k * u
    return _HALF * k / (_ONE + z * z)


@_inlined
def surrogate_row(kind: int, slope: float, h: Floats, theta: Floats, phi: Floats) -> None:
    """``phi`` = slope of surrogate ``kind`` (its place in `surrogate.NAMES`) at ``h - theta``."""
    k = np.float32(slope)
    if kind == 0:
        for n in range(len(phi)):
            phi[n] = fast_sigmoid(h[n] - theta[n], k)
    elif kind == 1:
        for n in range(len(phi)):
            phi[n] = triangle(h[n] - theta[n], k)
    else:
        for n in range(len(phi)):
            phi[n] = arctan(h[n] - theta[n], k)
