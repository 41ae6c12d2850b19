"""What a decoder hands over before anything is checked, and files that are whole or absent."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from spikefuse._types import StructuredArray
from spikefuse.events import SensorSize


@dataclass(frozen=True, eq=False)
class RawEvents:
    """Events as a file holds them: perhaps out of order or out of range.

    Parameters
    ----------
    events : structured array
        Fields ``t`` (microseconds), ``x``, ``y`` and ``p``.
    sensor_size : (W, H, P)
    duration_us : int or None
        None where the format does not hold it.
    modality : str
    """

    events: StructuredArray
    sensor_size: SensorSize
    duration_us: int | None
    modality: str


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the place, then rename into it: a reader never sees a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
