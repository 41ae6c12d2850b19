"""Integer delays of groups of addresses: copies of slices, or events moved to later rows."""

from __future__ import annotations

import numpy as np
from numba import njit

from spikefuse._types import Int64Array
from spikefuse.kernels.cpu.layout import Floats, Ints
from spikefuse.kernels.cpu.layout import transpose_events as transpose_events

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@_cached
def shift_groups(x: Floats, first: Int64Array, ahead: Int64Array, out: Floats) -> None:
    """``out[t, b, n] = x[t + ahead[g], b, n]`` for n in group g, zero where x has no such step.

    Group g is the addresses from ``first[g]`` up to ``first[g + 1]``.
    """
    for t in range(out.shape[0]):
        for b in range(out.shape[1]):
            for g in range(len(ahead)):
                source = t + ahead[g]
                to = out[t, b, first[g] : first[g + 1]]
                if 0 <= source < x.shape[0]:
                    come = x[source, b, first[g] : first[g + 1]]
                    for n in range(len(to)):
                        to[n] = come[n]
                else:
                    for n in range(len(to)):
                        to[n] = np.float32(0)


@_cached
def shift_addresses(x: Floats, first: Int64Array, ahead: Int64Array, out: Floats) -> None:
    """As `shift_groups` for many small groups: a slice of one cell costs ten times the cell."""
    row, step = out.shape[2], out.shape[1] * out.shape[2]
    flat, to = x.reshape(-1), out.reshape(-1)
    offset = np.empty(row, np.int64)
    for g in range(len(ahead)):
        for n in range(first[g], first[g + 1]):
            offset[n] = ahead[g] * step + n
    for r in range(out.shape[0] * out.shape[1]):
        at = to[r * row : (r + 1) * row]
        for n in range(row):
            # A step that x has not lies before its first cell or behind its last one.
            i = r * row + offset[n]
            at[n] = flat[np.uint64(i)] if 0 <= i < len(flat) else np.float32(0)


@_cached
def count_moved(
    column_ptr: Ints, row: Ints, first: Int64Array, ahead: Int64Array, n_batch: int, ptr: Ints
) -> None:
    """Row pointer of the moved events: an event of group g goes ``ahead[g]`` steps back in time."""
    ptr[:] = 0
    for g in range(len(ahead)):
        back = ahead[g] * n_batch
        for e in range(column_ptr[first[g]], column_ptr[first[g + 1]]):
            to = row[e] - back
            if 0 <= to < len(ptr) - 1:
                ptr[to + 1] += 1
    for r in range(len(ptr) - 1):
        ptr[r + 1] += ptr[r]


@_cached
def place_moved(
    column_ptr: Ints,
    row: Ints,
    value: Floats | None,
    first: Int64Array,
    ahead: Int64Array,
    n_batch: int,
    ptr: Ints,
    index: Ints,
    out_value: Floats | None,
) -> None:
    """Write the moved events; taken address by address, they come out sorted within each row."""
    cursor = ptr.copy()
    for g in range(len(ahead)):
        back = ahead[g] * n_batch
        for n in range(first[g], first[g + 1]):
            for e in range(column_ptr[n], column_ptr[n + 1]):
                to = row[e] - back
                if 0 <= to < len(ptr) - 1:
                    index[cursor[to]] = n
                    if value is not None and out_value is not None:
                        out_value[cursor[to]] = value[e]
                    cursor[to] += 1
