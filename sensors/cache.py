"""Encoded recordings, built once and kept by the hash of all that shaped them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sensors.recordings import Recording
from spikefuse.atomic import write_bytes
from spikefuse.events import EVENT_DTYPE, EventStream


def cached_recordings(
    key: Mapping[str, object],
    build: Callable[[], list[Recording]],
    sources: Sequence[ModuleType] = (),
    directory: Path | None = None,
) -> tuple[list[Recording], bool]:
    """Recordings from the cache, or built and put there.

    Parameters
    ----------
    key : mapping
        Every parameter that shapes the recordings; must be JSON.
    build : callable
    sources : sequence of modules
        Code whose change must invalidate the entry.
    directory : Path, optional
        Defaults to the environment's ``SPIKEFUSE_CACHE``, else ``~/.cache/spikefuse``.

    Returns
    -------
    recordings : list of Recording
    hit : bool
        Whether they came from the cache. A damaged entry is rebuilt with a warning.
    """
    folder = directory if directory is not None else cache_directory()
    path = folder / f"recordings-{_digest(key, sources)}.npz"
    if path.is_file():
        try:
            return _read(path), True
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(f"cache entry {path} is damaged ({error}): rebuilt", stacklevel=2)
    recordings = build()
    _write(path, recordings)
    return recordings, False


def cache_directory() -> Path:
    """Where cached recordings live."""
    named = os.environ.get("SPIKEFUSE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "spikefuse"


def _digest(key: Mapping[str, object], sources: Sequence[ModuleType]) -> str:
    """Hash of the parameters and of the code."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
    for module in sources:
        file = getattr(module, "__file__", None)  # built-in modules lack the attribute
        if file is None:
            raise ValueError(f"sources must be modules with a file, got {module.__name__}")
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:32]


def _write(path: Path, recordings: Sequence[Recording]) -> None:
    """One file, whole or absent: several processes may build the same entry at once."""
    parts = [r.stream.events for r in recordings]
    meta: list[dict[str, Any]] = [
        {
            "n": len(r.stream),
            "sensor_size": list(r.stream.sensor_size),
            "duration_us": r.stream.duration_us,
            "modality": r.stream.modality,
            "label": r.label,
            "source": r.source,
            "group": r.group,
            "split": r.split,
        }
        for r in recordings
    ]
    events = np.concatenate(parts) if parts else np.zeros(0, EVENT_DTYPE)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
        t=events["t"],
        x=events["x"],
        y=events["y"],
        p=events["p"],
    )
    write_bytes(path, buffer.getvalue())


def _read(path: Path) -> list[Recording]:
    """Recordings of one entry."""
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(file["meta"].tobytes())
        events = np.zeros(len(file["t"]), EVENT_DTYPE)
        for name in EVENT_DTYPE.names or ():
            events[name] = file[name]
    recordings: list[Recording] = []
    start = 0
    for item in meta:
        part = events[start : start + item["n"]].copy()
        start += item["n"]
        width, height, polarities = item["sensor_size"]
        stream = EventStream(
            part, (width, height, polarities), item["duration_us"], item["modality"]
        )
        recordings.append(
            Recording(stream, item["label"], item["source"], item["group"], item["split"])
        )
    return recordings
