"""The 5-byte events of N-MNIST (``.bin``, also ``.bs2``), read and written.

Per event: x, y, then 24 bits from the highest on: polarity and 23 bits of microseconds. A ``y`` of
240 is no event: it adds 8192 microseconds to all later times (Orchard, Jayawant, Cohen and
Thakor, "Converting static image datasets to spiking neuromorphic datasets using saccades",
Frontiers in Neuroscience 9:437, 2015; the layout is that of the data set's MATLAB reader).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sensors.formats.raw import RawEvents
from spikefuse.atomic import write_bytes
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream, SensorSize

NMNIST_SIZE: SensorSize = (34, 34, 2)
_EVENT_BYTES = 5
_OVERFLOW_ROW = 240
_OVERFLOW_US = 2**13
_MAX_US = 2**23 - 1


def read_nmnist(path: Path, sensor_size: SensorSize = NMNIST_SIZE) -> RawEvents:
    """Read a file of 5-byte events; the format holds neither the sensor's size nor the duration.

    Raises
    ------
    DataError
        If the file holds no whole number of events, or none. A file cut between two events cannot
        be told from a shorter recording.
    """
    content = path.read_bytes()
    if not content or len(content) % _EVENT_BYTES:
        raise DataError(
            f"{path} must hold a whole number of {_EVENT_BYTES}-byte events, got {len(content)} "
            "bytes: truncated?"
        )
    columns = np.frombuffer(content, np.uint8).reshape(-1, _EVENT_BYTES).astype(np.int64).T
    x, y, high, middle, low = columns
    is_event = y != _OVERFLOW_ROW
    events = np.zeros(int(is_event.sum()), EVENT_DTYPE)
    times = ((high & 127) << 16) + (middle << 8) + low + _OVERFLOW_US * np.cumsum(~is_event)
    for name, column in (("t", times), ("x", x), ("y", y), ("p", high >> 7)):
        events[name] = column[is_event]
    return RawEvents(events, sensor_size, None, "vision")


def write_nmnist(path: Path, stream: EventStream) -> None:
    """Write a stream as 5-byte events.

    Raises
    ------
    DataError
        If the format cannot hold it: an empty stream, an address above 255, a row 240, one
        polarity, or a time above 8.388607 s.
    """
    events = stream.events
    if stream.sensor_size[2] != 2:
        raise DataError(f"5-byte events must have 2 polarities, got {stream.sensor_size[2]}")
    if not len(events):
        raise DataError("a file of 5-byte events must hold at least one, got none")
    if events["x"].max() > 255 or events["y"].max() > 255 or (events["y"] == _OVERFLOW_ROW).any():
        raise DataError(
            "5-byte events must have addresses up to 255 and none in row 240, got others"
        )
    if events["t"][-1] > _MAX_US:
        raise DataError(
            f"5-byte events must lie before {_MAX_US + 1} us, got one at {events['t'][-1]} us"
        )
    content = np.empty((len(events), _EVENT_BYTES), np.uint8)
    times = events["t"]
    content[:, 0], content[:, 1] = events["x"], events["y"]
    content[:, 2] = (times >> 16) | (events["p"].astype(np.int64) << 7)
    content[:, 3], content[:, 4] = (times >> 8) & 255, times & 255
    write_bytes(path, content.tobytes())
