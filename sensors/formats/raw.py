"""What a decoder hands over before anything is checked, and files that are whole or absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    skipped : mapping of str to int
        What the file holds besides and a stream cannot, such as external triggers.
    """

    events: StructuredArray
    sensor_size: SensorSize
    duration_us: int | None
    modality: str
    skipped: Mapping[str, int] = field(default_factory=dict)
