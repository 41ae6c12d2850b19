"""Text and JSON files that are either whole or absent."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from spikefuse.atomic import write_bytes as write_bytes

_BEGAN_S = time.time()
_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}")  # as the temporary files of `write_bytes` are named


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN is refused, because it is not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def is_leftover(path: Path) -> bool:
    """Whether a process that was killed before this one began left it half written."""
    named = _LEFTOVER.fullmatch(path.name) is not None
    return named and path.is_file() and path.stat().st_mtime < _BEGAN_S


def remove_leftovers(folder: Path) -> None:
    """Remove every file of a run directory that `is_leftover`."""
    for path in folder.glob(".*"):
        if is_leftover(path):
            path.unlink(missing_ok=True)
