"""Sums of the columns of a matrix of spikes, with a check that all of them are spikes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse.kernels.cpu.layout import Floats

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

Doubles = npt.NDArray[np.float64]

# Sums of ones are exact in float32 up to 2**24; far fewer rows stay in the cache.
_BLOCK_ROWS = 4096


@_cached
def tally_columns(x: Floats, found: Doubles) -> None:
    """Whole, graded and negative messages of the columns of ``x [R, N]``, into ``found [3, N]``."""
    n_rows, n = x.shape
    sums = np.empty(n, np.float32)
    for start in range(0, n_rows, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, n_rows)
        sums[:] = 0
        others = np.float32(0)
        for r in range(start, stop):
            for c in range(n):
                value = x[r, c]
                sums[c] += value
                # Zero for 0 and 1, and for nothing else; NaN stays.
                others += abs(value * value - value)
        if others == 0:
            for c in range(n):
                found[0, c] += sums[c]
        else:
            _one_by_one(x[start:stop], found)


@_cached
def _one_by_one(x: Floats, found: Doubles) -> None:
    """The same for any values."""
    n_rows, n = x.shape
    for r in range(n_rows):
        for c in range(n):
            value = x[r, c]
            if value == 0:
                continue
            size = abs(value)
            if size == np.floor(size) and size < np.inf:
                found[0, c] += size
                if value < 0:
                    found[2, c] += size
            else:
                found[1, c] += 1
