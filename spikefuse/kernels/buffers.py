"""Memory for large results: freed blocks are kept and used again, so that no page is faulted twice.

The first touch of a fresh page costs more than the arithmetic done on it. A block goes back to the
pool when the last tensor, view or array that shares its storage is gone, so no two live tensors
ever share one. NumPy advises huge pages for what is allocated here.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Block = npt.NDArray[np.uint8]

# Below this the allocator of torch hands out memory that is warm already.
POOLED_BYTES = 1 << 20
_ALIGNMENT = 64
_free: dict[int, list[Block]] = {}
# A finaliser can run in the middle of `empty`, on the same thread: the lock must let it in.
_lock = threading.RLock()


def empty(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """An uninitialised contiguous CPU tensor; a large one comes from the pool of freed blocks.

    Parameters
    ----------
    shape : sequence of int
    dtype : torch.dtype

    Returns
    -------
    Tensor of ``shape``
        Aligned to 64 bytes. Its storage cannot be resized.
    """
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes < POOLED_BYTES:
        return torch.empty(tuple(shape), dtype=dtype)
    block = _take(_block_bytes(n_bytes))
    start = -block.ctypes.data % _ALIGNMENT
    lease = np.ndarray(shape, _numpy_type(dtype), block, start)
    # torch keeps this very array alive as long as the storage lives, and nothing else holds it.
    weakref.finalize(lease, _give_back, block).atexit = False
    return torch.from_numpy(lease)


def kept_bytes() -> int:
    """Bytes of freed blocks that wait for their next use."""
    with _lock:
        return sum(size * len(blocks) for size, blocks in _free.items())


def release() -> None:
    """Give every waiting block back to the system; live tensors are untouched."""
    with _lock:
        _free.clear()


@cache
def keep_limit() -> int:
    """Most bytes that wait in the pool: a sixteenth of the machine's memory, at most 1 GiB."""
    return min(_memory_bytes() // 16, 1 << 30)


@cache
def _numpy_type(dtype: torch.dtype) -> np.dtype[Any]:
    """The NumPy type of the same elements."""
    return torch.empty(0, dtype=dtype).numpy().dtype


def _take(size: int) -> Block:
    """A waiting block of this size, the last one freed first (it is warm), or a new one."""
    with _lock:
        blocks = _free.get(size)
        if blocks:
            return blocks.pop()
    return np.empty(size, np.uint8)


def _give_back(block: Block) -> None:
    """Keep a freed block unless that would exceed the limit."""
    with _lock:
        if kept_bytes() + block.nbytes > keep_limit():
            # Other sizes may be the leftovers of an earlier workload: they go first.
            for size in [size for size in _free if size != block.nbytes]:
                del _free[size]
        if kept_bytes() + block.nbytes <= keep_limit():
            _free.setdefault(block.nbytes, []).append(block)


def _block_bytes(n_bytes: int) -> int:
    """Size class: eight to an octave, so that slightly different shapes share blocks."""
    wanted = n_bytes + _ALIGNMENT
    grain = 1 << (wanted.bit_length() - 4)
    return -(-wanted // grain) * grain


def _memory_bytes() -> int:
    """Physical memory, or 4 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 4 << 30
