"""Loops of the event transforms: each walks over the events once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from spikefuse._types import Float32Array, Int64Array, StructuredArray

_cached = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

Int16Array = npt.NDArray[np.int16]


@_cached
def keep_supported(
    events: StructuredArray,
    filter_us: int,
    last_us: Int64Array,  # [H, W], updated
    out: StructuredArray,
) -> int:
    """Events with a neighbour less than ``filter_us`` before them, into ``out``; their number."""
    height, width = last_us.shape
    kept = 0
    for e in range(len(events)):
        t, x, y = events[e].t, np.int64(events[e].x), np.int64(events[e].y)
        oldest = t - filter_us
        last_us[y, x] = t
        if (
            (x > 0 and last_us[y, x - 1] > oldest)
            or (x < width - 1 and last_us[y, x + 1] > oldest)
            or (y > 0 and last_us[y - 1, x] > oldest)
            or (y < height - 1 and last_us[y + 1, x] > oldest)
        ):
            out[kept] = events[e]
            kept += 1
    return kept


@_cached
def keep_rested(
    events: StructuredArray,
    dead_us: int,
    extend: bool,
    last_us: Int64Array,  # [H, W], updated
    out: StructuredArray,
) -> int:
    """Events whose pixel has rested for more than ``dead_us``, into ``out``; their number."""
    kept = 0
    for e in range(len(events)):
        t, x, y = events[e].t, np.int64(events[e].x), np.int64(events[e].y)
        rested = t - last_us[y, x] > dead_us
        if rested:
            out[kept] = events[e]
            kept += 1
        if rested or extend:
            last_us[y, x] = t
    return kept


@_cached
def count_frames(
    events: StructuredArray,
    window_us: int,
    two_polarities: bool,
    frames: Int16Array,  # [F, P, H, W], zeroed
) -> bool:
    """Count events by frame, polarity and pixel; True if a count left the range of int16."""
    _, n_polarities, height, width = frames.shape
    flat = frames.ravel()
    plane = height * width
    step, ends = np.int64(0), np.int64(window_us)
    full = False
    for e in range(len(events)):
        t = events[e].t
        if t >= ends:  # a division for each frame, not for each event
            step = t // window_us
            ends = (step + 1) * window_us
        cell = step * n_polarities * plane + np.int64(events[e].y) * width + events[e].x
        if two_polarities and events[e].p:
            cell += plane
        if flat[cell] == 32767:
            full = True
        flat[cell] += np.int16(1)
    return full


@_cached
def fill_voxels(
    events: StructuredArray,
    start_us: int,
    per_us: float,  # (bins - 1) / span
    voxels: Float32Array,  # [bins, H, W], zeroed
) -> None:
    """Share the sign of each event between the two bins next to it, by distance."""
    n_bins, height, width = voxels.shape
    flat = voxels.ravel()
    plane = height * width
    for e in range(len(events)):
        position = (events[e].t - start_us) * per_us
        left = min(np.int64(position), n_bins - 1)
        share = np.float32(position - left)
        sign = np.float32(1.0) if events[e].p else np.float32(-1.0)
        cell = left * plane + np.int64(events[e].y) * width + events[e].x
        flat[cell] += sign * (np.float32(1.0) - share)
        if left + 1 < n_bins:
            flat[cell + plane] += sign * share
