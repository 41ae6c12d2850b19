"""Scans in whole numbers. Every value is that of `spikefuse.kernels.fixed.fixed_lif_scan_ref`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_WHOLE_BELOW = np.float32(2**24)


@_cached
def _integrated(v: np.int64, x: np.int64, decay: np.int64, bits: int, shift: np.int64, most: int):  # type: ignore[no-untyped-def]
    """Membrane after decay towards zero, input and saturation."""
    left = (abs(v) * decay) >> bits
    h = (left if v >= 0 else -left) + (x << shift)
    return min(max(h, -most), most)


@_cached
def fixed_lif(
    x: Floats,  # [T, B, N]
    decay: Longs,  # [N]
    threshold: Longs,  # [N]
    shift: Longs,  # [N]
    decay_bits: int,
    most: int,
    subtract: bool,
    v: Ints,  # [B, N], from the first state to the last
    spikes: Floats,  # [T, B, N]
) -> int:
    """Neuron-steps whose membrane or input is not zero; -1 where an input is no whole number."""
    n_steps, n_rows, width = x.shape
    n_active, strange = 0, False
    for t in range(n_steps):
        for b in range(n_rows):
            for n in range(width):
                given = x[t, b, n]
                arriving = np.int64(given)
                strange |= np.float32(arriving) != given or abs(given) >= _WHOLE_BELOW
                before = np.int64(v[b, n])
                n_active += before != 0 or arriving != 0
                h = _integrated(before, arriving, decay[n], decay_bits, shift[n], most)
                fired = h > threshold[n]
                spikes[t, b, n] = np.float32(fired)
                if fired:
                    h = h - threshold[n] if subtract else np.int64(0)
                v[b, n] = np.int32(h)
    return -1 if strange else n_active


@_cached
def fixed_li(
    x: Floats,  # [T, B, N]
    decay: Longs,  # [N]
    shift: Longs,  # [N]
    decay_bits: int,
    most: int,
    v: Ints,  # [B, N]
    trace: Ints,  # [T, B, N]
) -> int:
    """0, or -1 where an input is no whole number."""
    n_steps, n_rows, width = x.shape
    strange = False
    for t in range(n_steps):
        for b in range(n_rows):
            for n in range(width):
                given = x[t, b, n]
                arriving = np.int64(given)
                strange |= np.float32(arriving) != given or abs(given) >= _WHOLE_BELOW
                h = _integrated(np.int64(v[b, n]), arriving, decay[n], decay_bits, shift[n], most)
                v[b, n] = np.int32(h)
                trace[t, b, n] = np.int32(h)
    return -1 if strange else 0
