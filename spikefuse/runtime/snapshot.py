"""Snapshots of a running stream: tensors and plain values in one file, whole or absent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse import atomic
from spikefuse.errors import DataError

_FORMAT = "spikefuse-stream-1"


def write_snapshot(path: Path, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Write a safetensors file atomically; it holds no code.

    Parameters
    ----------
    path : Path
    tensors : mapping of str to Tensor
    plain : mapping
        Whatever JSON can hold.
    """
    from safetensors.torch import save

    held = {name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()}
    metadata = {"format": _FORMAT, "plain": json.dumps(plain, allow_nan=False)}
    atomic.write_bytes(path, save(held, metadata))


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
