"""What a page carries inside itself: data as JSON that cannot end its element, and downloads."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any


def embedded_json(value: Any) -> str:
    """JSON for a script element: the signs that could close it are written as escapes.

    A parser gives back the same value.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def packed_uri(value: Any) -> str:
    """JSON, gzipped, as a data URI: the same bytes for the same value."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return data_uri("application/gzip", gzip.compress(text.encode(), mtime=0))


def data_uri(media_type: str, content: bytes) -> str:
    """Bytes as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
