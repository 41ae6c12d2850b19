"""Transforms of event streams, each one pass: filters, crops, frames, voxels, cochleagrams.

Where a function has a namesake in Tonic its result is the same on the same events, except for what
its Notes name.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spikefuse._types import Float32Array, Int64Array
from spikefuse.errors import EventError
from spikefuse.events import EVENT_DTYPE, EventStream

Int16Array = npt.NDArray[np.int16]

# Long before any event, yet far enough from the end of int64 to be subtracted from a time.
_NEVER_US = -(2**62)


def denoise(stream: EventStream, filter_us: int) -> EventStream:
    """Drop events that none of the four neighbouring pixels supports; see `denoise_part`."""
    return denoise_part(stream, filter_us)[0]


def denoise_part(
    stream: EventStream, filter_us: int, last_us: Int64Array | None = None
) -> tuple[EventStream, Int64Array]:
    """Background-activity filter of one part of a recording.

    An event stays if a pixel above, below, left or right of it had one, of either polarity, less
    than ``filter_us`` earlier. Dropped events support others, too.

    Parameters
    ----------
    stream : EventStream
    filter_us : int
        At least 1.
    last_us : int64 array [H, W], optional
        Time of each pixel's last event before this part, on the same clock; none by default.

    Returns
    -------
    EventStream
        The events that stay.
    int64 array [H, W]
        ``last_us`` for the next part.

    Raises
    ------
    ValueError
        If ``filter_us`` is below 1 or ``last_us`` has another shape.

    Notes
    -----
    Tonic's ``Denoise`` keeps every event before ``filter_us``, because its memory starts as if all
    pixels had fired at 0. Later events agree.

    References
    ----------
    Delbruck, "Frame-free dynamic digital vision", Proc. Intl. Symp. on Secure-Life Electronics,
    2008.
    """
    from sensors._numba.transforms import keep_supported

    filter_us = _at_least("filter_us", filter_us, 1)
    memory = _memory(stream, last_us)
    out = np.empty(len(stream), EVENT_DTYPE)
    kept = keep_supported(np.ascontiguousarray(stream.events), filter_us, memory, out)
    return _derived(stream, out[:kept]), memory


def refractory(stream: EventStream, dead_us: int, extend: bool = True) -> EventStream:
    """Drop events that come too soon after their pixel's last one; see `refractory_part`."""
    return refractory_part(stream, dead_us, extend)[0]


def refractory_part(
    stream: EventStream, dead_us: int, extend: bool = True, last_us: Int64Array | None = None
) -> tuple[EventStream, Int64Array]:
    """Refractory period of every pixel, for one part of a recording.

    An event stays if its pixel's last one is more than ``dead_us`` old.

    Parameters
    ----------
    stream : EventStream
    dead_us : int
        At least 0.
    extend : bool
        Whether a dropped event starts the period anew, as in Tonic; with False only those that
        stay do, as in a pixel with a dead time.
    last_us : int64 array [H, W], optional
        Time of each pixel's last event that counts, before this part; none by default.

    Returns
    -------
    EventStream, int64 array [H, W]
        The events that stay, and ``last_us`` for the next part.

    Raises
    ------
    ValueError
        If ``dead_us`` is negative or ``last_us`` has another shape.

    Notes
    -----
    Tonic's ``RefractoryPeriod`` drops a pixel's first event if its time is 0.
    """
    from sensors._numba.transforms import keep_rested

    dead_us = _at_least("dead_us", dead_us, 0)
    memory = _memory(stream, last_us)
    out = np.empty(len(stream), EVENT_DTYPE)
    kept = keep_rested(np.ascontiguousarray(stream.events), dead_us, bool(extend), memory, out)
    return _derived(stream, out[:kept]), memory


def crop_space(stream: EventStream, left: int, top: int, width: int, height: int) -> EventStream:
    """The window of ``width`` x ``height`` pixels from ``(left, top)`` on, as a sensor of its own.

    Parameters
    ----------
    stream : EventStream
    left, top, width, height : int
        In pixels.

    Raises
    ------
    ValueError
        If the window does not lie inside the sensor.
    """
    n_columns, n_rows, polarities = stream.sensor_size
    for name, start, length, limit in (
        ("left and width", left, width, n_columns),
        ("top and height", top, height, n_rows),
    ):
        if start < 0 or length < 1 or start + length > limit:
            raise ValueError(f"{name} must lie inside [0, {limit}), got {start} and {length}")
    x, y = stream.events["x"], stream.events["y"]
    inside = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
    events = stream.events[inside]
    events["x"] -= left
    events["y"] -= top
    size = (width, height, polarities)
    return EventStream.trusted(events, size, stream.duration_us, stream.modality)


def crop_centre(stream: EventStream, width: int, height: int) -> EventStream:
    """The window of ``width`` x ``height`` pixels in the middle; see `crop_space`."""
    n_columns, n_rows, _ = stream.sensor_size
    return crop_space(stream, (n_columns - width) // 2, (n_rows - height) // 2, width, height)


def crop_time(stream: EventStream, start_us: int, end_us: int) -> EventStream:
    """The events of ``[start_us, end_us)``, with ``start_us`` as the new zero of the clock.

    Raises
    ------
    ValueError
        If the times are negative or not in order.

    Notes
    -----
    Tonic's ``CropTime`` keeps events at its end and does not move the clock.
    """
    if not 0 <= start_us <= end_us:
        raise ValueError(f"start_us and end_us must be 0 <= start <= end, got {start_us}, {end_us}")
    first, last = np.searchsorted(stream.events["t"], [start_us, end_us], side="left")
    events = stream.events[first:last].copy()
    events["t"] -= start_us
    return EventStream.trusted(events, stream.sensor_size, end_us - start_us, stream.modality)


def downsample(stream: EventStream, width: int, height: int) -> EventStream:
    """Fewer pixels: ``x`` becomes ``x * width // W``, ``y`` likewise; no event is dropped.

    Raises
    ------
    ValueError
        If the sensor would grow or vanish.

    Notes
    -----
    Tonic's ``Downsample`` multiplies by a rounded factor, so a product just below a whole number
    can end one pixel lower; here the division is exact.
    """
    n_columns, n_rows, polarities = stream.sensor_size
    for name, target, limit in (("width", width, n_columns), ("height", height, n_rows)):
        if not 1 <= target <= limit:
            raise ValueError(f"{name} must lie in [1, {limit}], got {target}")
    events = stream.events.copy()
    for name, target, limit in (("x", width, n_columns), ("y", height, n_rows)):
        # Every address once, then a look-up: a product of int16 could overflow.
        events[name] = (np.arange(limit, dtype=np.int64) * target // limit)[events[name]]
    size = (width, height, polarities)
    return EventStream.trusted(events, size, stream.duration_us, stream.modality)


def merge_polarities(stream: EventStream) -> EventStream:
    """The same events from a sensor of one polarity.

    Notes
    -----
    Tonic's ``MergePolarities`` sets ``p`` to 0; an EventStream of one polarity holds True.
    """
    events = stream.events.copy()
    events["p"] = True
    width, height, _ = stream.sensor_size
    return EventStream.trusted(events, (width, height, 1), stream.duration_us, stream.modality)


def time_frames(stream: EventStream, window_us: int) -> Int16Array:
    """Count events in windows of ``window_us`` from the clock's zero on.

    Parameters
    ----------
    stream : EventStream
    window_us : int
        At least 1.

    Returns
    -------
    int16 array [F, P, H, W]
        ``F`` windows cover the duration (one for an empty recording), the last may be shorter. The
        sum is the number of events.

    Raises
    ------
    ValueError
        If ``window_us`` is below 1.
    EventError
        If one pixel has more than 32767 events in one window.

    Notes
    -----
    Tonic's ``ToFrame`` is the same with ``start_time=0``, ``end_time=duration`` and
    ``include_incomplete=True``. Its defaults start at the first event and drop the tail; it wraps
    around instead of raising; it writes to its argument for sensors of one polarity.
    """
    from sensors._numba.transforms import count_frames

    window_us = _at_least("window_us", window_us, 1)
    width, height, polarities = stream.sensor_size
    n_frames = max(1, -(-stream.duration_us // window_us))
    frames = np.zeros((n_frames, polarities, height, width), np.int16)
    events = np.ascontiguousarray(stream.events)
    if count_frames(events, window_us, polarities > 1, frames):
        raise EventError(
            f"a pixel must have at most 32767 events in {window_us} us to be counted as int16, "
            "got more; use a shorter window"
        )
    return frames


def voxel_grid(
    stream: EventStream, n_bins: int, span_us: tuple[int, int] | None = None
) -> Float32Array:
    r"""Signed events shared between the two time bins next to them.

    .. math:: V(b, y, x) = \sum_i p_i \max(0, 1 - |b - t_i^*|), \quad
              t_i^* = (B - 1) (t_i - t_0) / (t_1 - t_0), \quad p_i \in \{-1, 1\}

    Parameters
    ----------
    stream : EventStream
        Of two polarities.
    n_bins : int
        ``B``, at least 2.
    span_us : (start, end), optional
        ``t_0`` and ``t_1``; the whole recording by default. Every event must lie in it.

    Returns
    -------
    float32 array [B, H, W]
        Its sum is the number of ON events less the number of OFF events, within rounding.

    Raises
    ------
    ValueError
        If the sensor has one polarity, ``n_bins`` is below 2 or the span misses an event.

    Notes
    -----
    Tonic's ``ToVoxelGrid`` scales by ``B`` instead of ``B - 1``, so it loses the last event and a
    share of the last bin: its B bins are the first B of ``voxel_grid(stream, B + 1, (first, last
    event))``. It reads boolean polarities as all ON.

    References
    ----------
    Zhu, Yuan, Chaney and Daniilidis, "Unsupervised event-based learning of optical flow, depth, and
    egomotion", CVPR 2019, equations 1 and 2.
    """
    from sensors._numba.transforms import fill_voxels

    width, height, polarities = stream.sensor_size
    if polarities != 2:
        raise ValueError(f"stream must have 2 polarities, got {polarities}")
    n_bins = _at_least("n_bins", n_bins, 2)
    start, end = span_us if span_us is not None else (0, max(stream.duration_us, 1))
    if not 0 <= start < end:
        raise ValueError(f"span_us must be 0 <= start < end, got {start}, {end}")
    times = stream.events["t"]
    if len(times) and (times[0] < start or times[-1] > end):
        raise ValueError(
            f"span_us must hold every event, from {times[0]} to {times[-1]} us, got {start}, {end}"
        )
    voxels = np.zeros((n_bins, height, width), np.float32)
    per_us = (n_bins - 1) / (end - start)
    fill_voxels(np.ascontiguousarray(stream.events), start, per_us, voxels)
    return voxels


def cochleagram(stream: EventStream, window_us: int, n_bands: int | None = None) -> Int16Array:
    """Spike counts by time and channel of an audio stream.

    Parameters
    ----------
    stream : EventStream
        Of sensor size ``(channels, 1, 1)``.
    window_us : int
    n_bands : int, optional
        Neighbouring channels are joined into so many bands; every channel is one by default.

    Returns
    -------
    int16 array [F, n_bands]

    Raises
    ------
    ValueError
        If the stream is not one of channels, or a parameter is out of range.
    """
    channels, height, polarities = stream.sensor_size
    if (height, polarities) != (1, 1):
        raise ValueError(f"stream must be of size (channels, 1, 1), got {stream.sensor_size}")
    if n_bands is not None and n_bands != channels:
        stream = downsample(stream, n_bands, 1)
    return time_frames(stream, window_us)[:, 0, 0, :]


def _derived(stream: EventStream, events: npt.NDArray[np.void]) -> EventStream:
    """Some of a stream's events as a stream of the same sensor and length."""
    return EventStream.trusted(events, stream.sensor_size, stream.duration_us, stream.modality)


def _at_least(name: str, value: int, least: int) -> int:
    """A whole number that is large enough."""
    if value != int(value) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value}")
    return int(value)


def _memory(stream: EventStream, last_us: Int64Array | None) -> Int64Array:
    """A copy of the pixels' last times, to be updated."""
    width, height, _ = stream.sensor_size
    if last_us is None:
        return np.full((height, width), _NEVER_US, np.int64)
    if last_us.shape != (height, width) or last_us.dtype != np.int64:
        raise ValueError(
            f"last_us must be int64 [{height}, {width}], got {last_us.dtype} {last_us.shape}"
        )
    return last_us.copy()
