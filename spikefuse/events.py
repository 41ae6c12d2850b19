"""Events of every modality on one absolute clock: integer microseconds from stimulus onset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spikefuse._types import Int64Array, StructuredArray
from spikefuse.errors import EventError

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])

SensorSize = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class EventStream:
    """The events of one sensor, sorted by time, on the sample's absolute clock.

    Parameters
    ----------
    events : structured array of `EVENT_DTYPE`
        Time ``t`` in microseconds from stimulus onset, never decreasing; ``x``, ``y`` address;
        ``p`` polarity (True = ON; always True where the sensor has one polarity).
    sensor_size : (W, H, P)
        Columns, rows and polarities. Audio is ``(channels, 1, 1)`` with the channel in ``x``.
    duration_us : int
        Length of the recording; every event lies in ``[0, duration_us)``.
    modality : str
        The name under which a `MultiStream` holds it, e.g. ``"vision"``.

    Raises
    ------
    EventError
        If the dtype, an address, a time or the order is wrong. An empty stream is legal.

    Notes
    -----
    The array is made read-only. Use `EventStream.from_structured` for arrays of foreign layout.
    """

    events: StructuredArray
    sensor_size: SensorSize
    duration_us: int
    modality: str

    def __post_init__(self) -> None:
        if self.events.dtype != EVENT_DTYPE or self.events.ndim != 1:
            raise EventError(
                f"events must be a 1-d array of {EVENT_DTYPE}, got {self.events.ndim}-d of "
                f"{self.events.dtype}; use EventStream.from_structured for other layouts"
            )
        _check_size(self.sensor_size)
        _check_ranges(self.events, self.sensor_size, self.duration_us)
        self.events.setflags(write=False)

    @classmethod
    def from_structured(
        cls,
        array: StructuredArray,
        sensor_size: SensorSize,
        duration_us: int | None = None,
        modality: str = "vision",
    ) -> EventStream:
        """Normalise a structured array of any field order and integer types, once, into a copy.

        Parameters
        ----------
        array : structured array
            Fields ``t`` (microseconds) and ``x``; ``y`` may be absent for 1-d sensors and ``p``
            where the sensor has a single polarity. ``p`` may be bool, {0, 1} or {-1, 1}.
        sensor_size : (W, H, P)
        duration_us : int, optional
            Defaults to one microsecond past the last event (0 for an empty array).
        modality : str

        Raises
        ------
        EventError
            Naming the field that is missing, out of range or out of order.
        """
        size = _check_size(sensor_size)
        if array.ndim != 1:
            raise EventError(f"events must be a 1-d structured array, got {array.ndim}-d")
        names = array.dtype.names or ()
        for name in ("t", "x"):
            if name not in names:
                raise EventError(f"events must have a field {name!r}, got fields {list(names)}")
        if size[1] > 1 and "y" not in names:
            raise EventError(f"events of a {size} sensor must have a field 'y', got {list(names)}")
        if size[2] > 1 and "p" not in names:
            raise EventError(f"events of a {size} sensor must have a field 'p', got {list(names)}")

        _check_bounds("x", array["x"], size[0])
        if "y" in names:
            _check_bounds("y", array["y"], size[1])
        events = np.zeros(len(array), EVENT_DTYPE)
        events["t"] = _integral_times(array["t"])
        events["x"] = array["x"]
        if "y" in names:
            events["y"] = array["y"]
        events["p"] = _polarity(array["p"]) if size[2] > 1 else True
        if duration_us is None:
            duration_us = int(events["t"].max()) + 1 if len(events) else 0
        return cls(events, size, int(duration_us), modality)

    @classmethod
    def trusted(
        cls, events: StructuredArray, sensor_size: SensorSize, duration_us: int, modality: str
    ) -> EventStream:
        """A stream of events that are valid by construction: nothing is checked again.

        For events derived from those of a stream (a part of them, moved within the sensor and the
        recording, in order); training makes thousands of such streams a second.
        """
        events.setflags(write=False)
        stream = object.__new__(cls)
        stream.__dict__.update(
            events=events, sensor_size=sensor_size, duration_us=duration_us, modality=modality
        )
        return stream

    @classmethod
    def empty(cls, sensor_size: SensorSize, duration_us: int, modality: str) -> EventStream:
        """A recording in which nothing happened: how an absent modality is represented."""
        return cls(np.zeros(0, EVENT_DTYPE), sensor_size, duration_us, modality)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def n_addresses(self) -> int:
        """Number of distinct addresses, ``W * H * P``."""
        width, height, polarities = self.sensor_size
        return width * height * polarities

    def addresses(self) -> Int64Array:
        """Flat address of each event in the layout ``[P, H, W]``: ``(p * H + y) * W + x``."""
        width, height, polarities = self.sensor_size
        flat: Int64Array = self.events["y"].astype(np.int64) * width + self.events["x"]
        if polarities > 1:
            flat += self.events["p"].astype(np.int64) * (width * height)
        return flat

    def shifted(self, offset_us: int) -> EventStream:
        """Move every event later by ``offset_us`` >= 0 and lengthen the recording accordingly."""
        if offset_us < 0:
            raise EventError(
                f"offset_us must be >= 0, got {offset_us}; to advance one modality, delay the "
                "others (MultiStream.offset does)"
            )
        events = self.events.copy()
        events["t"] += offset_us
        return self.trusted(events, self.sensor_size, self.duration_us + offset_us, self.modality)

    def cropped(self, duration_us: int) -> EventStream:
        """Keep the events before ``duration_us`` and set the duration to it (pad or cut)."""
        if duration_us < 0:
            raise EventError(f"duration_us must be >= 0, got {duration_us}")
        n_kept = int(np.searchsorted(self.events["t"], duration_us, side="left"))
        # A view will do: events are never written to.
        return self.trusted(self.events[:n_kept], self.sensor_size, duration_us, self.modality)


@dataclass(frozen=True, eq=False)
class MultiStream:
    """One sample: an EventStream per modality on one absolute clock, its label and its origin.

    Parameters
    ----------
    streams : mapping of modality name to EventStream
    label : int or None
    provenance : mapping
        Where each recording came from (file, speaker, seed); strings and numbers only.
    recorded_us : int, optional
        When the last sensor stopped recording; what follows is padding. None: all of it is
        recorded.
    """

    streams: Mapping[str, EventStream]
    label: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    recorded_us: int | None = None

    def __post_init__(self) -> None:
        if not self.streams:
            raise EventError("streams must hold at least one modality, got none")
        for name, stream in self.streams.items():
            if name != stream.modality:
                raise EventError(
                    f"streams[{name!r}] must be of modality {name!r}, got {stream.modality!r}"
                )
        object.__setattr__(self, "streams", dict(self.streams))
        object.__setattr__(self, "provenance", dict(self.provenance))

    @property
    def duration_us(self) -> int:
        """The longest modality's duration."""
        return max(stream.duration_us for stream in self.streams.values())

    def __getitem__(self, modality: str) -> EventStream:
        return self.streams[modality]

    def offset(self, modality: str, offset_us: int) -> MultiStream:
        """Delay ``modality`` by ``offset_us``; a negative offset delays every other one instead."""
        if modality not in self.streams:
            raise EventError(f"modality must be one of {sorted(self.streams)}, got {modality!r}")
        moved = {
            name: stream.shifted(max(offset_us, 0) if name == modality else max(-offset_us, 0))
            for name, stream in self.streams.items()
        }
        return replace(self, streams=moved)

    def without(self, modality: str) -> MultiStream:
        """The same sample with ``modality`` absent, that is, as an empty stream."""
        if modality not in self.streams:
            raise EventError(f"modality must be one of {sorted(self.streams)}, got {modality!r}")
        gone = self.streams[modality]
        silent = EventStream.empty(gone.sensor_size, gone.duration_us, modality)
        return replace(self, streams={**self.streams, modality: silent})


def _check_size(sensor_size: SensorSize) -> SensorSize:
    """Three positive integers that fit the address fields."""
    size = tuple(int(n) for n in sensor_size)
    limit = np.iinfo(np.int16).max
    if len(size) != 3 or min(size) < 1 or max(size[:2]) > limit or size[2] > 2:
        raise EventError(
            "sensor_size must be (W, H, P) with 1 <= W, H <= 32767 and P of 1 or 2, "
            f"got {tuple(sensor_size)}"
        )
    return size[0], size[1], size[2]


def _check_bounds(name: str, values: np.ndarray[Any, Any], limit: int) -> None:
    """Every address is whole and lies in [0, limit)."""
    if values.dtype.kind == "f":
        partial = values[values != np.floor(values)]  # NaN differs from itself; bounds catch inf
        if len(partial):
            raise EventError(f"field {name!r} must hold whole numbers, got {partial[0]}")
    if len(values) and (values.min() < 0 or values.max() >= limit):
        bad = values.min() if values.min() < 0 else values.max()
        raise EventError(f"field {name!r} must lie in [0, {limit}), got {bad}")


def _check_ranges(events: StructuredArray, size: SensorSize, duration_us: int) -> None:
    """Addresses in range, times sorted and inside the recording."""
    _check_bounds("x", events["x"], size[0])
    _check_bounds("y", events["y"], size[1])
    if duration_us < 0:
        raise EventError(f"duration_us must be >= 0, got {duration_us}")
    if not len(events):
        return
    times = events["t"]
    falls = times[1:] < times[:-1]  # not np.diff, which can overflow
    if falls.any():
        at = int(np.argmax(falls)) + 1
        raise EventError(
            "field 't' must never decrease, got "
            f"{times[at - 1]} us then {times[at]} us at event {at} of {len(events)}"
        )
    if times[0] < 0:
        raise EventError(f"field 't' must be >= 0 us, got {times[0]}")
    if times[-1] >= duration_us:
        raise EventError(
            f"field 't' must lie before duration_us={duration_us}, got an event at {times[-1]} us"
        )


def _integral_times(times: np.ndarray[Any, Any]) -> Int64Array:
    """Times as whole microseconds; floats must be finite and are rounded down."""
    if times.dtype.kind == "f":
        if not np.isfinite(times).all():
            raise EventError("field 't' must be finite, got NaN or infinity")
        times = np.floor(times)
    whole: Int64Array = times.astype(np.int64)
    return whole


def _polarity(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Polarity as bool from bool, {0, 1} or {-1, 1}."""
    if values.dtype == np.bool_:
        return values
    unexpected = values[(values != 1) & (values != 0) & (values != -1)]
    if len(unexpected):
        raise EventError(f"field 'p' must be bool, 0/1 or -1/1, got {unexpected[0]}")
    return values > 0
