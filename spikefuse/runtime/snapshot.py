"""Snapshots of a running stream: tensors and plain values in one file, whole or absent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from spikefuse import atomic
from spikefuse._types import StructuredArray
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, SensorSize

State = tuple[dict[str, Tensor], dict[str, Any]]

_FORMAT = "spikefuse-stream-2"
_SHOWN = 3  # differences that an error names
_MISSING = "missing"


@runtime_checkable
class Part(Protocol):
    """What a snapshot can hold: runner, buffer, policy, gate, estimator of clocks, or one's own."""

    def settings(self) -> dict[str, Any]:
        """What it was made with, of plain values; a snapshot of other settings is refused."""
        ...

    def state(self) -> State:
        """Tensors and plain values that are needed to go on."""
        ...

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Go on from there; ValueError, KeyError or TypeError where something is not as it was."""
        ...


def save_parts(path: Path | str, parts: Mapping[str, Part]) -> None:
    """Write the state of several parts of a stream into one file, atomically.

    Parameters
    ----------
    path : Path or str
    parts : mapping of name to Part
        All between two pushes: what one has handed on, the next one has taken.
    """
    held: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for name, part in parts.items():
        tensors, values = part.state()
        held |= {f"{name}.{key}": x for key, x in tensors.items()}
        plain[name] = {"kind": type(part).__name__, "settings": part.settings(), "state": values}
    write_snapshot(Path(path), held, plain)


def load_parts(path: Path | str, parts: Mapping[str, Part]) -> None:
    """Put what `save_parts` wrote into parts that were made anew, with the same settings.

    Parameters
    ----------
    path : Path or str
    parts : mapping of name to Part
        Of the names that were written.

    Raises
    ------
    DataError
        If the file is no snapshot, or one of other parts or settings; the message names what
        differs, and nothing is changed then.
    """
    tensors, plain = read_snapshot(Path(path))
    here = {name: {"kind": type(x).__name__} | x.settings() for name, x in parts.items()}
    there = {
        name: {"kind": found.get("kind")} | found.get("settings", {})
        for name, found in plain.items()
    }
    different = list(_differences(there, json.loads(json.dumps(here, default=np.generic.item))))
    if different:
        more = f"; and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        raise DataError(
            f"snapshot must be of this stream, got one of another, {path}: "
            + "; ".join(different[:_SHOWN])
            + more
        )
    for name, part in parts.items():
        prefix = f"{name}."
        own = {k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)}
        try:
            part.load_state(own, plain[name]["state"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"snapshot must hold all of a {name}, got {path}: {error}") from error


def write_snapshot(path: Path, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Write a safetensors file atomically; it holds no code.

    Parameters
    ----------
    path : Path
    tensors : mapping of str to Tensor
    plain : mapping
        Whatever JSON can hold, and floats that are not finite.
    """
    from safetensors.torch import save

    held = {name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()}
    text = json.dumps(plain, default=np.generic.item)
    atomic.write_bytes(path, save(held, {"format": _FORMAT, "plain": text}))


def read_snapshot(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and plain values.

    Raises
    ------
    DataError
        If there is no such file or it is no snapshot.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DataError(f"snapshot must be a file, got {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(f"snapshot must be a safetensors file, got {path}: {error}") from error
    if metadata.get("format") != _FORMAT:
        raise DataError(f"snapshot must be of format {_FORMAT}, got {metadata.get('format')!r}")
    plain: dict[str, Any] = json.loads(metadata.get("plain", "{}"))
    return tensors, plain


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of a model's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(content.numpy().tobytes())
    return digest.hexdigest()


def packed(events: StructuredArray) -> Tensor:
    """Records as bytes, a tensor of their own."""
    return torch.from_numpy(np.ascontiguousarray(events).view(np.uint8).copy())


def unpacked(content: Tensor, size: SensorSize, capacity: int) -> StructuredArray:
    """Records that `packed` made.

    Raises
    ------
    ValueError
        If they are more than ``capacity``, out of order or outside a sensor of this size.
    """
    events: StructuredArray = content.numpy().view(EVENT_DTYPE)
    width, height, _ = size
    x, y, t = events["x"], events["y"], events["t"]
    if len(events) > capacity:
        raise ValueError(f"at most {capacity} events can wait, got {len(events)}")
    if ((x < 0) | (x >= width) | (y < 0) | (y >= height)).any() or (t[1:] < t[:-1]).any():
        raise ValueError(f"events that wait must be in order, of a {size} sensor")
    return events


def _differences(there: Any, here: Any, at: str = "") -> Iterator[str]:
    """What is not alike in two trees of plain values, by its path."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in {**here, **there}:
            path = f"{at}.{key}" if at else str(key)
            yield from _differences(there.get(key, _MISSING), here.get(key, _MISSING), path)
    elif there != here:
        yield f"{at.removesuffix('.kind')} is {_shown(there)} in it and {_shown(here)} here"


def _shown(value: Any) -> str:
    """A value in an error: a part by its kind, what is long by its beginning."""
    if isinstance(value, Mapping):
        value = value.get("kind", "given")
    text = str(value)
    return text if len(text) <= 40 else text[:12] + "..."
