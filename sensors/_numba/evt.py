"""Walks over the words of Prophesee files; `sensors.formats.prophesee` says what a word is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse._types import Int64Array, StructuredArray

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

# Places in `skipped`.
TIMELESS, ROWLESS, TRIGGERS, OTHERS, RESERVED = range(5)


@_cached
def count_evt2(words: npt.NDArray[np.uint32]) -> int:
    """How many events the words of version 2 hold."""
    n = 0
    for word in words:
        n += (word >> 28) < 2
    return n


@_cached
def decode_evt2(words: npt.NDArray[np.uint32], out: StructuredArray, skipped: Int64Array) -> int:
    """Events of version 2, into ``out``; their number. What is left out is counted."""
    high, turns, n = np.int64(-1), np.int64(0), 0
    for word in words:
        kind = word >> 28
        if kind < 2:
            if high < 0:
                skipped[TIMELESS] += 1
                continue
            event = out[n]
            event.t = (((turns << 28) | high) << 6) | np.int64((word >> 22) & 63)
            event.x = (word >> 11) & 2047
            event.y = word & 2047
            event.p = kind == 1
            n += 1
        elif kind == 8:
            now = np.int64(word & 0xFFFFFFF)
            # Half a turn back is a turn forward; less is disorder, which the file then shows.
            turns += high - now >= 1 << 27
            high = now
        elif kind == 10:
            skipped[TRIGGERS] += 1
        elif kind == 14 or kind == 15:
            skipped[OTHERS] += 1
        else:
            skipped[RESERVED] += 1
    return n


@_cached
def count_evt3(words: npt.NDArray[np.uint16]) -> int:
    """How many events the words of version 3 hold."""
    n = 0
    for word in words:
        kind = word >> 12
        if kind == 2:
            n += 1
        elif kind == 4 or kind == 5:
            valid = word & (0xFFF if kind == 4 else 0xFF)
            while valid:
                valid &= valid - 1
                n += 1
    return n


@_cached
def decode_evt3(words: npt.NDArray[np.uint16], out: StructuredArray, skipped: Int64Array) -> int:
    """Events of version 3, into ``out``; their number. What is left out is counted."""
    high, low, turns = np.int64(-1), np.int64(0), np.int64(0)
    y, base, base_on, n = np.int64(-1), np.int64(-1), False, 0
    for raw in words:
        word = np.int64(raw)
        kind, value = word >> 12, word & 0xFFF
        if kind == 0:
            y = value & 2047
        elif kind == 2 or kind == 4 or kind == 5:
            known = high >= 0 and y >= 0 and (kind == 2 or base >= 0)
            if high < 0:
                skipped[TIMELESS] += 1
            elif not known:
                skipped[ROWLESS] += 1
            time = (((turns << 12) | high) << 12) | low
            if kind == 2:
                if known:
                    event = out[n]
                    event.t, event.x, event.y = time, value & 2047, y
                    event.p = (value & 2048) != 0
                    n += 1
                continue
            width = 12 if kind == 4 else 8
            if known:
                for k in range(width):
                    if (value >> k) & 1:
                        event = out[n]
                        event.t, event.x, event.y, event.p = time, base + k, y, base_on
                        n += 1
            if base >= 0:
                base += width
        elif kind == 3:
            base, base_on = value & 2047, (value & 2048) != 0
        elif kind == 6:
            low = value
        elif kind == 8:
            # Half a turn back is a turn forward; less is disorder, which the file then shows.
            turns += high - value >= 2048
            # The low bits of the time before would be up to 4 ms wrong; theirs come next.
            if value != high:
                low = np.int64(0)
            high = value
        elif kind == 10:
            skipped[TRIGGERS] += 1
        elif kind == 7 or kind == 14 or kind == 15:
            skipped[OTHERS] += 1
        else:
            if kind == 1:
                y = np.int64(-1)  # the row of something that is no change of light
            skipped[RESERVED] += 1
    return n
