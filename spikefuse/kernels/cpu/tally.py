"""Sums of the columns of a matrix of spikes, dense or as events, and what they drive."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse.kernels.cpu.layout import Floats, Ints

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

Doubles = npt.NDArray[np.float64]
Words = npt.NDArray[np.int32]

# Non-zeros of so many rows are counted in int32 before they go to float64.
_BLOCK_ROWS = 4096


@_cached
def tally_columns(x: Floats, found: Doubles) -> None:
    """Whole, graded and negative messages of the columns of ``x [R, N]``, into ``found [3, N]``.

    Blocks in which every non-zero has one amplitude, as spikes do (scaled by dropout or not), are
    counted by comparing bits; there only +0 is zero.
    """
    n_rows, n = x.shape
    bits = x.view(np.int32)
    counts = np.empty(n, np.int32)
    amplitude = np.zeros(1, np.float32)
    for start in range(0, n_rows, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, n_rows)
        counts[:] = 0
        _first(x[start:stop], amplitude)
        word = amplitude.view(np.int32)[0]
        others = np.int32(0)
        for r in range(start, stop):
            others |= _count_row(bits[r], word, counts)
            if others != 0:
                break
        if others != 0:
            _one_by_one(x[start:stop], found)
        elif word != 0:
            _of_one_size(amplitude[0], counts, found)


@_cached
def _first(x: Floats, found: Floats) -> None:
    """The first value of some rows that is not zero, or zero, into ``found [1]``."""
    found[0] = 0
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            if x[r, c] != np.float32(0):
                found[0] = x[r, c]
                return


@_cached
def _count_row(bits: Words, word: np.int32, counts: Words) -> np.int32:
    """Count the cells of a row that are not zero; 1 if one of them does not hold ``word``."""
    others = np.int32(0)
    for c in range(len(counts)):
        held = bits[c]
        counts[c] += np.int32(held != 0)
        others |= np.int32((held != 0) & (held != word))
    return others


@_cached
def _of_one_size(value: np.float32, counts: Words, found: Doubles) -> None:
    """So many messages of one amplitude."""
    size = np.float64(abs(value))
    row = 0 if size == np.floor(size) and size < np.inf else 1
    each = size if row == 0 else 1.0
    for c in range(len(counts)):
        found[row, c] += each * counts[c]
    if row == 0 and value < 0:
        for c in range(len(counts)):
            found[2, c] += each * counts[c]


@_cached
def _one_by_one(x: Floats, found: Doubles) -> None:
    """The same for any values."""
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            if x[r, c] != np.float32(0):
                _add(x[r, c], c, found)


@_cached
def _add(value: np.float32, c: int, found: Doubles) -> None:
    """One message more at an address."""
    size = abs(value)
    if size == np.floor(size) and size < np.inf:
        found[0, c] += size
        if value < 0:
            found[2, c] += size
    else:
        found[1, c] += 1


@_cached
def tally_events(index: Ints, value: Floats | None, found: Doubles) -> None:
    """Messages of every address ``index``, of the amplitudes ``value``, into ``found [3, N]``."""
    if value is None:
        for e in range(len(index)):
            found[0, index[e]] += 1
    else:
        for e in range(len(index)):
            if value[e] != np.float32(0):
                _add(value[e], index[e], found)


@_cached
def weigh(
    found: Doubles,  # [3, N], whole, graded and negative messages
    used: Doubles,  # [N]
    every: Doubles,  # [N]
) -> tuple[float, float, float, float, float]:
    """Whole, graded and negative messages by ``used``, all by ``every``, and their number."""
    acs, macs, signed, reads, total = 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(found.shape[1]):
        messages = found[0, c] + found[1, c]
        acs += found[0, c] * used[c]
        macs += found[1, c] * used[c]
        signed += found[2, c] * used[c]
        reads += messages * every[c]
        total += messages
    return acs, macs, signed, reads, total
