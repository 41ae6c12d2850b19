"""Column tiles of weights: their width, the packed copy, and the memo that keeps it.

A tile is ``width`` columns of all rows. Packed tiles lie in one piece and fit the second-level
cache; the plain matrix has the same tiles spread over rows, which costs cache conflicts but no
copy. Packing pays when enough events read each row.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from spikefuse.kernels import buffers

WIDTHS = (64, 32, 16)
# Reads per row from which packed tiles pay, with tiles that fit the second-level cache and with
# larger ones: copying an element costs as much as gathering 3 to 12 from the plain matrix instead
# (700 to 32768 rows of 512 columns), and looking the copy up costs a small call a third more.
_READS_TO_PACK, _READS_TO_PACK_FAR = 18, 6
_SAMPLE = 1024

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Table:
    """Rows to gather from: tile k of row j starts at ``k * tile_step + j * stride``.

    Parameters
    ----------
    flat : float32 array
    tile_step, stride, width : int
        In floats.
    packed : bool
        Packed tiles are worked through one by one, a plain matrix row by row.
    """

    flat: Floats
    tile_step: int
    stride: int
    width: int
    packed: bool


@dataclass(frozen=True)
class _Memo:
    """A packed weight and the state of the weight that it was packed from."""

    state: tuple[int, int, int]  # version, address, width
    sample: Tensor
    packed: Tensor


_memos: Any = WeakTensorKeyDictionary()
_joined: Any = WeakTensorKeyDictionary()


def table_of(matrix: Tensor, n_events: int, memo: bool = True, width: int | None = None) -> Table:
    """The rows of a float32 ``[rows, columns]`` matrix as a table for ``n_events`` reads.

    The packed copy is kept with the tensor and used again while its version counter, its address
    and a sample of its elements stay the same. The counter does not see writes through ``.data``
    or a NumPy view; the sample sees those that change many elements, not a single one.

    Parameters
    ----------
    matrix : Tensor[rows, columns]
    n_events : int
        Rows that will be read. Few reads of a matrix not seen before take it as it lies.
    memo : bool
        Whether to keep the packed copy; False for a gradient, which is read once.
    width : int, optional
        Ask for packed tiles of this width, however few the reads.
    """
    n_rows, n_columns = matrix.shape
    if width is None:
        width = tile_width(n_rows, n_columns)
        least = _READS_TO_PACK if fits(n_rows, width) else _READS_TO_PACK_FAR
        if n_events < least * n_rows and n_columns % WIDTHS[-1] == 0:
            return _plain(matrix)
    if not memo or matrix.is_inference():  # inference tensors have no version to trust
        return _table(_pack(matrix, width))
    known: _Memo | None = _memos.get(matrix)
    spare = None if known is None else known.packed
    state = (matrix._version, matrix.data_ptr(), width)
    sample = _sample(matrix)
    if known is None or known.state != state or not torch.equal(known.sample, sample):
        known = _Memo(state, sample.clone(), _pack(matrix, width, spare))
        _memos[matrix] = known
    return _table(known.packed)


def joined_tables(matrices: Sequence[Tensor], width: int) -> tuple[Floats, list[Table]]:
    """Packed tables of several matrices, and all of them end to end as one flat array.

    The joined copy is kept with the first matrix as long as none of the tables is packed anew.
    """
    tables = [table_of(matrix, 0, width=width) for matrix in matrices]
    memos = [_memos.get(matrix) for matrix in matrices]
    known = _joined.get(matrices[0])
    if known is None or None in memos or not _same(known[0], memos):
        flats = [torch.from_numpy(table.flat) for table in tables]
        known = (memos, torch.cat(flats).numpy())
        _joined[matrices[0]] = known
    return known[1], tables


def tile_width(n_rows: int, n_columns: int) -> int:
    """Widest tile that fits the second-level cache; 64 where none does; no wider than needed."""
    fitting = (w for w in WIDTHS if fits(n_rows, w))
    width = min(next(fitting, WIDTHS[0]), _widest())
    return next((w for w in reversed(WIDTHS) if n_columns <= w <= width), width)


def fits(n_rows: int, width: int) -> bool:
    """Whether a packed tile fits the second-level cache."""
    return n_rows * width * 4 <= _l2_bytes()


def _same(before: list[_Memo | None], now: list[_Memo | None]) -> bool:
    """Whether the two lists hold the very same objects."""
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))


def _plain(matrix: Tensor) -> Table:
    """The matrix as it lies; its columns must be a multiple of the narrowest tile."""
    n_columns = matrix.shape[1]
    width = next(w for w in WIDTHS if n_columns % w == 0)
    flat = matrix.detach().contiguous().view(-1).numpy()
    return Table(flat, width, n_columns, width, packed=False)


def _table(packed: Tensor) -> Table:
    """Packed tiles ``[tiles, rows, width]`` as a table."""
    _, n_rows, width = packed.shape
    return Table(packed.view(-1).numpy(), n_rows * width, width, width, packed=True)


def _pack(matrix: Tensor, width: int, into: Tensor | None = None) -> Tensor:
    """Column tiles of a matrix, zero where the last tile is wider than what is left."""
    n_rows, n_columns = matrix.shape
    n_whole, rest = divmod(n_columns, width)
    shape = (n_whole + (rest > 0), n_rows, width)
    # A fresh buffer is aligned to 64 bytes: loads across cache lines cost up to twice.
    tiles = into if into is not None and into.shape == shape else buffers.empty(shape)
    columns = matrix.detach()
    if n_whole:
        whole = columns[:, : n_whole * width].reshape(n_rows, n_whole, width)
        tiles[:n_whole].copy_(whole.transpose(0, 1))
    if rest:
        tiles[-1, :, :rest].copy_(columns[:, n_whole * width :])
        tiles[-1, :, rest:].zero_()
    return tiles


def _sample(matrix: Tensor) -> Tensor:
    """Bits of about a thousand elements spread over the matrix."""
    values = matrix.detach()
    if not values.is_contiguous():
        return values.flatten().view(torch.int32)  # a copy already: all of it
    flat = values.view(-1)
    # An odd step visits every column.
    return flat[:: len(flat) // _SAMPLE | 1].view(torch.int32)


@cache
def _l2_bytes() -> int:
    """Second-level cache of a core; 1 MiB where the system does not tell."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        return int(text.removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 1 << 20


@cache
def _widest() -> int:
    """32 on x86 without AVX2, whose sixteen short registers cannot hold 64 sums; else 64."""
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
    return 32 if x86 and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX") else 64
