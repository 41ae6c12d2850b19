"""Send on delta in one walk over the signal."""

from __future__ import annotations

import numpy as np
from numba import njit

from spikefuse._types import FloatArray
from spikefuse.kernels.cpu.layout import Floats

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@_cached
def send(
    signal: Floats,  # [T * B * N]
    threshold: float,
    most: float,  # thresholds that the signal must stay below
    level: FloatArray,  # [B, N], updated
    both: Floats,  # [T * B, 2 N], filled: steps down, then steps up
) -> bool:
    """Steps sent by every value; returns whether all values were in range."""
    n_batch, n = level.shape
    for row in range(len(both)):
        now, values = level[row % n_batch], signal[row * n : (row + 1) * n]
        down, up = both[row, :n], both[row, n:]
        n_bad = 0
        for i in range(n):
            scaled = np.float64(values[i]) / threshold
            n_bad += not (np.abs(scaled) < most)  # a NaN is below nothing
            move = np.trunc(scaled - now[i])
            now[i] += move
            step = np.float32(move)
            down[i] = -step if step < np.float32(0) else np.float32(0)
            up[i] = step if step > np.float32(0) else np.float32(0)
        if n_bad:
            return False
    return True
