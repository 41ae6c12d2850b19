"""Events checked and put on the model's clock in one pass."""

from __future__ import annotations

import numpy as np
from numba import njit

from spikefuse._types import StructuredArray

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@_cached
def intake(
    events: StructuredArray,
    width: int,
    height: int,
    step_us: float,
    whole_us: int,  # step_us where it is a whole number, else 0
    stepped: StructuredArray,
) -> bool:
    """Copy the events with their step for a time; whether all of them are in order and in range."""
    before = np.int64(0)
    for e in range(len(events)):
        t, x, y = events[e]["t"], events[e]["x"], events[e]["y"]
        if t < before or x < 0 or x >= width or y < 0 or y >= height:
            return False
        before = t
        step = t // whole_us if whole_us > 0 else np.int64(np.floor(t / step_us))
        stepped[e]["t"], stepped[e]["x"], stepped[e]["y"] = step, x, y
        stepped[e]["p"] = events[e]["p"]
    return True
