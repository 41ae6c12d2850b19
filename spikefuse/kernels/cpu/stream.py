"""Networks that run as their events come: see `spikefuse.kernels.stream`.

Rows of weights are added tile by tile with the sums in registers, starting from the currents that
are there: one event after another in the order in which they came, however they are cut into calls.
No fused multiply-adds, no bounds checks: the callers validate. The vector parts are written with
`vectors`, the neurons are in `stream_neurons`, and the columns of the tables are constants of
`spikefuse.kernels.stream`: numba's cache watches none of them, so touch this file when they change.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from spikefuse._types import Int64Array, StructuredArray
from spikefuse.kernels.cpu import vectors
from spikefuse.kernels.cpu.layout import Floats, Ints
from spikefuse.kernels.cpu.stream_neurons import Flags, Table, read_out, update
from spikefuse.kernels.cpu.vectors import I64, LANES
from spikefuse.kernels.stream import (
    AT,
    BASE,
    COLUMNS,
    DELAY,
    FAN,
    FIRST,
    FLAGS,
    KIND,
    N_ADDRESSES,
    PADDED,
    PLANE,
    READOUT,
    RING,
    SENSOR_WIDTH,
    SIZE,
    SLOTS,
    TARGET,
    TILE_STEP,
    WIDTH,
)

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_inlined = njit(nogil=True, error_model="numpy", boundscheck=False, inline="always")


def _gather_onto(
    _typing: Any,
    out: Any,
    o: Any,
    table: Any,
    w: Any,
    stride: Any,
    index: Any,
    first: Any,
    last: Any,
    width: Any,
) -> Any:
    """``out[o:][:width] += table[w + stride * index[e]:][:width]`` for e from first to last - 1."""
    if not isinstance(width, types.IntegerLiteral):
        return None
    n_vectors, size = width.literal_value // LANES, types.intp
    signature = types.void(out, size, table, size, size, index, size, size, width)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        to = vectors.data(context, builder, out, args[0])
        rows = vectors.data(context, builder, table, args[2])
        picks = vectors.data(context, builder, index, args[5])
        sums = [vectors.slot(builder) for _ in range(n_vectors)]
        for q, slot in enumerate(sums):
            builder.store(vectors.load(builder, to, args[1], q), slot)
        with cgutils.for_range_slice(builder, args[6], args[7], I64(1), I64) as (e, _):
            pick = builder.sext(builder.load(builder.gep(picks, [e])), I64)
            row = builder.add(args[3], builder.mul(pick, args[4]))
            for q, slot in enumerate(sums):
                term = vectors.load(builder, rows, row, q)
                builder.store(builder.fadd(builder.load(slot), term), slot)
        for q, slot in enumerate(sums):
            vectors.store(builder, builder.load(slot), to, args[1], q)
        return context.get_dummy_value()

    return signature, codegen


gather_onto: Any = intrinsic(prefer_literal=True)(_gather_onto)


@_inlined
def _row_onto(
    out: Floats, o: int, table: Floats, w: int, index: Ints, first: int, last: int, width: int
) -> None:
    """`gather_onto` for a width known at run time: each branch makes it a literal."""
    if width == 64:
        gather_onto(out, o, table, w, width, index, first, last, 64)
    elif width == 32:
        gather_onto(out, o, table, w, width, index, first, last, 32)
    else:
        gather_onto(out, o, table, w, width, index, first, last, 16)


@_cached
def _add_dense(
    ring: Floats,
    o: int,  # first current of the edge
    columns: int,
    table: Floats,
    base: int,
    tile_step: int,
    width: int,
    index: Ints,
    first: int,
    last: int,
    spare: Floats,  # [64]
) -> None:
    """Rows of a dense edge onto a step's currents; a narrower last tile goes through ``spare``."""
    n_whole = columns // width
    for k in range(n_whole):
        at, w = o + k * width, base + k * tile_step
        _row_onto(ring, at, table, w, index, first, last, width)
    rest = columns - n_whole * width
    if rest == 0:
        return
    at, w = o + n_whole * width, base + n_whole * tile_step
    for c in range(rest):
        spare[c] = ring[at + c]
    _row_onto(spare, 0, table, w, index, first, last, width)
    for c in range(rest):
        ring[at + c] = spare[c]


@_cached
def _deliver(
    source: int,
    base: int,  # first address of the source in `sent`
    step: int,
    index: Ints,
    n: int,
    populations: Int64Array,
    edges: Int64Array,
    edge_ptr: Int64Array,
    table: Floats,
    fan_ptr: Int64Array,
    fan_target: Ints,
    fan_lag: Ints,
    fan_weight: Floats,
    ring: Floats,
    filled: Flags,
    sent: Int64Array,
    spare: Floats,
) -> None:
    """Add the weights of ``n`` events of one source to the currents of this and later steps."""
    for e in range(n):
        sent[base + index[e]] += 1
    for j in range(edge_ptr[source], edge_ptr[source + 1]):
        edge = edges[j]
        target = populations[edge[TARGET]]
        slots, padded = target[SLOTS], target[PADDED]
        at = target[RING] + edge[AT]
        if edge[FAN] < 0:
            slot = (step + edge[DELAY]) % slots
            _add_dense(
                ring, at + slot * padded, edge[COLUMNS], table, edge[BASE], edge[TILE_STEP],
                edge[WIDTH], index, 0, n, spare,
            )  # fmt: skip
            filled[target[FLAGS] + slot] = 1
            continue
        now = step % slots
        for e in range(n):
            fan = edge[FAN] + index[e]
            for s in range(fan_ptr[fan], fan_ptr[fan + 1]):
                slot = now + fan_lag[s]
                slot = slot - slots if slot >= slots else slot
                ring[at + slot * padded + fan_target[s]] += fan_weight[s]
                filled[target[FLAGS] + slot] = 1


@_cached
def _take(
    events: StructuredArray,
    first: int,
    last: int,
    step: int,
    width: int,
    plane: int,
    clip: bool,
    base: int,
    seen: Int64Array,
    index: Ints,
) -> tuple[int, int]:
    """Addresses of the events of ``step`` from ``first`` on; how many, and where the next is."""
    n, e = 0, first
    while e < last and events[e]["t"] == step:
        address = np.int64(events[e]["y"]) * width + events[e]["x"]
        if events[e]["p"]:
            address += plane
        e += 1
        if clip:
            if seen[base + address] == step:
                continue
            seen[base + address] = step
        index[n] = address
        n += 1
    return n, e


@_cached
def advance(
    first: int,
    until: int,
    events: StructuredArray,  # all inputs' end to end
    event_ptr: Int64Array,  # [M + 1]
    clip: bool,
    inputs: Int64Array,
    populations: Int64Array,
    neurons: Table,
    edges: Int64Array,
    edge_ptr: Int64Array,
    table: Floats,
    fan_ptr: Int64Array,
    fan_target: Ints,
    fan_lag: Ints,
    fan_weight: Floats,
    v: Floats,
    i: Floats,
    a: Floats,
    ring: Floats,
    filled: Flags,
    last: Int64Array,
    hot: Flags,
    seen: Int64Array,
    sent: Int64Array,
    updates: Int64Array,
    fired: Int64Array,
    traces: Floats,  # [K, R]
    record: Flags,  # [K or 0, P]
) -> None:
    """Close the steps ``first`` to ``until - 1``, and take in the events of ``until``."""
    n_inputs, n_populations = len(inputs), len(populations)
    place = event_ptr[:n_inputs].copy()
    most = len(events)
    for k in range(n_populations):
        most = max(most, populations[k, SIZE])
    index, spikes = np.empty(most, np.int32), np.empty(len(v), np.uint8)
    spare = np.zeros(64, np.float32)
    for step in range(first, until + 1):
        base = 0
        for m in range(n_inputs):
            n, place[m] = _take(
                events, place[m], event_ptr[m + 1], step, inputs[m, SENSOR_WIDTH],
                inputs[m, PLANE], clip, base, seen, index,
            )  # fmt: skip
            if n > 0:
                _deliver(
                    m, base, step, index, n, populations, edges, edge_ptr, table, fan_ptr,
                    fan_target, fan_lag, fan_weight, ring, filled, sent, spare,
                )  # fmt: skip
            base += inputs[m, N_ADDRESSES]
        if step == until:
            return
        column = 0
        for k in range(n_populations):
            p = populations[k]
            slot = step % p[SLOTS]
            flag, at, size = p[FLAGS] + slot, p[FIRST], p[SIZE]
            o = p[RING] + slot * p[PADDED]
            x = ring[o : o + size]
            if p[KIND] == READOUT:
                read_out(
                    p,
                    neurons,
                    v,
                    x,
                    filled[flag] != 0,
                    traces[step - first, column : column + size],
                )
                column += size
                filled[flag] = 0
                updates[k] += size
            elif filled[flag] != 0 or hot[k] != 0:
                gap = step - last[k] - 1
                n, n_hot = update(step, gap, p, neurons, v, i, a, x, spikes)
                last[k], hot[k], filled[flag] = step, n_hot > 0, 0
                updates[k] += size
                if n > 0:
                    fired[k] += n
                    n = 0
                    for c in range(size):
                        if spikes[at + c] != 0:
                            index[n] = c
                            n += 1
                            if len(record) > 0:
                                record[step - first, at + c] = 1
                    _deliver(
                        n_inputs + k, base, step, index, n, populations, edges, edge_ptr, table,
                        fan_ptr, fan_target, fan_lag, fan_weight, ring, filled, sent, spare,
                    )  # fmt: skip
            base += size
