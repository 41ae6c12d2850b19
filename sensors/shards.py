"""A file of many event streams that is mapped, not read: the format of the cache.

Layout: 8 bytes of magic, the length and the CRC-32 of the description (two uint64), the description
(JSON, an item for each stream), then the events of all streams, one after the other. A stream's own
CRC-32 stands in its item.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikefuse._types import StructuredArray
from spikefuse.atomic import write_bytes
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream

_MAGIC = b"SFEVENT1"
_HEAD = struct.Struct("<8sQQ")


class Shard:
    """The streams of one file; their events are views of it.

    A stream's checksum is compared the first time it is asked for.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError
        If the file is truncated, damaged or something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = np.memmap(path, np.uint8, "r").view(np.ndarray)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} must be a readable shard, got {error}") from error
        if len(content) < _HEAD.size:
            raise DataError(f"{path} must be a whole shard, got {len(content)} bytes")
        magic, length, checksum = _HEAD.unpack(content[: _HEAD.size].tobytes())
        about = content[_HEAD.size : _HEAD.size + length].tobytes()
        if magic != _MAGIC or len(about) != length or zlib.crc32(about) != checksum:
            raise DataError(f"{path} must be a whole shard, got another or a damaged file")
        self.items: list[dict[str, Any] | None] = json.loads(about)
        counts = [0 if item is None else int(item["n"]) for item in self.items]
        self._first = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        events = content[_HEAD.size + length :]
        if len(events) != self._first[-1] * EVENT_DTYPE.itemsize:
            raise DataError(
                f"{path} must hold {self._first[-1]} events, got {len(events)} bytes of them"
            )
        self._events: StructuredArray = events.view(EVENT_DTYPE)
        self._checked = np.zeros(len(self.items), np.bool_)

    def __len__(self) -> int:
        return len(self.items)

    def stream(self, index: int) -> EventStream | None:
        """Stream ``index``; None where none was written.

        Raises
        ------
        DataError
            If its checksum differs.
        """
        item = self.items[index]
        if item is None:
            return None
        events = self._events[self._first[index] : self._first[index + 1]]
        if not self._checked[index]:
            if zlib.crc32(events.view(np.uint8).data) != item["crc"]:
                raise DataError(f"stream {index} of {self.path} must be as written, got damage")
            self._checked[index] = True
        width, height, polarities = item["sensor_size"]
        return EventStream.trusted(
            events, (width, height, polarities), item["duration_us"], item["modality"]
        )


def write_shard(
    path: Path,
    streams: Sequence[EventStream | None],
    about: Sequence[dict[str, Any]] | None = None,
) -> None:
    """Write streams into one file, whole or absent.

    Parameters
    ----------
    path : Path
    streams : sequence of EventStream or None
        None keeps the place of a stream that could not be made.
    about : sequence of dict, optional
        More to keep with each of them, in JSON.
    """
    extra = about if about is not None else [{} for _ in streams]
    parts = [b"" if s is None else s.events.tobytes() for s in streams]
    items = [
        None
        if stream is None
        else {
            "n": len(stream),
            "crc": zlib.crc32(part),
            "sensor_size": list(stream.sensor_size),
            "duration_us": stream.duration_us,
            "modality": stream.modality,
            **more,
        }
        for stream, part, more in zip(streams, parts, extra, strict=True)
    ]
    described = json.dumps(items).encode()
    head = _HEAD.pack(_MAGIC, len(described), zlib.crc32(described))
    write_bytes(path, b"".join([head, described, *parts]))


def touch(path: Path) -> None:
    """Note that an entry was used; a file system that cannot is no reason to stop."""
    try:
        os.utime(path)
    except OSError:
        return
