"""Calls of `compaction.cu` and `transpose.cu`: dense rows to events, back, and by column.

`listed` reads the number of events back, the one point at which the host waits for the device,
unless it is told how many there can be.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.sources import Launcher

Events = tuple[Tensor, Tensor, Tensor | None]  # indptr, index, value (None where all are 1)


def listed(launch: Launcher, bits: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Row pointer and ascending columns of the set bits of ``bits`` [R, words].

    With ``most``, room for so many columns: the rest of them stay unwritten and nothing is read
    back.
    """
    indptr = _row_pointer(launch, bits)
    return indptr, _columns(launch, bits, indptr, int(indptr[-1]) if most is None else most)


def compact(launch: Launcher, dense: Tensor) -> Events:
    """Events of the non-zero cells of ``dense`` [R, N]."""
    n_rows, n = dense.shape
    bits = empty_bits(n_rows, n, dense.device)
    graded = torch.zeros(1, dtype=torch.int32, device=dense.device)
    if dense.numel():
        grid, block = shapes.warps(bits.numel())
        launch("compaction", "sf_mark_spikes", grid, block, (dense, bits, graded, n_rows, n))
    indptr = _row_pointer(launch, bits)
    # Both numbers at once: each reading back waits for the device.
    n_events, has_values = torch.cat([indptr[-1:], graded]).tolist()
    index = _columns(launch, bits, indptr, n_events)
    if not has_values:
        return indptr, index, None
    value = torch.empty(n_events, dtype=torch.float32, device=dense.device)
    grid, block = shapes.warps(n_rows)
    arguments = (dense, indptr, index, value, n_rows, n)
    launch("compaction", "sf_take_values", grid, block, arguments)
    return indptr, index, value


def compact_unread(launch: Launcher, dense: Tensor) -> Events:
    """As `compact`, in as much memory as ``dense`` takes twice, without a word to the host.

    The row pointer says how much of index and amplitudes is meant; there are always amplitudes.
    """
    n_rows, n = dense.shape
    bits = empty_bits(n_rows, n, dense.device)
    graded = torch.zeros(1, dtype=torch.int32, device=dense.device)
    value = torch.empty(dense.numel(), dtype=torch.float32, device=dense.device)
    if dense.numel():
        grid, block = shapes.warps(bits.numel())
        launch("compaction", "sf_mark_spikes", grid, block, (dense, bits, graded, n_rows, n))
    indptr, index = listed(launch, bits, dense.numel())
    if dense.numel():
        grid, block = shapes.warps(n_rows)
        arguments = (dense, indptr, index, value, n_rows, n)
        launch("compaction", "sf_take_values", grid, block, arguments)
    return indptr, index, value


def _row_pointer(launch: Launcher, bits: Tensor) -> Tensor:
    """Where each row's events start, [R + 1]; the last entry is their number."""
    n_rows, words = bits.shape
    indptr = torch.zeros(n_rows + 1, dtype=torch.int32, device=bits.device)
    if n_rows:
        count = torch.empty(n_rows, dtype=torch.int32, device=bits.device)
        grid, block = shapes.warps(n_rows)
        launch("compaction", "sf_count_bits", grid, block, (bits, count, n_rows, words))
        threads = (shapes.lanes(n_rows, 1024), 1, 1)
        launch("compaction", "sf_scan_counts", (1, 1, 1), threads, (count, indptr, n_rows))
    return indptr


def _columns(launch: Launcher, bits: Tensor, indptr: Tensor, n_events: int) -> Tensor:
    """Columns of the set bits, row by row and ascending."""
    n_rows, words = bits.shape
    index = torch.empty(n_events, dtype=torch.int32, device=bits.device)
    if n_events:
        grid, block = shapes.warps(n_rows)
        launch("compaction", "sf_list_spikes", grid, block, (bits, indptr, index, n_rows, words))
    return index


def expand(launch: Launcher, events: Events, n: int) -> Tensor:
    """The events as a dense tensor [R, n]."""
    indptr, index, _ = events
    n_rows = len(indptr) - 1
    out = torch.zeros((n_rows, n), dtype=torch.float32, device=indptr.device)
    if len(index):
        grid, block = shapes.warps(n_rows)
        launch("compaction", "sf_scatter_events", grid, block, (*events, out, n_rows, n))
    return out


def transpose(launch: Launcher, events: Events, n: int) -> Events:
    """Events by column: pointer [n + 1], rows that ascend within a column, amplitudes."""
    indptr, index, value = events
    n_rows = len(indptr) - 1
    bits = empty_bits(n, n_rows, indptr.device).zero_()
    if len(index):
        arguments = (indptr, index, bits, n_rows)
        launch("transpose", "sf_transpose_mark", (n_rows, 1, 1), (64, 1, 1), arguments)
    column_ptr, row = listed(launch, bits, len(index))
    if value is None:
        return column_ptr, row, None
    column_value = torch.empty_like(value)
    if len(index):
        grid, block = shapes.warps(n)
        arrays = (indptr, index, value, column_ptr, row, column_value)
        launch("transpose", "sf_transpose_values", grid, block, (*arrays, n))
    return column_ptr, row, column_value


def empty_bits(n_rows: int, n: int, device: torch.device) -> Tensor:
    """Memory for a bit per cell, rows of 32-bit words."""
    words = shapes.ceil_div(n, shapes.WARP)
    return torch.empty((n_rows, words), dtype=torch.int32, device=device)
