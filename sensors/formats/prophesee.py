"""Prophesee's ``.raw`` files of EVT 2 and EVT 3, decoded here in one walk over the words.

A text header, then words of 32 bits (EVT 2) or 16 (EVT 3) whose upper 4 bits are the type:

======== ================================== ======================================
type     EVT 2                              EVT 3
======== ================================== ======================================
0        OFF event: 6 bits of time, x, y    row of the events that follow
1        ON event, likewise
2                                           event: polarity, x
3                                           polarity and first x of vectors
4, 5                                        12 or 8 pixels from there on, a bit each
6                                           lower 12 bits of the time
8        upper 28 bits of the time          upper 12 bits of the time
10       external trigger                   external trigger
7        -                                  more bits of the word before
14, 15   vendor's own                       vendor's own
======== ================================== ======================================

Time is in microseconds and turns over after 2^34 (EVT 2) or 2^24 (EVT 3, 16.8 s), which is undone
here. Source: Prophesee, "Data encoding formats", EVT 2.0 and EVT 3.0,
https://docs.prophesee.ai/stable/data/encoding_formats/ (2024).
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sensors.formats.raw import RawEvents
from spikefuse._types import StructuredArray
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, SensorSize

# Size of a sensor whose header does not say it.
_DEFAULT_SIZE: SensorSize = (1280, 720, 2)
_WORD_BYTES = {"evt2": 4, "evt3": 2}
_VERSION = re.compile(rb"%\s*(?:evt\s+|format\s+EVT)(\d(?:\.\d)?)", re.IGNORECASE)
_BIG = re.compile(rb"%\s*endianness\s+big", re.IGNORECASE)
_GEOMETRY = re.compile(rb"%\s*geometry\s+(\d+)\s*x\s*(\d+)", re.IGNORECASE)
_WIDTH = re.compile(rb"[;\s]width=(\d+)", re.IGNORECASE)
_HEIGHT = re.compile(rb"[;\s]height=(\d+)", re.IGNORECASE)
# In the order of the counters of `sensors._numba.evt`.
_SKIPPED = (
    "words of events before the first time",
    "words of events before the first row",
    "external triggers",
    "words of the vendor",
    "words of a reserved type",
)
# Triggers and the vendor's words belong there; the others mean that something is missing.
_WORTH_A_WARNING = (0, 1, 4)


def read_evt(path: Path, sensor_size: SensorSize | None = None) -> RawEvents:
    """Read a file of EVT 2 or EVT 3.

    Parameters
    ----------
    path : Path
    sensor_size : (W, H, 2), optional
        For a header that has none, where 1280 x 720 is the default.

    Returns
    -------
    RawEvents
        Its ``skipped`` counts the words that are no events, or none with a time and a row.

    Raises
    ------
    DataError
        If the header names no such version or the last word is cut.

    Warns
    -----
    UserWarning
        If events come before the first upper time bits or the first row, as in a recording cut from
        a live stream (nobody can know them, so they are left out), or words have a reserved type.
    """
    content = path.read_bytes()
    start = _header_bytes(content)
    header = content[:start]
    found = _VERSION.findall(header)
    version = f"evt{found[0].decode().removesuffix('.0')}" if found else "no version"
    if version not in _WORD_BYTES:
        raise DataError(f"{path} must have a header of EVT 2 or 3, got {version}")
    size, word = len(content) - start, _WORD_BYTES[version]
    if size % word:
        raise DataError(f"{path} must hold whole words of {word} bytes, got {size}: truncated?")
    order = ">" if _BIG.search(header) else "<"
    words = np.frombuffer(content, f"{order}u{word}", offset=start).astype(f"=u{word}", copy=False)
    events, counts = _decoded(words, version)
    skipped = {name: n for name, n in zip(_SKIPPED, counts, strict=True) if n}
    for index in _WORTH_A_WARNING:
        if counts[index]:
            warnings.warn(f"{path}: {counts[index]} {_SKIPPED[index]} are left out", stacklevel=4)
    size_found = _size(header) or sensor_size or _DEFAULT_SIZE
    return RawEvents(events, size_found, None, "vision", skipped)


def _decoded(words: np.ndarray[Any, Any], version: str) -> tuple[StructuredArray, list[int]]:
    """Events, and how many words of each kind were skipped."""
    from sensors._numba import evt

    count, decode = (
        (evt.count_evt2, evt.decode_evt2)
        if version == "evt2"
        else (evt.count_evt3, evt.decode_evt3)
    )
    events = np.empty(count(words), EVENT_DTYPE)
    skipped = np.zeros(len(_SKIPPED), np.int64)
    n = decode(words, events, skipped)
    return events[:n], [int(count) for count in skipped]


def _size(header: bytes) -> SensorSize | None:
    """The sensor's size, if the header says it."""
    geometry = _GEOMETRY.search(header)
    width, height = _WIDTH.search(header), _HEIGHT.search(header)
    if geometry:
        found = int(geometry[1]), int(geometry[2])
    elif width and height:
        found = int(width[1]), int(height[1])
    else:
        return None
    return found[0], found[1], 2


def _header_bytes(content: bytes) -> int:
    """Length of the text header: lines that begin with %, up to the one that says end."""
    at = 0
    while content[at : at + 1] == b"%":
        end = content.find(b"\n", at)
        if end < 0:
            return len(content)
        line, at = content[at:end], end + 1
        if line.strip() == b"% end":
            break
    return at
