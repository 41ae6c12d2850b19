"""Column tiles of weights: their width, the packed copy, and the memo that keeps it.

A tile is ``width`` columns of all rows. Packed tiles lie in one piece and fit the second-level
cache; the plain matrix has the same tiles spread over rows, which costs cache conflicts but no
copy. Packing pays when enough events read each row.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from spikefuse.kernels import buffers, registry
from spikefuse.kernels.launch import product_kernel

WIDTHS = (64, 32, 16)
# Reads per row from which packing pays at once: copying an element costs as much as gathering 19
# to 37 from the plain matrix instead of a packed tile (700 to 32768 rows of 512 columns).
_READS_TO_PACK = 24
# Reads per row below which even a tile packed already is no faster, with tiles that fit the
# second-level cache and with larger ones.
_READS_FOR_TILES, _READS_FOR_FAR_TILES = 16, 8
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


@dataclass
class _Memo:
    """What is known about one version of a weight; ``packed`` is filled when packing pays."""

    version: int
    address: int
    sample: npt.NDArray[np.int32]
    packed: Floats | None


_memos: Any = WeakTensorKeyDictionary()


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
    plain = matrix.detach().contiguous().numpy()
    reads = n_events / max(n_rows, 1) if width is None else np.inf
    width = tile_width(n_rows, n_columns) if width is None else width
    whole = n_columns % WIDTHS[-1] == 0
    least = _READS_FOR_TILES if fits(n_rows, width) else _READS_FOR_FAR_TILES
    if whole and reads < least:
        return _plain(plain)
    few = whole and reads < _READS_TO_PACK
    if not memo or matrix.is_inference():  # inference tensors have no version to trust
        return _plain(plain) if few else _table(_pack(plain, width))
    known: _Memo | None = _memos.get(matrix)
    sample = _sample(plain)
    fresh = (
        known is not None
        and known.version == matrix._version
        and known.address == matrix.data_ptr()
        and np.array_equal(known.sample, sample)
    )
    if known is None or not fresh:
        spare = None if known is None else known.packed
        known = _Memo(matrix._version, matrix.data_ptr(), sample.copy(), None)
        _memos[matrix] = known
        if few:
            return _plain(plain)
        known.packed = _pack(plain, width, spare)
    elif known.packed is None or known.packed.shape[2] != width:
        # The second use of one version: it is worth packing now.
        known.packed = _pack(plain, width)
    return _table(known.packed)


def tile_width(n_rows: int, n_columns: int) -> int:
    """Widest tile that fits the second-level cache; 64 where none does; no wider than needed."""
    fitting = (w for w in WIDTHS if fits(n_rows, w))
    width = min(next(fitting, WIDTHS[0]), _widest())
    return next((w for w in reversed(WIDTHS) if n_columns <= w <= width), width)


def fits(n_rows: int, width: int) -> bool:
    """Whether a packed tile fits the second-level cache."""
    return n_rows * width * 4 <= _l2_bytes()


def _plain(matrix: Floats) -> Table:
    """The matrix as it lies; its columns must be a multiple of the narrowest tile."""
    n_columns = matrix.shape[1]
    width = next(w for w in WIDTHS if n_columns % w == 0)
    return Table(matrix.reshape(-1), width, n_columns, width, packed=False)


def _table(packed: Floats) -> Table:
    """Packed tiles ``[tiles, rows, width]`` as a table."""
    _, n_rows, width = packed.shape
    return Table(packed.reshape(-1), n_rows * width, width, width, packed=True)


def _pack(matrix: Floats, width: int, into: Floats | None = None) -> Floats:
    """Column tiles of a matrix, zero where the last tile is wider than what is left."""
    n_rows, n_columns = matrix.shape
    shape = (-(-n_columns // width), n_rows, width)
    if into is None or into.shape != shape:
        # Aligned to 64 bytes, which NumPy's are not: loads across cache lines cost up to twice.
        tiles = buffers.empty(shape)
        into = (tiles.zero_() if n_columns % width else tiles).numpy()
    product_kernel("event_matmul", registry.NUMBA, "pack_columns")(matrix, into)
    return into


def _sample(matrix: Floats) -> npt.NDArray[np.int32]:
    """Bits of about a thousand elements spread over the matrix."""
    flat = matrix.reshape(-1).view(np.int32)
    return flat[:: max(1, len(flat) // _SAMPLE)]


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
