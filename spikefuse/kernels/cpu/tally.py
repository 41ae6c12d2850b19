"""Sums of the columns of a matrix of spikes, dense or as events, and what they drive."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse.kernels.cpu.layout import Floats, Ints

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

Doubles = npt.NDArray[np.float64]
Words = npt.NDArray[np.int32]

# Non-zeros of so many rows are counted in int32 before they go to float64.
_BLOCK_ROWS = 4096
# Cells that are counted in int32 at a time.
_BLOCK = 1 << 24


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
def sift_columns(x: Floats, code: int, found: Doubles) -> None:
    """As `tally_columns`, unless ``x [R, N]`` is a frame, whose non-zeros are all graded.

    ``code`` 0: it is one; 1: it is one if a non-zero is not +1 or -1; 2: if a value is not whole;
    3: it is none.
    """
    counts = np.zeros(x.shape[1], np.int32)
    flags = np.int32(0)
    for r in range(x.shape[0]):
        flags |= _sift_row(x[r], counts)
    if code == 0 or (code == 1 and flags & 1) or (code == 2 and flags & 2):
        for c in range(len(counts)):
            found[1, c] = counts[c]
    elif flags & 5:  # amplitudes or signs differ
        _one_by_one(x, found)
    else:
        for c in range(len(counts)):
            found[0, c] = counts[c]


@_cached
def drive(
    x: Floats, code: int, used: Doubles, every: Doubles
) -> tuple[float, float, float, float, float, float]:
    """`sift_columns` and `weigh` as one, then the number of graded messages."""
    found = np.zeros((3, x.shape[1]))
    sift_columns(x, code, found)
    acs, macs, signed, reads, total = weigh(found, used, every)
    return acs, macs, signed, reads, total, found[1].sum()


@_cached
def _sift_row(x: Floats, counts: Words) -> np.int32:
    """Count the non-zeros of a row; 1 if one is not +1 or -1, 2 if not whole, 4 if negative."""
    other, broken, negative = np.int32(0), np.int32(0), np.int32(0)
    for c in range(len(counts)):
        value = x[c]
        some = value != np.float32(0)
        counts[c] += np.int32(some)
        other |= np.int32(some & (abs(value) != np.float32(1)))
        broken |= np.int32(value != np.floor(value))
        negative |= np.int32(value < np.float32(0))
    return np.int32(other | (broken << 1) | (negative << 2))


@_cached
def count_spikes(x: Floats, code: int) -> float:
    """Spikes in ``x [N]``, read as by `sift_columns`; -1 if one of its messages is graded."""
    total = 0.0
    for i in range(len(x)):
        size = abs(x[i])
        if size == np.float32(0):
            continue
        unfit = code == 0 or (code == 1 and size != np.float32(1))
        if unfit or not (size == np.floor(size) and size < np.inf):
            return -1.0
        total += size
    return total


@_cached
def count_some(x: Floats) -> int:
    """How many cells of ``x [N]`` are not zero."""
    n = 0
    for start in range(0, len(x), _BLOCK):
        n += _some(x[start : start + _BLOCK])
    return n


@_cached
def _some(x: Floats) -> Any:
    few = np.int32(0)
    for i in range(len(x)):
        few = np.int32(few + np.int32(x[i] != np.float32(0)))
    return few


@_cached
def count_either(x: Floats, y: Floats) -> int:
    """In how many cells ``x [N]`` or ``y [N]`` is not zero."""
    n = 0
    for start in range(0, len(x), _BLOCK):
        n += _either(x[start : start + _BLOCK], y[start : start + _BLOCK])
    return n


@_cached
def _either(x: Floats, y: Floats) -> Any:
    few = np.int32(0)
    for i in range(len(x)):
        few = np.int32(few + np.int32((x[i] != np.float32(0)) | (y[i] != np.float32(0))))
    return few


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
