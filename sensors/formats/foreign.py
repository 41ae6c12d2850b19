"""AEDAT 4 and Event Stream (``.es``), decoded by faery.

Faery takes the end of a file for the end of the recording, even in the middle of an event, so what
can be known about completeness is checked here first.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sensors.formats import faery_script
from sensors.formats.raw import RawEvents
from spikefuse.errors import DataError
from spikefuse.events import SensorSize

# Faery asks for a size in case that the file has none; these formats have one.
_ANY_SIZE: SensorSize = (1280, 720, 2)
_ES_HEADER_BYTES = 20
_ES_DVS, _ES_ATIS = 1, 2
_LEAST_SECONDS, _BYTES_PER_SECOND = 60, 1e6


def read_aedat4(path: Path) -> RawEvents:
    """Read the first event track of an AEDAT 4 file.

    Raises
    ------
    DataError
        If the file is damaged or truncated.
    """
    return _decoded(path, "aedat")


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
    return _decoded(path, "es")


def _decoded(path: Path, kind: str) -> RawEvents:
    """Events by way of faery, in a process of its own."""
    if find_spec("faery") is None:
        raise DataError(
            f"{path.suffix} files need faery, which is not installed: pip install 'spikefuse[io]'"
        )
    patience = _LEAST_SECONDS + path.stat().st_size / _BYTES_PER_SECOND
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "events.npy"
        values = [path, kind, *_ANY_SIZE[:2], out]
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
