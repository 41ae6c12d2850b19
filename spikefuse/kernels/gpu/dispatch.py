"""Events or dense on a GPU: by the share of active inputs, where the host knows it.

A dense input does not say how full it is, and asking would make the host wait for the device: it
is multiplied dense. Events know their number. The thresholds belong to a device and are measured
by ``spikefuse bench kernels --calibrate``; without a measurement a careful estimate stands in.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch

from spikefuse.errors import ConfigError

Operation = Literal["product", "conv"]

# Share of active inputs up to which events win. Not measured on any device: from the bytes that a
# gather moves through the second-level cache and the peak of TF32 units, halved. See
# docs/cuda.md.
ESTIMATED: Mapping[Operation, float] = {"product": 0.005, "conv": 0.005}


@dataclass(frozen=True)
class Thresholds:
    """Shares up to which events win, and where they come from.

    Attributes
    ----------
    share : mapping of "product" and "conv" to float
    source : "paper estimate" or "measured"
    """

    share: Mapping[Operation, float]
    source: str


def dense_wins(
    n_events: int | None,
    shape: list[int],
    n_out: int,
    device: torch.device,
    operation: Operation = "product",
) -> bool:
    """Whether a dense operation is taken.

    Parameters
    ----------
    n_events : int or None
        Active inputs; None if the host does not know.
    shape : [T, B, n_in]
    n_out : int
    device : torch.device
    operation : "product" or "conv"
    """
    cells = shape[0] * shape[1] * shape[2]
    if n_events is None or not cells or not n_out:
        return True
    return n_events > thresholds_of(device).share[operation] * cells


def thresholds_of(device: torch.device) -> Thresholds:
    """The thresholds of a device, by its name."""
    return _thresholds(device_name(device), table_path())


@cache
def device_name(device: torch.device) -> str:
    """What the driver calls the device; ``"host"`` where an emulator runs."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "host"


def table_path() -> Path:
    """Where measured thresholds are kept: SPIKEFUSE_GPU_TABLE, or a file of the user's."""
    named = os.environ.get("SPIKEFUSE_GPU_TABLE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "spikefuse" / "gpu.toml"


def read_table(path: Path) -> dict[str, dict[Operation, float]]:
    """Measured thresholds by device name; empty if there is no file.

    Raises
    ------
    ConfigError
        If the file is no such table.
    """
    if not path.is_file():
        return {}
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be a TOML table of thresholds: {error}") from error
    for name, shares in table.items():
        fine = isinstance(shares, dict) and set(shares) == set(ESTIMATED)
        if not fine or not all(_is_share(share) for share in shares.values()):
            raise ConfigError(
                f"{name!r} in {path} must hold {sorted(ESTIMATED)}, each from 0 to 1, got {shares}"
            )
    return table


def forget() -> None:
    """Read the table again at the next call."""
    _thresholds.cache_clear()


@cache
def _thresholds(device: str, path: Path) -> Thresholds:
    """Measured thresholds of a device, or the estimate."""
    measured = read_table(path).get(device)
    if measured is None:
        return Thresholds(ESTIMATED, "paper estimate")
    return Thresholds(measured, "measured")


def _is_share(value: Any) -> bool:
    """Whether it is a number from 0 to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
