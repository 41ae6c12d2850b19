"""Synaptic products event by event: SIMD intrinsics and the cached kernels built on them.

Numba's own vectoriser spills the accumulators of ``out[r, :] += W[j, :]`` inside the event loop.
The intrinsics emit that loop with 16-float vectors: 1 AVX-512, 2 AVX, 4 SSE or 4 NEON registers.
Additions follow the event order without fused multiply-adds: the bits of the plain sequential
float32 loop (`products_plain`) on every machine.

An intrinsic and the cached functions that use it stay in one file: numba's cache watches the
caller's file only. Literal types stand in the signature that an intrinsic returns: lowered code is
looked up by it, and one width would otherwise serve all. Bounds are not checked here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from spikefuse.kernels.cpu import vectors
from spikefuse.kernels.cpu.layout import Floats, Ints
from spikefuse.kernels.cpu.layout import scatter_events as scatter_events
from spikefuse.kernels.cpu.layout import silent_cells as silent_cells
from spikefuse.kernels.cpu.layout import transpose_events as transpose_events
from spikefuse.kernels.cpu.masks import count_spikes as count_spikes
from spikefuse.kernels.cpu.masks import list_spikes as list_spikes
from spikefuse.kernels.cpu.vectors import I16, I32, I64, LANES, ONES, ZEROS

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
# Left to LLVM, a call per row and tile costs as much as the row: its arrays go over the stack.
_inlined = njit(nogil=True, error_model="numpy", boundscheck=False, inline="always")


def _gather_sum(
    _typing: Any,
    out: Any,
    o: Any,
    table: Any,
    w: Any,
    stride: Any,
    index: Any,
    value: Any,
    first: Any,
    last: Any,
    width: Any,
) -> Any:
    """``out[o:][:width] = sum_e value[e] * table[w + stride * index[e]:][:width]``, in event order.

    Arrays are flat; ``value`` may be None; e runs from ``first`` to ``last - 1``; ``width`` is a
    literal multiple of 16.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None
    n_vectors, size = width.literal_value // LANES, types.intp
    signature = types.void(out, size, table, size, size, index, value, size, size, width)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        to = vectors.data(context, builder, out, args[0])
        rows = vectors.data(context, builder, table, args[2])
        picks = vectors.data(context, builder, index, args[5])
        sums = [vectors.slot(builder) for _ in range(n_vectors)]
        for slot in sums:
            builder.store(ZEROS, slot)
        with cgutils.for_range_slice(builder, args[7], args[8], I64(1), I64) as (e, _):
            pick = builder.sext(builder.load(builder.gep(picks, [e])), I64)
            row = builder.add(args[3], builder.mul(pick, args[4]))
            scale = None
            if value != types.none:
                scales = vectors.data(context, builder, value, args[6])
                scale = vectors.splat(builder, builder.load(builder.gep(scales, [e])))
            for q, slot in enumerate(sums):
                term = vectors.load(builder, rows, row, q)
                if scale is not None:
                    term = builder.fmul(scale, term)
                builder.store(builder.fadd(builder.load(slot), term), slot)
        for q, slot in enumerate(sums):
            vectors.store(builder, builder.load(slot), to, args[1], q)
        return context.get_dummy_value()

    return signature, codegen


def _fire(
    _typing: Any,
    v: Any,
    at: Any,
    current: Any,
    beta: Any,
    threshold: Any,
    p: Any,
    subtract: Any,
    mask: Any,
    m: Any,
    width: Any,
) -> Any:
    """One LIF step of ``width`` neurons; the spikes go out as bits, 16 to a word of ``mask``.

    The operations of `lif_scan_ref` in their order, so that the bits of the membrane agree.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None
    n_vectors, size = width.literal_value // LANES, types.intp
    signature = types.void(
        v, size, current, beta, threshold, size, types.boolean, mask, size, width
    )

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        membrane = vectors.data(context, builder, v, args[0])
        x = vectors.data(context, builder, current, args[2])
        decay = vectors.data(context, builder, beta, args[3])
        level = vectors.data(context, builder, threshold, args[4])
        words = vectors.data(context, builder, mask, args[7])
        for q in range(n_vectors):
            theta = vectors.load(builder, level, args[5], q)
            h = builder.fmul(
                vectors.load(builder, decay, args[5], q),
                vectors.load(builder, membrane, args[1], q),
            )
            h = builder.fadd(h, vectors.load(builder, x, I64(0), q))
            hit = builder.fcmp_ordered(">", builder.fsub(h, theta), ZEROS)
            s = builder.select(hit, ONES, ZEROS)
            lowered = builder.fsub(h, builder.fmul(theta, s))
            zeroed = builder.fmul(h, builder.fsub(ONES, s))
            vectors.store(builder, builder.select(args[6], lowered, zeroed), membrane, args[1], q)
            word = builder.gep(words, [builder.add(args[8], I64(q))])
            builder.store(builder.bitcast(hit, I16), word)
        return context.get_dummy_value()

    return signature, codegen


def _dot_blocks(_typing: Any, a: Any, i: Any, b: Any, j: Any, n_blocks: Any) -> Any:
    """Dot product of ``a[i:]`` and ``b[j:]`` over blocks of 64: 64 sums, then folded."""
    size = types.intp
    signature = types.float32(a, size, b, size, size)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        left, right = (
            vectors.data(context, builder, a, args[0]),
            vectors.data(context, builder, b, args[2]),
        )
        sums = [vectors.slot(builder) for _ in range(4)]
        for slot in sums:
            builder.store(ZEROS, slot)
        with cgutils.for_range(builder, args[4]) as loop:
            step = builder.mul(loop.index, I64(4 * LANES))
            x, y = builder.add(args[1], step), builder.add(args[3], step)
            for q, slot in enumerate(sums):
                term = builder.fmul(
                    vectors.load(builder, left, x, q), vectors.load(builder, right, y, q)
                )
                builder.store(builder.fadd(builder.load(slot), term), slot)
        total = builder.load(sums[0])
        for slot in sums[1:]:
            total = builder.fadd(total, builder.load(slot))
        half = LANES // 2
        while half:
            order = [(lane + half) % LANES for lane in range(LANES)]
            turned = builder.shuffle_vector(
                total, total, ir.Constant(ir.VectorType(I32, LANES), order)
            )
            total = builder.fadd(total, turned)
            half //= 2
        return builder.extract_element(total, I32(0))

    return signature, codegen


# Any: numba types an intrinsic by its Python signature, which has the typing context in front.
gather_sum: Any = intrinsic(prefer_literal=True)(_gather_sum)
fire: Any = intrinsic(prefer_literal=True)(_fire)
dot_blocks: Any = intrinsic(_dot_blocks)


@_inlined
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
    """`gather_sum` for a width known at run time: each branch makes it a literal."""
    if width == 64:
        gather_sum(out, o, table, w, stride, index, value, first, last, 64)
    elif width == 32:
        gather_sum(out, o, table, w, stride, index, value, first, last, 32)
    else:
        gather_sum(out, o, table, w, stride, index, value, first, last, 16)


@_cached
def event_tiles(
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    table: Floats,
    tile_step: int,
    stride: int,
    width: int,
    out: Floats,
    n_out: int,
) -> None:
    """``out[r] = sum of value[e] * table row index[e]`` over row r's events, tile after tile.

    Tile k of table row j lies at ``k * tile_step + j * stride``. Tiles are outermost, so that one
    stays in the second-level cache for all rows.
    """
    scratch = np.empty(width, np.float32)
    for k in range((n_out + width - 1) // width):
        n_columns = min(width, n_out - k * width)
        w = k * tile_step
        for r in range(ptr.shape[0] - 1):
            at = r * n_out + k * width
            if n_columns == width:
                gather_row(out, at, table, w, stride, index, value, ptr[r], ptr[r + 1], width)
            else:  # a narrower last tile must not write into the next row
                gather_row(scratch, 0, table, w, stride, index, value, ptr[r], ptr[r + 1], width)
                for c in range(n_columns):
                    out[at + c] = scratch[c]


@_cached
def event_rows(
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    table: Floats,
    tile_step: int,
    stride: int,
    width: int,
    out: Floats,
    n_out: int,
) -> None:
    """As `event_tiles`, row after row: for few events and whole tiles, output in one stream."""
    for r in range(ptr.shape[0] - 1):
        for k in range(n_out // width):
            at, w = r * n_out + k * width, k * tile_step
            gather_row(out, at, table, w, stride, index, value, ptr[r], ptr[r + 1], width)


@_cached
def event_dots(ptr: Ints, index: Ints, grad: Floats, weight: Floats, out: Floats) -> None:
    """``out[r, j] = grad[r] . weight[j]`` for every event (r, j); ``out`` is zero elsewhere."""
    n_out = grad.shape[1]
    n_blocks = n_out // 64
    flat_grad, flat_weight = grad.reshape(-1), weight.reshape(-1)
    for r in range(ptr.shape[0] - 1):
        for e in range(ptr[r], ptr[r + 1]):
            g, w = r * n_out, index[e] * n_out
            total = dot_blocks(flat_grad, g, flat_weight, w, n_blocks)
            for c in range(64 * n_blocks, n_out):
                total += flat_grad[g + c] * flat_weight[w + c]
            out[r, index[e]] = total


@_inlined
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
    """`fire` for a width known at run time."""
    if width == 64:
        fire(v, at, current, beta, threshold, p, subtract, mask, m, 64)
    elif width == 32:
        fire(v, at, current, beta, threshold, p, subtract, mask, m, 32)
    else:
        fire(v, at, current, beta, threshold, p, subtract, mask, m, 16)


@_cached
def count_live(x: Floats, v: Floats) -> int:
    """How many neurons have an input ``x`` or a membrane ``v``."""
    n_active = np.int32(0)  # 32 bits, as the lanes beside it
    for n in range(len(v)):
        n_active += np.int32((v[n] != np.float32(0)) | (x[n] != np.float32(0)))
    return int(n_active)


@_inlined
def sum_sources(
    x: Floats,
    spare: Floats,
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    table: Floats,
    start: npt.NDArray[np.int64],
    stride: int,
    r: int,
    width: int,
) -> None:
    """``x`` = the sum over sources of row r's current: each source alone, then one by one."""
    gather_row(x, 0, table, start[0], stride, index, value, ptr[0, r], ptr[0, r + 1], width)
    for s in range(1, ptr.shape[0]):
        gather_row(spare, 0, table, start[s], stride, index, value, ptr[s, r], ptr[s, r + 1], width)
        for c in range(width):
            x[c] += spare[c]


@_cached
def fused_lif(
    ptr: Ints,  # [sources, T * B + 1]
    index: Ints,
    value: Floats | None,
    table: Floats,
    base: npt.NDArray[np.int64],  # [sources]
    tile_step: npt.NDArray[np.int64],  # [sources]
    stride: int,
    v: Floats,  # [tiles, B, width]
    beta: Floats,  # [tiles * width]
    threshold: Floats,  # [tiles * width]
    subtract: bool,
    mask: npt.NDArray[np.uint16],  # [T * B, words]
    n_out: int,
    active: npt.NDArray[np.int64],  # [B], active updates of each sample, or [0]
    first: int,
    last: int,
) -> None:
    """Synapses and LIF neurons of samples ``first`` to ``last - 1``; spikes as bits."""
    n_tiles, n_batch, width = v.shape
    n_rows, n_words = mask.shape
    membrane, words = v.reshape(-1), mask.reshape(-1)
    x, spare = np.empty(width, np.float32), np.empty(width, np.float32)
    for k in range(n_tiles):
        start = base + k * tile_step
        for t in range(n_rows // max(n_batch, 1)):
            for b in range(first, last):
                r = t * n_batch + b
                sum_sources(x, spare, ptr, index, value, table, start, stride, r, width)
                at = (k * n_batch + b) * width
                m = r * n_words + k * (width // 16)
                if len(active) > 0:
                    n_live = min(width, n_out - k * width)
                    active[b] += count_live(x, membrane[at : at + n_live])
                fire_row(membrane, at, x, beta, threshold, k * width, subtract, words, m, width)


@_cached
def fused_li(
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    table: Floats,
    base: npt.NDArray[np.int64],
    tile_step: npt.NDArray[np.int64],
    stride: int,
    width: int,
    v: Floats,  # [B, N]
    beta: Floats,  # [N]
    gain: Floats,  # [N]
    out: Floats,  # [T * B, N]
    seen: npt.NDArray[np.uint8],  # [B, N], which neurons have a state, or [0, N]
    active: npt.NDArray[np.int64],  # [B], neuron-steps from a first input on, or [0]
    first: int,
    last: int,
) -> None:
    """Synapses and leaky readout of some samples: ``v = beta v + gain x``, written every step."""
    n_rows, n_out = out.shape
    n_batch = v.shape[0]
    x, spare = np.empty(width, np.float32), np.empty(width, np.float32)
    for k in range((n_out + width - 1) // width):
        start = base + k * tile_step
        for t in range(n_rows // max(n_batch, 1)):
            for b in range(first, last):
                r = t * n_batch + b
                sum_sources(x, spare, ptr, index, value, table, start, stride, r, width)
                for c in range(min(width, n_out - k * width)):
                    n = k * width + c
                    if len(active) > 0:
                        seen[b, n] |= np.uint8(x[c] != np.float32(0))
                        active[b] += seen[b, n]
                    v[b, n] = beta[n] * v[b, n] + gain[n] * x[c]
                    out[r, n] = v[b, n]
