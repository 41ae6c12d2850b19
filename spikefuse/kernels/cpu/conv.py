"""Convolution event by event: each one adds a patch of weights to the output positions it reaches.

Sums and weights lie channels-last, padded to whole vectors. Every event adds a patch of the same
size, ``ceil(kernel / stride)`` positions down and across, because loops of varying length cost
more in mispredicted branches than their additions. A patch holds zeros where the kernel does not
reach, and the grid of sums has a rim for positions that do not exist. Each row is brought into the
order of the maps while it is in the first-level cache. Additions follow the event order, without
fused multiply-adds. There are no bounds checks: `spikefuse.kernels.conv` validates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from spikefuse._types import FloatArray, Int64Array
from spikefuse.kernels.cpu.layout import Floats, Ints

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_inlined = njit(nogil=True, error_model="numpy", boundscheck=False, inline="always")

# Rows whose float32 sums of a weight's gradient are added up before they go into a float64 total.
ROWS_PER_TOTAL = 64


def _vector_at(context: Any, builder: Any, array_type: Any, array: Any, at: Any, lanes: int) -> Any:
    """Pointer to ``lanes`` floats from ``array[at]`` on."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), ir.VectorType(_F32, lanes).as_pointer())


def _add_scaled(_typing: Any, out: Any, o: Any, x: Any, i: Any, scale: Any, width: Any) -> Any:
    """``out[o:][:width] += scale * x[i:][:width]`` for a literal width."""
    if not isinstance(width, types.IntegerLiteral):
        return None
    lanes = width.literal_value
    signature = types.void(out, types.intp, x, types.intp, types.float32, width)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vector = ir.VectorType(_F32, lanes)
        to = _vector_at(context, builder, out, args[0], args[1], lanes)
        term = builder.load(_vector_at(context, builder, x, args[2], args[3], lanes), align=4)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), args[4], _I32(0))
        order = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
        term = builder.fmul(builder.shuffle_vector(one, one, order), term)
        builder.store(builder.fadd(builder.load(to, align=4), term), to, align=4)
        return context.get_dummy_value()

    return signature, codegen


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Columns of an 8 by 8 block from its rows: three rounds that interleave distant rows."""
    low = ir.Constant(ir.VectorType(_I32, 8), [0, 8, 1, 9, 2, 10, 3, 11])
    high = ir.Constant(ir.VectorType(_I32, 8), [4, 12, 5, 13, 6, 14, 7, 15])
    for _ in range(3):
        pairs = [(rows[c], rows[c + 4]) for c in range(4)]
        rows = [builder.shuffle_vector(a, b, mix) for a, b in pairs for mix in (low, high)]
    return rows


def _leave_grid(
    _typing: Any, out: Any, o: Any, up: Any, grid: Any, place: Any, p: Any, c: Any
) -> Any:
    """``out[o + k * up + i] = grid[place[p + i] + c + k]`` for i, k < 8."""
    size = types.intp
    signature = types.void(out, size, size, grid, place, size, size)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        rows = []
        for i in range(8):
            at = _place(context, builder, place, args[4], args[5], args[6], i)
            rows.append(builder.load(_vector_at(context, builder, grid, args[3], at, 8), align=4))
        for k, column in enumerate(_turned(builder, rows)):
            at = builder.add(args[1], builder.mul(args[2], _I64(k)))
            builder.store(column, _vector_at(context, builder, out, args[0], at, 8), align=4)
        return context.get_dummy_value()

    return signature, codegen


def _enter_grid(
    _typing: Any, grid: Any, place: Any, p: Any, c: Any, x: Any, o: Any, up: Any
) -> Any:
    """``grid[place[p + i] + c + k] = x[o + k * up + i]`` for i, k < 8."""
    size = types.intp
    signature = types.void(grid, place, size, size, x, size, size)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        rows = []
        for k in range(8):
            at = builder.add(args[5], builder.mul(args[6], _I64(k)))
            rows.append(builder.load(_vector_at(context, builder, x, args[4], at, 8), align=4))
        for i, column in enumerate(_turned(builder, rows)):
            at = _place(context, builder, place, args[1], args[2], args[3], i)
            builder.store(column, _vector_at(context, builder, grid, args[0], at, 8), align=4)
        return context.get_dummy_value()

    return signature, codegen


def _place(context: Any, builder: Any, array_type: Any, place: Any, p: Any, c: Any, i: int) -> Any:
    """``place[p + i] + c``."""
    data = context.make_array(array_type)(context, builder, place).data
    at = builder.load(builder.gep(data, [builder.add(p, _I64(i))]))
    return builder.add(builder.sext(at, _I64), c)


def _dot_patch(
    _typing: Any, grid: Any, o: Any, line: Any, patch: Any, w: Any, down: Any, run: Any, lanes: Any
) -> Any:
    """Sum over i < down, k < run of ``grid[o + i * line + k] * patch[w + i * run + k]``.

    ``lanes`` partial sums (8 or 16, a literal that divides run), then folded by halves.
    """
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    n, size = lanes.literal_value, types.intp
    signature = types.float32(grid, size, size, patch, size, size, size, lanes)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vector = ir.VectorType(_F32, n)
        slot = cgutils.alloca_once(builder, vector)  # type: ignore[no-untyped-call]
        builder.store(ir.Constant(vector, None), slot)
        with cgutils.for_range(builder, args[5]) as loop:
            left = builder.add(args[1], builder.mul(loop.index, args[2]))
            right = builder.add(args[4], builder.mul(loop.index, args[6]))
            with cgutils.for_range_slice(builder, _I64(0), args[6], _I64(n), _I64) as (k, _):
                a = _vector_at(context, builder, grid, args[0], builder.add(left, k), n)
                b = _vector_at(context, builder, patch, args[3], builder.add(right, k), n)
                term = builder.fmul(builder.load(a, align=4), builder.load(b, align=4))
                builder.store(builder.fadd(builder.load(slot), term), slot)
        total = builder.load(slot)
        half = n // 2
        while half:
            order = ir.Constant(ir.VectorType(_I32, n), [(i + half) % n for i in range(n)])
            total = builder.fadd(total, builder.shuffle_vector(total, total, order))
            half //= 2
        return builder.extract_element(total, _I32(0))

    return signature, codegen


# Any: numba types an intrinsic by its Python signature, which has the typing context in front.
add_scaled: Any = intrinsic(prefer_literal=True)(_add_scaled)
dot_patch: Any = intrinsic(prefer_literal=True)(_dot_patch)
leave_grid: Any = intrinsic(_leave_grid)
enter_grid: Any = intrinsic(_enter_grid)


@_inlined
def add_run(out: Floats, o: int, x: Floats, i: int, scale: np.float32, n: int, lanes: int) -> None:
    """``out[o:][:n] += scale * x[i:][:n]``, in vectors of 8 or 16.

    A vector never straddles two positions, so that a load finds its bytes in one earlier store.
    """
    if lanes == 16:
        for k in range(0, n, 16):
            add_scaled(out, o + k, x, i + k, scale, 16)
    else:
        for k in range(0, n, 8):
            add_scaled(out, o + k, x, i + k, scale, 8)


# In both directions the last block moves back to end at the rim and writes some cells twice.


@_inlined
def to_maps(out: Floats, o: int, n_channels: int, grid: Floats, place: Ints) -> None:
    """One row of sums into the order of the maps."""
    n = len(place)
    if n < 8 or n_channels < 8:
        for p in range(n):
            for c in range(n_channels):
                out[o + c * n + p] = grid[place[p] + c]
        return
    for c in range(0, n_channels, 8):
        at = min(c, n_channels - 8)
        for p in range(0, n - 7, 8):
            leave_grid(out, o + at * n + p, n, grid, place, p, at)
        if n % 8:
            leave_grid(out, o + at * n + n - 8, n, grid, place, n - 8, at)


@_inlined
def from_maps(grid: Floats, place: Ints, x: Floats, o: int, n_channels: int) -> None:
    """One row of maps onto the grid."""
    n = len(place)
    if n < 8 or n_channels < 8:
        for c in range(n_channels):
            for p in range(n):
                grid[place[p] + c] = x[o + c * n + p]
        return
    for c in range(0, n_channels, 8):
        at = min(c, n_channels - 8)
        for p in range(0, n - 7, 8):
            enter_grid(grid, place, p, at, x, o + at * n + p, n)
        if n % 8:
            enter_grid(grid, place, n - 8, at, x, o + at * n + n - 8, n)


@_inlined
def sum_events(
    sums: Floats,  # [n_grid]
    begin: int,
    end: int,
    index: Ints,
    value: Floats | None,
    reach: Ints,
    patches: Floats,
    size: Int64Array,
) -> None:
    """The grid's sums over the events from ``begin`` to ``end - 1``, in their order."""
    down, run, width, lanes, line = size[0], size[1], size[2], size[3], size[6]
    sums[:] = np.float32(0)
    for e in range(begin, end):
        o = reach[2 * index[e]] * width
        w = reach[2 * index[e] + 1] * down * run
        scale = np.float32(1)
        if value is not None:
            scale = value[e]
        for i in range(down):
            add_run(sums, o + i * line, patches, w + i * run, scale, run, lanes)


@_cached
def conv_forward(
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    reach: Ints,  # [2 * n_in]: first position in the grid, and patch, of every address
    patches: Floats,  # [patches * down * across * width]
    place: Ints,  # [positions], where each lies in the grid of sums
    size: Int64Array,
    out: Floats,  # [rows * n_channels * positions]
) -> None:
    """Currents of every row of events."""
    n_channels, n_grid = size[4], size[5]
    n_maps = n_channels * len(place)
    sums = np.empty(n_grid, np.float32)
    for r in range(ptr.shape[0] - 1):
        if ptr[r] == ptr[r + 1]:
            out[r * n_maps : (r + 1) * n_maps] = np.float32(0)
            continue
        sum_events(sums, ptr[r], ptr[r + 1], index, value, reach, patches, size)
        to_maps(out, r * n_maps, n_channels, sums, place)


@_cached
def conv_dweight(
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    reach: Ints,
    grad: Floats,  # [rows * n_channels * positions]
    place: Ints,
    size: Int64Array,
    total: FloatArray,  # [patches * down * across * width], zeroed
) -> None:
    """Gradient of the patches: every event adds the gradients of the positions it reached."""
    down, run, width, lanes, n_channels, n_grid, line = size
    n_maps = n_channels * len(place)
    grid = np.zeros(n_grid, np.float32)
    sums = np.zeros(len(total), np.float32)
    pending = 0
    for r in range(ptr.shape[0] - 1):
        if ptr[r] == ptr[r + 1]:
            continue
        from_maps(grid, place, grad, r * n_maps, n_channels)
        for e in range(ptr[r], ptr[r + 1]):
            g = reach[2 * index[e]] * width
            w = reach[2 * index[e] + 1] * down * run
            scale = np.float32(1)
            if value is not None:
                scale = value[e]
            for i in range(down):
                add_run(sums, w + i * run, grid, g + i * line, scale, run, lanes)
        pending += 1
        if pending == ROWS_PER_TOTAL:
            for k in range(len(total)):
                total[k] += sums[k]
                sums[k] = np.float32(0)
            pending = 0
    for k in range(len(total)):
        total[k] += sums[k]


@_cached
def conv_dspikes(
    ptr: Ints,
    index: Ints,
    reach: Ints,
    patches: Floats,
    grad: Floats,  # [rows * n_channels * positions]
    place: Ints,
    size: Int64Array,
    out: Floats,  # [rows * n_in], zeroed
) -> None:
    """Gradient of the spikes at the listed cells: patch times the gradients that it reached."""
    down, run, width, lanes, n_channels, n_grid, line = size
    n_maps, n_in = n_channels * len(place), len(reach) // 2
    grid = np.zeros(n_grid, np.float32)
    for r in range(ptr.shape[0] - 1):
        if ptr[r] == ptr[r + 1]:
            continue
        from_maps(grid, place, grad, r * n_maps, n_channels)
        for e in range(ptr[r], ptr[r + 1]):
            g = reach[2 * index[e]] * width
            w = reach[2 * index[e] + 1] * down * run
            if lanes == 16:
                x = dot_patch(grid, g, line, patches, w, down, run, 16)
            else:
                x = dot_patch(grid, g, line, patches, w, down, run, 8)
            out[r * n_in + index[e]] = x
