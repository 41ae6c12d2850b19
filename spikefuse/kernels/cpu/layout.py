"""Layouts of events: transposed, and made dense."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@_cached
def transpose_events(
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    column_ptr: Ints,
    row: Ints,
    column_value: Floats | None,
) -> None:
    """CSR to CSC by counting sort; rows ascend within each column."""
    column_ptr[:] = 0
    for e in range(index.shape[0]):
        column_ptr[index[e] + 1] += 1
    n_columns = column_ptr.shape[0] - 1
    for j in range(n_columns):
        column_ptr[j + 1] += column_ptr[j]
    for r in range(ptr.shape[0] - 1):
        for e in range(ptr[r], ptr[r + 1]):
            at = column_ptr[index[e]]
            row[at] = r
            if value is not None and column_value is not None:
                column_value[at] = value[e]
            column_ptr[index[e]] = at + 1
    # Every pointer has moved on to the start of the next column: shift them back.
    for j in range(n_columns, 0, -1):
        column_ptr[j] = column_ptr[j - 1]
    column_ptr[0] = 0


@_cached
def scatter_events(ptr: Ints, index: Ints, value: Floats | None, out: Floats) -> None:
    """Events into the dense ``[rows, columns]`` matrix ``out``."""
    for r in range(ptr.shape[0] - 1):
        out[r, :] = np.float32(0)
        for e in range(ptr[r], ptr[r + 1]):
            out[r, index[e]] = np.float32(1) if value is None else value[e]


@_cached
def silent_cells(ptr: Ints, index: Ints, silent_ptr: Ints, silent: Ints) -> None:
    """Columns without an event, row by row; those of the events ascend within a row."""
    for r in range(ptr.shape[0] - 1):
        at, column = silent_ptr[r], 0
        for e in range(ptr[r], ptr[r + 1]):
            for c in range(column, index[e]):
                silent[at] = c
                at += 1
            column = index[e] + 1
        for c in range(column, column + silent_ptr[r + 1] - at):
            silent[at] = c
            at += 1
