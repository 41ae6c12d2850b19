"""Text and JSON files that are either whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spikefuse.atomic import write_bytes as write_bytes


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN is refused, because it is not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
