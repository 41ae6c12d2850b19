"""The kernels of `products` on plain numba loops, where the intrinsics do not compile.

Same kernels, same bits, about twice the time. Only the functions that hold an intrinsic have a
twin here; the kernels built on them are compiled again from their own source. Nothing is cached
on disk: the cache goes by a function's place in its file and would mix the two up.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse.kernels.cpu import masks, products
from spikefuse.kernels.cpu.layout import Floats, Ints
from spikefuse.kernels.cpu.layout import scatter_events as scatter_events
from spikefuse.kernels.cpu.layout import silent_cells as silent_cells
from spikefuse.kernels.cpu.layout import transpose_events as transpose_events

_plain = njit(nogil=True, error_model="numpy", boundscheck=False)


@_plain
def gather_row(
    out: Floats,
    o: int,
    table: Floats,
    w: int,
    stride: int,
    index: Ints,
    value: Floats | None,
    first: int,
    last: int,
    width: int,
) -> None:
    """As `products.gather_row`: events outermost, sums in memory."""
    for c in range(width):
        out[o + c] = np.float32(0)
    for e in range(first, last):
        row = w + stride * index[e]
        for c in range(width):
            term = table[row + c]
            if value is not None:
                term = value[e] * term
            out[o + c] += term


@_plain
def fire_row(
    v: Floats,
    at: int,
    current: Floats,
    beta: Floats,
    threshold: Floats,
    p: int,
    subtract: bool,
    mask: npt.NDArray[np.uint16],
    m: int,
    width: int,
) -> None:
    """As `products.fire_row`, neuron by neuron."""
    for q in range(width // 16):
        bits = 0
        for lane in range(16):
            c = 16 * q + lane
            theta = threshold[p + c]
            h = beta[p + c] * v[at + c] + current[c]
            s = np.float32(h - theta > np.float32(0))
            v[at + c] = h - theta * s if subtract else h * (np.float32(1) - s)
            bits |= int(s) << lane
        mask[m + q] = bits


@_plain
def dot_blocks(a: Floats, i: int, b: Floats, j: int, n_blocks: int) -> np.float32:
    """As `products.dot_blocks`: 64 lanes, folded in the same order."""
    sums = np.zeros(64, np.float32)
    for k in range(64 * n_blocks):
        sums[k % 64] += a[i + k] * b[j + k]
    for q in range(1, 4):
        for lane in range(16):
            sums[lane] += sums[16 * q + lane]
    half = 8
    while half:
        for lane in range(half):
            sums[lane] += sums[lane + half]
        half //= 2
    return np.float32(sums[0])


@_plain
def count_bits(bits: np.uint64) -> int:
    """As `masks.count_bits`: each step clears the lowest set bit."""
    n = 0
    while bits != np.uint64(0):
        n += 1
        bits &= bits - np.uint64(1)
    return n


@_plain
def lowest_bit(bits: np.uint64) -> int:
    """As `masks.lowest_bit`."""
    n = 0
    while bits & np.uint64(1) == np.uint64(0):
        n += 1
        bits >>= np.uint64(1)
    return n


_twins: dict[str, Any] = {
    "np": np,
    "gather_row": gather_row,
    "fire_row": fire_row,
    "count_live": products.count_live,
    "dot_blocks": dot_blocks,
    "count_bits": count_bits,
    "lowest_bit": lowest_bit,
}


def _rebuilt(kernel: Any) -> Callable[..., Any]:
    """The kernel's own source on the plain twins of what it calls."""
    source: FunctionType = kernel.py_func
    compiled: Callable[..., Any] = _plain(FunctionType(source.__code__, _twins, source.__name__))
    return compiled


event_tiles = _rebuilt(products.event_tiles)
event_rows = _rebuilt(products.event_rows)
event_dots = _rebuilt(products.event_dots)
_twins["sum_sources"] = _rebuilt(products.sum_sources)
fused_lif = _rebuilt(products.fused_lif)
fused_li = _rebuilt(products.fused_li)
count_spikes = _rebuilt(masks.count_spikes)
list_spikes = _rebuilt(masks.list_spikes)
