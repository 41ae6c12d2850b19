"""Event files of every format: read, write, describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from sensors.formats import foreign, nmnist, own, prophesee
from sensors.formats.raw import RawEvents
from spikefuse.errors import DataError, EventError
from spikefuse.events import EventStream, SensorSize

Reader = Callable[[Path, SensorSize | None], RawEvents]
Writer = Callable[[Path, EventStream], None]


@dataclass(frozen=True)
class FileSummary:
    """What is in an event file, and whether it keeps the rules of an `EventStream`.

    Parameters
    ----------
    n_events : int
    sensor_size : (W, H, P)
    modality : str
    first_us, last_us : int or None
        Smallest and largest time; None without events.
    duration_us : int
        As the file says, else up to the last event.
    rate_hz, rate_per_address_hz : float or None
        Events per second, and per second and address; None without duration.
    on_share : float or None
        Share of ON events; None without events or with one polarity.
    n_active : int
        Pixels with at least one event.
    n_backward : int
        Events earlier than the one before them.
    n_outside : int
        Events whose address or time is out of range.
    skipped : mapping of str to int
        What the file holds besides events, such as external triggers.
    """

    n_events: int
    sensor_size: SensorSize
    modality: str
    first_us: int | None
    last_us: int | None
    duration_us: int
    rate_hz: float | None
    rate_per_address_hz: float | None
    on_share: float | None
    n_active: int
    n_backward: int
    n_outside: int
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether `read_events` takes the file as it is."""
        return self.n_backward == 0 and self.n_outside == 0


def read_raw(path: Path | str, sensor_size: SensorSize | None = None) -> RawEvents:
    """The events of a file as they are, order and range unchecked; see `read_events`."""
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} must end in one of {sorted(_READERS)}, got {path.suffix!r}")
    if not path.is_file():
        raise DataError(f"{path} must be a file, got none there")
    return reader(path, sensor_size)


def read_events(
    path: Path | str, sensor_size: SensorSize | None = None, sort: bool = False
) -> EventStream:
    """Read an event file; its suffix tells the format.

    ======== ====================================== ===========
    suffix   format                                 also writes
    ======== ====================================== ===========
    .npz .h5 spikefuse's own; all of a stream       yes
    .bin     5-byte events of N-MNIST, also .bs2    yes
    .raw     Prophesee EVT 2 and 3                  no
    .aedat4  AEDAT 4, first event track             no
    .es      Event Stream, DVS or ATIS              no
    ======== ====================================== ===========

    The last two are decoded by faery (``pip install "spikefuse[io]"``).

    Parameters
    ----------
    path : Path or str
    sensor_size : (W, H, P), optional
        For formats that do not hold it: 34 x 34 for ``.bin``, 1280 x 720 for ``.raw`` without
        geometry.
    sort : bool
        Bring events into the order of time; without it, disorder is an error.

    Returns
    -------
    EventStream
        Times as in the file: `sensors.transforms.crop_time` moves the zero.

    Raises
    ------
    DataError
        If the file is missing, damaged, truncated as far as its format can tell, or of no known
        format; always one message that names the file.
    """
    raw = read_raw(path, sensor_size)
    events = raw.events
    if sort:
        events = events[np.argsort(events["t"], kind="stable")]
    try:
        return EventStream.from_structured(events, raw.sensor_size, raw.duration_us, raw.modality)
    except (EventError, ValueError) as error:
        raise EventError(f"{path}: {error}") from error


def write_events(path: Path | str, stream: EventStream) -> None:
    """Write a stream to ``.npz``, ``.h5`` or ``.bin``; the file is whole or absent.

    Raises
    ------
    DataError
        If the suffix is another or the format cannot hold the stream.
    """
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise DataError(f"{path} must end in one of {sorted(_WRITERS)}, got {path.suffix!r}")
    writer(path, stream)


def summarise(raw: RawEvents) -> FileSummary:
    """Counts, times, rates and checks of raw events."""
    events, (width, height, polarities) = raw.events, raw.sensor_size
    times = events["t"].astype(np.int64)
    first, last = (int(times.min()), int(times.max())) if len(times) else (None, None)
    duration = raw.duration_us
    if duration is None:
        duration = 0 if last is None else last + 1
    x, y = events["x"].astype(np.int64), events["y"].astype(np.int64)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    inside &= (times >= 0) & (times < duration)
    rate = len(times) / (duration * 1e-6) if duration > 0 else None
    on_share = float(np.mean(events["p"] > 0)) if len(times) and polarities > 1 else None
    return FileSummary(
        n_events=len(times),
        sensor_size=raw.sensor_size,
        modality=raw.modality,
        first_us=first,
        last_us=last,
        duration_us=duration,
        rate_hz=rate,
        rate_per_address_hz=None if rate is None else rate / (width * height * polarities),
        on_share=on_share,
        n_active=len(np.unique(y[inside] * width + x[inside])),
        n_backward=int((times[1:] < times[:-1]).sum()),
        n_outside=int((~inside).sum()),
        skipped=dict(raw.skipped),
    )


def _fixed(read: Callable[[Path], RawEvents], path: Path, size: SensorSize | None) -> RawEvents:
    """Read a format that holds the sensor's size; a wrong one given is not passed over."""
    return _agreed(read(path), path, size)


def _raw(path: Path, size: SensorSize | None) -> RawEvents:
    """Read a Prophesee file; the size given serves a header without one."""
    return _agreed(prophesee.read_evt(path, size), path, size)


def _agreed(raw: RawEvents, path: Path, size: SensorSize | None) -> RawEvents:
    """The same events, if the size asked for is the file's."""
    if size is not None and size != raw.sensor_size:
        raise DataError(f"sensor_size of {path} must be {raw.sensor_size} as it says, got {size}")
    return raw


def _nmnist(path: Path, size: SensorSize | None) -> RawEvents:
    """Read 5-byte events of any sensor."""
    return nmnist.read_nmnist(path, size if size is not None else nmnist.NMNIST_SIZE)


_READERS: dict[str, Reader] = {
    ".npz": partial(_fixed, own.read_npz),
    ".h5": partial(_fixed, own.read_h5),
    ".bin": _nmnist,
    ".bs2": _nmnist,
    ".raw": _raw,
    ".aedat4": partial(_fixed, foreign.read_aedat4),
    ".es": partial(_fixed, foreign.read_es),
}
_WRITERS: dict[str, Writer] = {
    ".npz": own.write_npz,
    ".h5": own.write_h5,
    ".bin": nmnist.write_nmnist,
    ".bs2": nmnist.write_nmnist,
}
