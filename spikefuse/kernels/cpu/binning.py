"""Event streams to rows of events: one walk over the recordings, no sort, no dense tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from spikefuse._types import Int64Array, StructuredArray
from spikefuse.kernels.cpu.layout import Floats, Ints

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

Words = npt.NDArray[np.uint64]


def _lowest_bit(_typing: Any, bits: Any) -> Any:
    """Position of the lowest set bit of a non-zero uint64."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), codegen


# Not shared with other files: the cache of a kernel does not see a change in another file.
lowest_bit: Any = intrinsic(_lowest_bit)


@_cached
def bin_streams(
    events: StructuredArray,  # all streams end to end
    first: Int64Array,  # [B + 1], where each stream starts
    width: int,
    plane: int,  # W * H, or 0 where polarity is no part of the address
    n_addresses: int,
    step_us: float,
    whole_us: int,  # step_us where it is a whole number, else 0
    n_steps: int,
    ptr: Ints,  # [T * B + 1]
    index: Ints,  # [events], filled row by row
    count: Floats,  # [events]
) -> int:
    """Rows in order of time, then sample; returns the largest count of one cell.

    Every stream keeps its place, so that one walk over the steps writes the rows where they
    belong. Cells of the current row are bits. A second level of bits says which words hold any,
    so that a row costs its events, whatever the sensor's size. Reading the bits in order sorts
    them.
    """
    words = np.zeros((n_addresses + 63) // 64, np.uint64)
    summary = np.zeros((len(words) + 63) // 64, np.uint64)
    seen = np.zeros(n_addresses, np.int32)
    one = np.uint64(1)
    n_batch = len(first) - 1
    place = first[:n_batch].copy()
    largest, at = 0, 0
    ptr[0] = 0
    for step in range(n_steps):
        end_us = (step + 1) * whole_us
        for b in range(n_batch):
            e, last = place[b], first[b + 1]
            while e < last:
                t = events[e].t
                if whole_us:
                    if t >= end_us:
                        break
                elif np.int64(np.floor(t / step_us)) > step:
                    break
                a = np.int64(events[e].y) * width + events[e].x
                if events[e].p:
                    a += plane
                words[a >> 6] |= one << np.uint64(a & 63)
                summary[a >> 12] |= one << np.uint64((a >> 6) & 63)
                seen[a] += np.int32(1)
                e += 1
            if e > place[b]:
                place[b] = e
                for s in range(len(summary)):
                    outer = summary[s]
                    while outer != np.uint64(0):
                        w = 64 * s + lowest_bit(outer)
                        outer &= outer - one
                        bits = words[w]
                        while bits != np.uint64(0):
                            a = 64 * w + lowest_bit(bits)
                            bits &= bits - one
                            index[at] = a
                            count[at] = seen[a]
                            largest = max(largest, seen[a])
                            seen[a] = np.int32(0)
                            at += 1
                        words[w] = np.uint64(0)
                    summary[s] = np.uint64(0)
            ptr[step * n_batch + b + 1] = at
    return largest
