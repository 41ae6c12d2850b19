"""What small studies share: models trained in passing, and results kept line by line."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.config import Config
from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.learners import Learner, build_learner
from experiments.training.loop import train_model
from spikefuse._types import FloatArray
from spikefuse.cost import count
from spikefuse.errors import DataError
from spikefuse.opcounts import OpCounts

Row = dict[str, Any]


def mean_and_range(values: Sequence[float] | FloatArray, digits: int = 1) -> str:
    """``mean [lowest, highest]``; the value alone where there is one."""
    mean = f"{sum(values) / len(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def trained(name: str, config: Config, data: PairedData, seed: int) -> Learner:
    """A model after training, at the epoch that training selects; nothing is kept on disk."""
    learner = build_learner(name, config, data.sensor_sizes, seed, len(data.classes))
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = CheckpointFolder(Path(folder))
        train_model(learner, data, config, seed, checkpoints, lambda _: None)
        checkpoints.load_best(learner.model)
    return learner


def operations(learner: Learner, data: PairedData, split: str) -> OpCounts:
    """What a spiking model executes on the fixed pairs of a split, sensors' part left out."""
    pairs = data.fixed_pairs[split]
    return OpCounts.concat(
        count(learner.model, learner.events(batch.samples))
        for batch in batches(data, split, pairs, 64)
    )


def rows_of(path: Path) -> list[Row]:
    """Rows of a JSON-lines file, none if it is not there.

    A last line that a kill has cut off is left out.

    Raises
    ------
    DataError
        If another line is no JSON object.
    """
    if not path.is_file():
        return []
    rows: list[Row] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < len(lines) or not line.startswith(b"{"):
            shown = line[:40].decode(errors="replace")
            raise DataError(f"line {number} of {path} must be a JSON object, got {shown!r}")
    return rows


def fitting_rows(paths: Sequence[Path], fits: Callable[[Row], bool], whose: str) -> list[Row]:
    """Rows of some files that fit; those of other studies are left out.

    Raises
    ------
    DataError
        If there is none, or a file is damaged.
    """
    rows = [row for path in paths for row in rows_of(path) if fits(row)]
    if not rows:
        places = ", ".join(map(str, paths))
        raise DataError(f"--json must hold rows of {whose}, got none in {places}")
    return rows


def completed(path: Path, wanted: Iterable[Row], find: Callable[[Row], Row]) -> list[Row]:
    """One row for each wanted key, found where the file lacks it and added to it at once.

    Parameters
    ----------
    path : Path
        JSON-lines file; it may hold others.
    wanted : iterable of dict
        Keys: items that tell one row from all others.
    find : callable
        From a key to what the row holds beside it.
    """
    rows: list[Row] = []
    known = rows_of(path)
    for key in wanted:
        match = [row for row in known if key.items() <= row.items()]
        if not match:
            match = [key | find(key)]
            path.parent.mkdir(parents=True, exist_ok=True)
            begin = _mended(path)
            with path.open("a", encoding="utf-8") as file:
                file.write(begin + json.dumps(match[0]) + "\n")
        rows.append(match[0])
    return rows


def _mended(path: Path) -> str:
    """Remove what a kill has left of a last line; what must stand before the next one."""
    content = path.read_bytes() if path.is_file() else b""
    begin = content.rfind(b"\n") + 1
    try:
        json.loads(content[begin:] or b"0")
    except ValueError:
        os.truncate(path, begin)
        return ""
    return "\n" if content[begin:] else ""
