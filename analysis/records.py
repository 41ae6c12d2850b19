"""Reading run directories: the only way in which analysis learns of an experiment."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikefuse.errors import ConfigError, DataError

SCHEMA = 1


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Parameters
    ----------
    path : Path
    result : dict
        Content of ``result.json``.
    raster : dict of arrays, or None
        Content of ``raster.npz``, where the run has a fused SNN.
    """

    path: Path
    result: dict[str, Any]
    raster: dict[str, np.ndarray[Any, Any]] | None


def load_run(path: Path) -> RunRecord:
    """Read a finished run directory.

    Raises
    ------
    ConfigError
        If it holds no ``result.json``.
    DataError
        If a file is damaged or of another schema.
    """
    file = Path(path) / "result.json"
    if not file.is_file():
        raise ConfigError(f"RUN must be a finished run directory with result.json, got {path}")
    try:
        result: dict[str, Any] = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise DataError(f"{file} must be JSON, got: {error}") from error
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        found = result.get("schema") if isinstance(result, dict) else type(result).__name__
        raise DataError(f"{file} must be of schema {SCHEMA}, got {found!r}")
    raster_file = Path(path) / "raster.npz"
    raster = None
    if raster_file.is_file():
        try:
            with np.load(raster_file, allow_pickle=False) as arrays:
                raster = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{raster_file} must be readable, got: {error}") from error
    return RunRecord(Path(path), result, raster)
