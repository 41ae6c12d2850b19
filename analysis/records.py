"""Reading run directories: the only way in which analysis learns of an experiment."""

from __future__ import annotations

import csv
import json
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikefuse.errors import ConfigError, DataError

SCHEMA = 1
_INTEGERS = ("seed", "sample", "label", "prediction")
_TEXTS = ("model", "vision_source", "audio_source", "vision_group", "audio_group")
_MODALITY_COLUMNS = ("_source", "_group")
_RESULT_KEYS = ("name", "seeds", "data", "models", "comparison", "ratios", "environment")


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Parameters
    ----------
    path : Path
    result : dict
        Content of ``result.json``.
    raster : dict of arrays, or None
        Content of ``raster.npz``, where the run has a fused SNN; times in ms.
    metrics : list of dict
        Lines of ``metrics.jsonl``: one per model, seed and epoch.
    predictions : dict of columns, or None
        Content of ``predictions.csv``, each column an array of one entry per line; of every
        modality ``<modality>_source`` and ``<modality>_group``.
    config : dict
        Content of ``config.toml``; empty where the file is absent.
    scores : dict of arrays, or None
        Content of ``scores.npz``: ``<split>.<model>.seed<seed>`` natural-log class probabilities
        ``[n, C]`` of the final decision (float32, at temperature 1), ``<split>.labels`` [n] and
        ``<split>.pairs`` [n, M], the recording of each of the ``modalities`` [M]. Splits are
        ``validation`` and ``test``; rows are in the order of ``predictions.csv``.
    answers : dict of arrays, or None
        Content of ``answers.npz``: ``<model>.seed<seed>`` class answered after each time [k, n] and
        ``<model>.times_ms`` [k], on the test samples in the order of ``predictions.csv``.
    delays : dict of arrays, or None
        Content of ``delays.npz``, where an operator learns delays or windows:
        ``<model>.seed<seed>.<delay or width>_<start or end>_ms.<pair>``.
    """

    path: Path
    result: dict[str, Any]
    raster: dict[str, np.ndarray[Any, Any]] | None
    metrics: list[dict[str, Any]]
    predictions: dict[str, np.ndarray[Any, Any]] | None
    config: dict[str, Any]
    scores: dict[str, np.ndarray[Any, Any]] | None = None
    answers: dict[str, np.ndarray[Any, Any]] | None = None
    delays: dict[str, np.ndarray[Any, Any]] | None = None


def read_beside(folder: Path, name: str, schema: int, what: str) -> dict[str, Any] | None:
    """A JSON file that a later command left in a run directory, None where there is none.

    Parameters
    ----------
    folder : Path
    name : str
    schema : int
        The only one that is read.
    what : str
        Whose result it is; for messages.

    Raises
    ------
    DataError
        If it is damaged or of another schema.
    """
    file = folder / name
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        got = found["schema"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{file} must be the result of {what}, got: {error}") from error
    if got != schema:
        raise DataError(f"{file} must be of schema {schema}, got {got!r}")
    return dict(found)


def load_run(path: Path | str) -> RunRecord:
    """Read a finished run directory.

    Only ``result.json`` must be there; a file that is there must be readable.

    Raises
    ------
    ConfigError
        If it holds no ``result.json``.
    DataError
        If a file is damaged or of another schema.
    """
    folder = Path(path)
    return RunRecord(
        folder,
        read_result(folder),
        _read_arrays(folder / "raster.npz"),
        _read_metrics(folder / "metrics.jsonl"),
        _read_predictions(folder / "predictions.csv"),
        read_config(folder / "config.toml"),
        _read_arrays(folder / "scores.npz"),
        _read_arrays(folder / "answers.npz"),
        _read_arrays(folder / "delays.npz"),
    )


def discover_runs(root: Path | str) -> list[Path]:
    """Finished run directories at or below ``root``, sorted.

    Raises
    ------
    ConfigError
        If ``root`` is no directory.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise ConfigError(f"root must be a directory, got {root}")
    return sorted(file.parent for file in folder.rglob("result.json"))


def read_result(folder: Path) -> dict[str, Any]:
    """``result.json``, of this schema and with every part that a report needs."""
    file = folder / "result.json"
    if not file.is_file():
        raise ConfigError(f"RUN must be a finished run directory with result.json, got {folder}")
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} must be JSON, got: {error}") from error
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        found = result.get("schema") if isinstance(result, dict) else type(result).__name__
        raise DataError(f"{file} must be of schema {SCHEMA}, got {found!r}")
    missing = [key for key in _RESULT_KEYS if key not in result]
    if missing:
        raise DataError(f"{file} must hold {', '.join(_RESULT_KEYS)}, got none of {missing}")
    return result


def _read_arrays(file: Path) -> dict[str, np.ndarray[Any, Any]] | None:
    """The arrays of an ``.npz`` file, where it is."""
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} must be readable, got: {error}") from error


def _read_metrics(file: Path) -> list[dict[str, Any]]:
    """``metrics.jsonl``, where it is."""
    if not file.is_file():
        return []
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} must hold one JSON object a line, got: {error}") from error


def _read_predictions(file: Path) -> dict[str, np.ndarray[Any, Any]] | None:
    """``predictions.csv`` by column, where it is."""
    if not file.is_file():
        return None
    try:
        reader = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
        missing = {*_INTEGERS, *_TEXTS, "evidence_ms"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"no column {', '.join(sorted(missing))}")
        rows = list(reader)
        columns: dict[str, np.ndarray[Any, Any]] = {
            name: np.array([int(row[name]) for row in rows], dtype=np.int64) for name in _INTEGERS
        }
        named = [name for name in reader.fieldnames or () if name.endswith(_MODALITY_COLUMNS)]
        for name in dict.fromkeys([*_TEXTS, *named]):
            columns[name] = np.array([row[name] for row in rows], dtype=np.str_)
        columns["evidence_ms"] = np.array([float(row["evidence_ms"]) for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} must be a readable table of predictions, got: {error}") from error
    return columns


def read_config(file: Path) -> dict[str, Any]:
    """``config.toml``, where it is."""
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} must be TOML, got: {error}") from error
