"""Prophesee EVT 2 and 3 (``.raw``), AEDAT 4 and Event Stream (``.es``), decoded by faery.

Faery takes the end of a file for the end of the recording, even in the middle of an event, so what
can be known about completeness is checked here first.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sensors.formats import faery_script
from sensors.formats.raw import RawEvents
from spikefuse._types import BoolArray
from spikefuse.errors import DataError
from spikefuse.events import SensorSize

# Size of a Prophesee sensor whose header does not say it.
_RAW_SIZE: SensorSize = (1280, 720, 2)
_WORDS: dict[str, np.dtype[Any]] = {"evt2": np.dtype("<u4"), "evt3": np.dtype("<u2")}
_EVENT_TYPES = {"evt2": (0, 1), "evt3": (2, 4, 5)}
_TIME_HIGH = 8
_VERSION = re.compile(rb"%\s*(?:evt\s+|format\s+EVT)(\d(?:\.\d)?)", re.IGNORECASE)
_ES_HEADER_BYTES = 20
_ES_DVS, _ES_ATIS = 1, 2
_LEAST_SECONDS, _BYTES_PER_SECOND = 60, 1e6


def read_evt(path: Path, sensor_size: SensorSize | None = None) -> RawEvents:
    """Read a Prophesee file of version 2 or 3.

    Parameters
    ----------
    path : Path
    sensor_size : (W, H, 2), optional
        For a header that has none, where 1280 x 720 is the default.

    Raises
    ------
    DataError
        If the header names no such version or the last word is cut.

    Warns
    -----
    UserWarning
        If events come before the first word of upper time bits, as in a recording cut from a live
        stream: nobody can know their time, so they are left out.
    """
    content = path.read_bytes()
    start = _header_bytes(content)
    found = _VERSION.findall(content[:start])
    version = f"evt{found[0].decode().removesuffix('.0')}" if found else "no version"
    if version not in _WORDS:
        raise DataError(f"{path} must have a header of EVT 2 or 3, got {version}")
    size, word = len(content) - start, _WORDS[version].itemsize
    if size % word:
        raise DataError(f"{path} must hold whole words of {word} bytes, got {size}: truncated?")
    words = np.frombuffer(content, _WORDS[version], offset=start)
    timeless = _timeless(words, version)
    if not timeless.any():
        return _decoded(path, "evt", version, sensor_size or _RAW_SIZE)
    warnings.warn(
        f"{path}: {timeless.sum()} words of events before the first time are left out",
        stacklevel=2,
    )
    with tempfile.TemporaryDirectory() as folder:
        timed = Path(folder) / path.name
        timed.write_bytes(content[:start] + words[~timeless].tobytes())
        return _decoded(timed, "evt", version, sensor_size or _RAW_SIZE)


def read_aedat4(path: Path) -> RawEvents:
    """Read the first event track of an AEDAT 4 file.

    Raises
    ------
    DataError
        If the file is damaged or truncated.
    """
    return _decoded(path, "aedat", "", _RAW_SIZE)


def read_es(path: Path) -> RawEvents:
    """Read an Event Stream file of DVS or ATIS events.

    Raises
    ------
    DataError
        If the file is damaged or its last event is cut.
    """
    from sensors._numba.walk import bytes_left_over

    content = path.read_bytes()
    if len(content) < _ES_HEADER_BYTES or not content.startswith(b"Event Stream"):
        raise DataError(f"{path} must begin with an Event Stream header, got another file")
    if content[15] not in (_ES_DVS, _ES_ATIS):
        raise DataError(f"{path} must hold DVS or ATIS events, got type {content[15]}")
    marker = 0xFE if content[15] == _ES_DVS else 0xFC
    left = bytes_left_over(np.frombuffer(content, np.uint8), _ES_HEADER_BYTES, marker)
    if left:
        raise DataError(f"{path} must end with a whole event, got {left} bytes of one: truncated?")
    return _decoded(path, "es", "", _RAW_SIZE)


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


def _timeless(words: npt.NDArray[Any], version: str) -> BoolArray:
    """Words of events that come before the first upper time bits."""
    kind = words >> (8 * words.itemsize - 4)
    is_time = kind == _TIME_HIGH
    first = int(is_time.argmax()) if is_time.any() else len(words)
    timeless: BoolArray = np.isin(kind, _EVENT_TYPES[version])
    timeless[first:] = False
    return timeless


def _decoded(path: Path, kind: str, version: str, size: SensorSize) -> RawEvents:
    """Events by way of faery, in a process of its own."""
    if find_spec("faery") is None:
        raise DataError(
            f"{path.suffix} files need faery, which is not installed: pip install 'spikefuse[io]'"
        )
    patience = _LEAST_SECONDS + path.stat().st_size / _BYTES_PER_SECOND
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "events.npy"
        values = [path, kind, version, size[0], size[1], out]
        command = [sys.executable, faery_script.__file__, *map(str, values)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=patience, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise DataError(
                f"{path} must be decoded within {patience:.0f} s, got no end: damaged?"
            ) from error
        if done.returncode:
            raise DataError(f"{path} must be a whole {kind} file, got {_reason(done)}")
        events = np.load(out, allow_pickle=False)
    width, height = (int(n) for n in done.stdout.split())
    return RawEvents(events, (width, height, 2), None, "vision")


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Why a decoder failed: its last line, or that it died."""
    if done.returncode < 0:
        return f"a decoder that died of signal {-done.returncode}: damaged?"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {done.returncode}"
