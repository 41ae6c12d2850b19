"""Walks over the bytes of event files."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@_cached
def bytes_left_over(content: npt.NDArray[np.uint8], start: int, marker: int) -> int:
    """Bytes of an event that the end of an Event Stream cuts; 0 if the last one is whole.

    A byte from ``marker`` on stands alone (it only moves the clock); any other begins an event of
    five bytes.
    """
    at = start
    while at < len(content):
        if content[at] >= marker:
            at += 1
        elif at + 5 <= len(content):
            at += 5
        else:
            return len(content) - at
    return 0
