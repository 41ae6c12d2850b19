"""Dense tensors to events: a bit per cell by SIMD compares, then the list of the set bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from spikefuse.kernels.cpu.layout import Floats, Ints
from spikefuse.kernels.cpu.layout import scatter_events as scatter_events
from spikefuse.kernels.cpu.masks import count_bits, lowest_bit
from spikefuse.kernels.cpu.masks import count_spikes as count_spikes
from spikefuse.kernels.cpu.masks import list_spikes as list_spikes

_LANES, _WORD = 16, 64
_VF = ir.VectorType(ir.FloatType(), _LANES)
_ZEROS = ir.Constant(_VF, None)
_ONES = ir.Constant(_VF, [1.0] * _LANES)

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

Words = npt.NDArray[np.uint64]


def _compare(predicates: tuple[tuple[str, ir.Constant], ...]) -> Any:
    """Intrinsic ``(flat, i) -> uint64``: bit l says that ``flat[i + l]`` passes every comparison.

    The comparisons are unordered, so a NaN passes all of them.
    """

    def compare(_typing: Any, flat: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            base = context.make_array(flat)(context, builder, args[0]).data
            at = builder.bitcast(builder.gep(base, [args[1]]), _VF.as_pointer())
            x = builder.load(at, align=4)
            hits = [builder.fcmp_unordered(op, x, other) for op, other in predicates]
            both = hits[0]
            for hit in hits[1:]:
                both = builder.and_(both, hit)
            return builder.zext(builder.bitcast(both, ir.IntType(_LANES)), ir.IntType(64))

        return types.uint64(flat, types.intp), codegen

    return intrinsic(compare)


# Any: numba types an intrinsic by its Python signature, which has the typing context in front.
_nonzero: Any = _compare((("!=", _ZEROS),))
_graded: Any = _compare((("!=", _ZEROS), ("!=", _ONES)))


@_cached
def mark_spikes(flat: Floats, n_columns: int, mask: Words) -> bool:
    """Set bit c of row r of ``mask`` where ``flat[r * n_columns + c]`` is not zero.

    Returns whether all of these cells hold 1.
    """
    odd = np.uint64(0)
    for r in range(mask.shape[0]):
        row = r * n_columns
        for k in range(n_columns // _WORD):
            i = row + k * _WORD
            bits = _nonzero(flat, i)
            bits |= _nonzero(flat, i + 16) << np.uint64(16)
            bits |= _nonzero(flat, i + 32) << np.uint64(32)
            bits |= _nonzero(flat, i + 48) << np.uint64(48)
            odd |= _graded(flat, i) | _graded(flat, i + 16)
            odd |= _graded(flat, i + 32) | _graded(flat, i + 48)
            mask[r, k] = bits
        if n_columns % _WORD:
            bits = np.uint64(0)
            c = n_columns // _WORD * _WORD
            while c + _LANES <= n_columns:
                bits |= _nonzero(flat, row + c) << np.uint64(c % _WORD)
                odd |= _graded(flat, row + c)
                c += _LANES
            for last in range(c, n_columns):
                x = flat[row + last]
                bits |= np.uint64(x != np.float32(0)) << np.uint64(last % _WORD)
                odd |= np.uint64((x != np.float32(0)) & (x != np.float32(1)))
            mask[r, n_columns // _WORD] = bits
    return bool(odd == np.uint64(0))


@_cached
def take_values(flat: Floats, n_columns: int, ptr: Ints, index: Ints, value: Floats) -> None:
    """``value[e]`` = what the dense cell of event e holds."""
    for r in range(ptr.shape[0] - 1):
        for e in range(ptr[r], ptr[r + 1]):
            value[e] = flat[r * n_columns + index[e]]


@_cached
def small_product(
    dense: Floats, n_in: int, weight: Floats, n_out: int, most: int, out: Floats
) -> bool:
    """``out = dense @ weight`` by events, flat and row by row, if there are at most ``most``.

    One pass without a list of events, for inputs so small that a call costs as much as its work.
    Terms are added in event order, as in `products.event_rows`.
    """
    n_rows = dense.shape[0] // n_in
    n_words = (n_in + _LANES - 1) // _LANES
    mask = np.empty(n_rows * n_words, np.uint64)
    n = 0
    for r in range(n_rows):
        for k in range(n_words):
            i, bits = r * n_in + k * _LANES, np.uint64(0)
            if (k + 1) * _LANES <= n_in:
                bits = _nonzero(dense, i)
            else:
                for last in range(n_in - k * _LANES):
                    bits |= np.uint64(dense[i + last] != np.float32(0)) << np.uint64(last)
            mask[r * n_words + k] = bits
            n += count_bits(bits)
    if n > most:
        return False
    out[:] = np.float32(0)
    for r in range(n_rows):
        o = r * n_out
        for k in range(n_words):
            bits = mask[r * n_words + k]
            while bits != np.uint64(0):
                j = k * _LANES + lowest_bit(bits)
                bits &= bits - np.uint64(1)
                x, w = dense[r * n_in + j], j * n_out
                if x == np.float32(1):
                    for c in range(n_out):
                        out[o + c] += weight[w + c]
                else:
                    for c in range(n_out):
                        out[o + c] += x * weight[w + c]
    return True
