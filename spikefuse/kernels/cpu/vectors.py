"""Vectors of 16 floats in LLVM: what the intrinsics of `products` are written with.

Numba's cache does not watch this file: touch `products.py` when it changes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

LANES = 16
F32, I16, I32, I64 = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)
VF = ir.VectorType(F32, LANES)
ZEROS = ir.Constant(VF, None)
ONES = ir.Constant(VF, [1.0] * LANES)


def data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Pointer to the elements of a C-contiguous array."""
    return context.make_array(array_type)(context, builder, array).data


def slot(builder: Any) -> Any:
    """A vector on the stack, which the optimiser turns into a register."""
    return cgutils.alloca_once(builder, VF)  # type: ignore[no-untyped-call]


def load(builder: Any, base: Any, offset: Any, q: int) -> Any:
    """The q-th 16 floats after ``base[offset]``; only float alignment is assumed."""
    at = builder.gep(base, [builder.add(offset, I64(LANES * q))])
    return builder.load(builder.bitcast(at, VF.as_pointer()), align=4)


def store(builder: Any, vector: Any, base: Any, offset: Any, q: int) -> None:
    """Write the q-th 16 floats after ``base[offset]``."""
    at = builder.gep(base, [builder.add(offset, I64(LANES * q))])
    builder.store(vector, builder.bitcast(at, VF.as_pointer()), align=4)


def splat(builder: Any, scalar: Any) -> Any:
    """Sixteen copies of a float."""
    one = builder.insert_element(ir.Constant(VF, ir.Undefined), scalar, I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))
