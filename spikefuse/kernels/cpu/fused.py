"""Fused convolution and fused delayed synapses: currents stay in cache, spikes go out as bits.

Additions and the neurons' arithmetic follow the event order and the operations of the separate
kernels, so the bits agree with theirs. The SIMD parts come from `conv` and `products`; numba's
cache watches this file only, so a change of theirs needs a change here to be seen. There are no
bounds checks: the callers validate.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse._types import Int64Array

# `add_run`: what is inlined looks its names up here.
from spikefuse.kernels.cpu.conv import add_run as add_run
from spikefuse.kernels.cpu.conv import sum_events, to_maps
from spikefuse.kernels.cpu.layout import Floats, Ints
from spikefuse.kernels.cpu.masks import count_spikes as count_spikes
from spikefuse.kernels.cpu.masks import list_spikes as list_spikes
from spikefuse.kernels.cpu.products import count_live, fire_row, gather_row

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_BLOCK = 64  # neurons that fire at once; maps are padded to a multiple

Halves = npt.NDArray[np.uint16]


@_cached
def conv_lif(
    ptr: Ints,
    index: Ints,
    value: Floats | None,
    reach: Ints,  # as of `conv_forward`
    patches: Floats,
    place: Ints,
    size: Int64Array,
    v: Floats,  # [B, padded], from the first membrane to the last
    beta: Floats,  # [padded]
    threshold: Floats,  # [padded], largest float where there is no neuron
    subtract: bool,
    mask: Halves,  # [T * B, padded / 16]
    n_out: int,
    active: Int64Array,  # [B], active updates of each sample, or [0] where nobody asks
    first: int,
    last: int,
) -> None:
    """Convolution and LIF neurons of samples ``first`` to ``last - 1``, sample by sample.

    One sample's sums, maps and membranes fit the second-level cache.
    """
    n_channels, n_grid = size[4], size[5]
    n_batch, padded = v.shape
    n_rows, n_words = mask.shape
    membrane, words = v.reshape(-1), mask.reshape(-1)
    sums, x = np.zeros(n_grid, np.float32), np.zeros(padded, np.float32)
    dirty = False
    for b in range(first, last):
        for t in range(n_rows // max(n_batch, 1)):
            r = t * n_batch + b
            if ptr[r] < ptr[r + 1]:
                sum_events(sums, ptr[r], ptr[r + 1], index, value, reach, patches, size)
                to_maps(x, 0, n_channels, sums, place)
                dirty = True
            elif dirty:
                x[:] = np.float32(0)
                dirty = False
            if len(active) > 0:
                active[b] += count_live(x, v[b, :n_out])
            for n in range(0, padded, _BLOCK):
                part = x[n : n + _BLOCK]
                m = r * n_words + n // 16
                fire_row(
                    membrane, b * padded + n, part, beta, threshold, n, subtract, words, m, _BLOCK
                )


@_cached
def delayed_lif(
    ptr: Ints,  # [T * B + 1]
    index: Ints,
    value: Floats | None,
    table: Floats,
    tile_step: int,
    stride: int,
    delays: Int64Array,  # steps, longest first
    part: Int64Array,  # first tile of each delay's columns
    pending: Floats,  # [longest, B, tiles * width], currents under way, before and after
    v: Floats,  # [B, tiles * width]
    beta: Floats,  # [tiles * width]
    threshold: Floats,  # [tiles * width]
    subtract: bool,
    width: int,
    mask: Halves,  # [T * B, words]
    n_out: int,
    active: Int64Array,  # [B], active updates of each sample, or [0] where nobody asks
    first: int,
    last: int,
) -> None:
    """Synapses of several delays and LIF neurons of some samples, tile by tile of neurons.

    A ring of ``longest + 1`` steps holds what is under way to one tile of one sample. What arrives
    in a step is added in the order of its departure, so a sequence may be cut anywhere.
    """
    longest, n_batch, n_columns = pending.shape
    n_rows, n_words = mask.shape
    n_steps, n_slots = n_rows // max(n_batch, 1), longest + 1
    membrane, words = v.reshape(-1), mask.reshape(-1)
    ring, x = np.zeros(n_slots * width, np.float32), np.empty(width, np.float32)
    for k in range(n_columns // width):
        for b in range(first, last):
            for j in range(longest):
                for c in range(width):
                    ring[j * width + c] = pending[j, b, k * width + c]
            for c in range(width):
                ring[longest * width + c] = np.float32(0)
            now = 0
            for t in range(n_steps):
                r = t * n_batch + b
                if ptr[r] < ptr[r + 1]:
                    for d in range(len(delays)):
                        start = (part[d] + k) * tile_step
                        gather_row(
                            x, 0, table, start, stride, index, value, ptr[r], ptr[r + 1], width
                        )
                        slot = now + delays[d]
                        slot = (slot - n_slots if slot >= n_slots else slot) * width
                        add_run(ring, slot, x, 0, np.float32(1), width, 16)
                here = ring[now * width : (now + 1) * width]
                at, m = b * n_columns + k * width, r * n_words + k * (width // 16)
                if len(active) > 0:
                    n_live = min(width, n_out - k * width)
                    active[b] += count_live(here, membrane[at : at + n_live])
                fire_row(membrane, at, here, beta, threshold, k * width, subtract, words, m, width)
                for c in range(width):
                    here[c] = np.float32(0)
                now = now + 1 if now < longest else 0
            for j in range(longest):
                slot = now + j
                slot = (slot - n_slots if slot >= n_slots else slot) * width
                for c in range(width):
                    pending[j, b, k * width + c] = ring[slot + c]
