"""Sparse synapses with a tap row each: events scattered, gradients gathered, along time.

Arrays of currents are ``[B, n_out, L]``, time last, so that a row of taps is one SIMD loop. Sums
over many events are kept in float64 where they are gradients.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse.kernels.cpu.layout import Floats, Ints

Doubles = npt.NDArray[np.float64]

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@_cached
def scatter_edges(
    indptr: Ints,
    index: Ints,
    value: Floats | None,
    n_batch: int,
    weight: Floats,  # [E]
    lag: Ints,  # [E]
    fan_ptr: Ints,
    target: Ints,
    n_out: int,
    out: Floats,  # flat [L, B, n_out]
) -> None:
    """``out[t + lag, b, target] += s weight``: every event into the slots of its fan-out."""
    step = n_batch * n_out
    ahead = np.empty(len(target), np.int32)  # one table to read beside the weights, not two
    for q in range(len(target)):
        ahead[q] = lag[q] * step + target[q]
    for row in range(len(indptr) - 1):
        base = row // n_batch * step + row % n_batch * n_out
        for e in range(indptr[row], indptr[row + 1]):
            s = value[e] if value is not None else np.float32(1)
            for q in range(fan_ptr[index[e]], fan_ptr[index[e] + 1]):
                out[np.uint64(base + ahead[q])] += s * weight[q]


@_cached
def scatter_taps(
    indptr: Ints,
    index: Ints,
    value: Floats | None,
    n_batch: int,
    taps: Floats,  # flat [E, K]
    n_taps: int,
    first: Ints,  # [E]
    fan_ptr: Ints,
    target: Ints,
    n_out: int,
    out: Floats,  # flat [B, n_out, L]
    length: int,
) -> None:
    """``out[b, target, t + first + k] += s taps[k]`` for every event and edge of its fan-out."""
    n_steps = (len(indptr) - 1) // n_batch
    for b in range(n_batch):
        for t in range(n_steps):
            row = t * n_batch + b
            for e in range(indptr[row], indptr[row + 1]):
                s = value[e] if value is not None else np.float32(1)
                for q in range(fan_ptr[index[e]], fan_ptr[index[e] + 1]):
                    at = (b * n_out + target[q]) * length + t + first[q]
                    to, h = out[at : at + n_taps], taps[q * n_taps : (q + 1) * n_taps]
                    for k in range(n_taps):
                        to[k] += s * h[k]


@_cached
def gather_taps(
    indptr: Ints,
    index: Ints,
    value: Floats | None,
    n_batch: int,
    grad: Floats,  # flat [B, n_out, L]
    length: int,
    n_taps: int,
    first: Ints,
    fan_ptr: Ints,
    target: Ints,
    n_out: int,
    dtaps: Doubles,  # flat [E, K]
) -> None:
    """Gradient of the taps: what `scatter_taps` added to, read back by the same events."""
    n_steps = (len(indptr) - 1) // n_batch
    for b in range(n_batch):
        for t in range(n_steps):
            row = t * n_batch + b
            for e in range(indptr[row], indptr[row + 1]):
                s = value[e] if value is not None else np.float32(1)
                for q in range(fan_ptr[index[e]], fan_ptr[index[e] + 1]):
                    at = (b * n_out + target[q]) * length + t + first[q]
                    g, to = grad[at : at + n_taps], dtaps[q * n_taps : (q + 1) * n_taps]
                    for k in range(n_taps):
                        to[k] += np.float64(s * g[k])


@_cached
def correlate_taps(
    grad: Floats,  # flat [B, n_out, L]
    length: int,
    taps: Floats,  # flat [E, K]
    n_taps: int,
    first: Ints,
    fan_ptr: Ints,
    target: Ints,
    n_out: int,
    dspikes: Floats,  # [B, n_in, T], zero
) -> None:
    """Gradient of the spikes at every cell: the currents' gradient, correlated with the taps."""
    n_batch, n_in, n_steps = dspikes.shape
    for b in range(n_batch):
        for i in range(n_in):
            to = dspikes[b, i]
            for q in range(fan_ptr[i], fan_ptr[i + 1]):
                at = (b * n_out + target[q]) * length + first[q]
                for k in range(n_taps):
                    h, g = taps[q * n_taps + k], grad[at + k : at + k + n_steps]
                    for t in range(n_steps):
                        to[t] += h * g[t]
