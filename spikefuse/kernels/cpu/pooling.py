"""Pooling of spike maps and addition of spike trains, on sorted rows of events."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from spikefuse.kernels.cpu.layout import Floats, Ints

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

SUM, MAX = 0, 1
ADD, OR, AND, IAND = 0, 1, 2, 3


def _lowest_bit(_typing: Any, bits: Any) -> Any:
    """Position of the lowest set bit of a non-zero uint64."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), codegen


# Not shared with other files: the cache of a kernel does not see a change in another file.
lowest_bit: Any = intrinsic(_lowest_bit)


@_cached
def pool_events(
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    first: Ints,  # [n_in + 1], where each address's windows start
    window: Ints,  # the windows that an address lies in
    n_out: int,
    full: int,  # cells of a window
    mode: int,
    out_ptr: Ints,
    out: Ints,  # [events times the windows that one cell lies in]
    out_value: Floats,
) -> None:
    """Windows that hold events, row by row; cells of the row in hand are bits, as in binning."""
    words = np.zeros((n_out + 63) // 64, np.uint64)
    total = np.zeros(n_out, np.float32)
    held = np.zeros(n_out, np.int32)
    one = np.uint64(1)
    at = 0
    out_ptr[0] = 0
    for r in range(len(ptr) - 1):
        for e in range(ptr[r], ptr[r + 1]):
            v = np.float32(1) if value is None else value[e]
            for k in range(first[index[e]], first[index[e] + 1]):
                a = np.int64(window[k])
                words[a >> 6] |= one << np.uint64(a & 63)
                if mode == SUM or held[a] == 0:
                    total[a] += v
                else:
                    total[a] = max(total[a], v)
                held[a] += np.int32(1)
        for w in range(len(words) if ptr[r] < ptr[r + 1] else 0):
            bits = words[w]
            words[w] = np.uint64(0)
            while bits != np.uint64(0):
                a = 64 * w + lowest_bit(bits)
                bits &= bits - one
                v = total[a]
                # A window that is not full holds zeros as well.
                if mode == MAX and held[a] < full:
                    v = max(v, np.float32(0))
                if v != np.float32(0):
                    out[at] = a
                    out_value[at] = v
                    at += 1
                total[a] = np.float32(0)
                held[a] = np.int32(0)
        out_ptr[r + 1] = at


@_cached
def join_events(
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    other_ptr: Ints,
    other_index: Ints,
    other_value: Floats | None,
    rule: int,
    out_ptr: Ints,
    out: Ints,  # [events of both]
    out_value: Floats,
) -> None:
    """Merge of two sorted lists in every row; what sums to zero is no event."""
    end = np.int64(np.iinfo(np.int32).max) + 1
    at = 0
    out_ptr[0] = 0
    for r in range(len(ptr) - 1):
        i, k = ptr[r], other_ptr[r]
        while i < ptr[r + 1] or k < other_ptr[r + 1]:
            left = np.int64(index[i]) if i < ptr[r + 1] else end
            right = np.int64(other_index[k]) if k < other_ptr[r + 1] else end
            a, b = np.float32(0), np.float32(0)
            if left <= right:
                a = np.float32(1) if value is None else value[i]
                i += 1
            if right <= left:
                b = np.float32(1) if other_value is None else other_value[k]
                k += 1
            if rule == ADD:
                v = a + b
            elif rule == OR:
                v = max(a, b)
            elif rule == AND:
                v = a * b
            else:
                v = (np.float32(1) - a) * b
            if v != np.float32(0):
                out[at] = min(left, right)
                out_value[at] = v
                at += 1
        out_ptr[r + 1] = at
