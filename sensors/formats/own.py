"""Our own event files, ``.npz`` and ``.h5``: nothing is lost, and damage does not go unseen."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sensors.formats.raw import RawEvents
from spikefuse.atomic import write_bytes
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream

_VERSION = 1
_COLUMNS = ("t", "x", "y", "p")
# HDF5 leaves the first bytes of a file to its user. They hold the hash of the rest, so that no
# damaged byte reaches the library, which is C and trusts what it reads.
_USER_BLOCK = 512
_MAGIC = b"spikefuse events, sha256 "


def write_npz(path: Path, stream: EventStream) -> None:
    """Write a stream as compressed arrays ``t``, ``x``, ``y``, ``p`` and ``meta`` (JSON)."""
    buffer = io.BytesIO()
    columns: dict[str, Any] = {name: stream.events[name] for name in _COLUMNS}
    meta = np.frombuffer(_meta_of(stream).encode(), np.uint8)
    np.savez_compressed(buffer, allow_pickle=False, meta=meta, **columns)
    write_bytes(path, buffer.getvalue())


def read_npz(path: Path) -> RawEvents:
    """Read what `write_npz` wrote; every member's checksum is verified first.

    Raises
    ------
    DataError
        If the file is damaged or something else.
    """

    def load() -> RawEvents:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"the checksum of {damaged} differs")
        with np.load(path, allow_pickle=False) as file:
            return _joined(file["meta"].tobytes(), {name: file[name] for name in _COLUMNS})

    return _guarded(path, ".npz", load)


def write_h5(path: Path, stream: EventStream) -> None:
    """Write a stream as compressed data sets ``t``, ``x``, ``y``, ``p`` and attribute ``meta``."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=_USER_BLOCK) as file:
        file.attrs["meta"] = _meta_of(stream)
        for name in _COLUMNS:
            file.create_dataset(name, data=stream.events[name], compression="gzip", shuffle=True)
    body = buffer.getvalue()[_USER_BLOCK:]
    head = _MAGIC + hashlib.sha256(body).hexdigest().encode()
    write_bytes(path, head.ljust(_USER_BLOCK, b"\0") + body)


def read_h5(path: Path) -> RawEvents:
    """Read what `write_h5` wrote; the file's hash is verified first.

    Raises
    ------
    DataError
        If the file is damaged or something else.
    """
    import h5py

    content = path.read_bytes()
    if not content.startswith(_MAGIC):
        raise DataError(f"{path} must be an event file of spikefuse, got another or a damaged file")
    digest = content[len(_MAGIC) : _USER_BLOCK].rstrip(b"\0").decode("ascii", "replace")
    if hashlib.sha256(content[_USER_BLOCK:]).hexdigest() != digest:
        raise DataError(
            f"{path} must be as it was written, got another hash: truncated, damaged or edited"
        )

    def load() -> RawEvents:
        with h5py.File(io.BytesIO(content), "r") as file:
            columns = {name: file[name][()] for name in _COLUMNS}
            return _joined(str(file.attrs["meta"]).encode(), columns)

    return _guarded(path, ".h5", load)


def _meta_of(stream: EventStream) -> str:
    """What the columns do not say."""
    return json.dumps(
        {
            "version": _VERSION,
            "sensor_size": list(stream.sensor_size),
            "duration_us": stream.duration_us,
            "modality": stream.modality,
        }
    )


def _joined(meta: bytes, columns: Mapping[str, Any]) -> RawEvents:
    """Columns and what describes them."""
    about = json.loads(meta)
    if about["version"] != _VERSION:
        raise ValueError(f"version must be {_VERSION}, got {about['version']!r}")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"columns must be of one length, got {sorted(lengths)}")
    events = np.zeros(lengths.pop(), EVENT_DTYPE)
    for name, column in columns.items():
        if column.dtype != EVENT_DTYPE[name]:
            raise ValueError(f"{name} must be {EVENT_DTYPE[name]}, got {column.dtype}")
        events[name] = column
    width, height, polarities = (int(n) for n in about["sensor_size"])
    return RawEvents(
        events, (width, height, polarities), int(about["duration_us"]), str(about["modality"])
    )


def _guarded(path: Path, kind: str, load: Callable[[], RawEvents]) -> RawEvents:
    """What ``load`` returns; whatever it raises is one error that names the file.

    Parsers of damaged bytes raise nearly everything: zlib, struct, zip, key, memory errors.
    """
    try:
        return load()
    except Exception as error:
        raise DataError(
            f"{path} must be a whole {kind} event file of spikefuse, got {error or type(error)}"
        ) from error
