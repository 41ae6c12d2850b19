"""Recordings as sources: event files cut into chunks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sensors.files import read_events
from spikefuse.events import EventStream, SensorSize
from spikefuse.runtime.buffer import Chunk


class StreamSource:
    """A recording that is in memory, chunk by chunk.

    Parameters
    ----------
    stream : EventStream
    modality : str
    chunk_ms : float
        Length of a chunk.

    Raises
    ------
    ValueError
        If the length is below a microsecond.
    """

    live = False

    def __init__(self, stream: EventStream, modality: str, chunk_ms: float = 10.0) -> None:
        if not chunk_ms >= 0.001:
            raise ValueError(f"chunk_ms must be at least 0.001, got {chunk_ms}")
        self.stream, self.modality = stream, modality
        self._chunk_us = round(chunk_ms * 1e3)

    def chunks(self) -> Iterator[Chunk]:
        """Chunks of equal length; the last one ends with the recording."""
        times = np.ascontiguousarray(self.stream.events["t"])
        start = 0
        for from_us in range(0, self.stream.duration_us, self._chunk_us):
            until_us = min(from_us + self._chunk_us, self.stream.duration_us)
            end = int(np.searchsorted(times, until_us, side="left"))
            yield Chunk(self.modality, self.stream.events[start:end], until_us)
            start = end

    def close(self) -> None:
        """Nothing is open."""


def file_source(
    path: Path | str,
    modality: str,
    sensor_size: SensorSize | None = None,
    chunk_ms: float = 10.0,
) -> StreamSource:
    """An event file of any format that `sensors.files.read_events` knows.

    Parameters
    ----------
    path : Path
    modality : str
    sensor_size : (int, int, int), optional
        Where the format does not say it.
    chunk_ms : float
        Length of the pieces that are handed on.
    """
    return StreamSource(read_events(path, sensor_size), modality, chunk_ms)
