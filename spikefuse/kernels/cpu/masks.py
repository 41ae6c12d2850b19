"""Spikes as bits to spikes as lists: the second half of the fused layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from spikefuse.kernels.cpu.layout import Ints

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

Words = npt.NDArray[np.uint64]


def _lowest_bit(_typing: Any, bits: Any) -> Any:
    """Position of the lowest set bit of a non-zero uint64."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), codegen


def _count_bits(_typing: Any, bits: Any) -> Any:
    """Number of set bits of a uint64."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.intp(types.uint64), codegen


# Any: numba types an intrinsic by its Python signature, which has the typing context in front.
lowest_bit: Any = intrinsic(_lowest_bit)
count_bits: Any = intrinsic(_count_bits)


@_cached
def count_spikes(mask: Words, ptr: Ints) -> None:
    """CSR row pointer of the set bits of ``mask`` ``[rows, words]``."""
    ptr[0] = 0
    for r in range(mask.shape[0]):
        n = 0
        for word in mask[r]:
            n += count_bits(word)
        ptr[r + 1] = ptr[r] + n


@_cached
def list_spikes(mask: Words, index: Ints) -> None:
    """CSR column indices of the set bits of ``mask``, row by row."""
    at = 0
    for r in range(mask.shape[0]):
        for k in range(mask.shape[1]):
            bits = mask[r, k]
            while bits != np.uint64(0):
                index[at] = 64 * k + lowest_bit(bits)
                at += 1
                bits &= bits - np.uint64(1)
