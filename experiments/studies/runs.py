"""What small studies share: models trained in passing, and results kept line by line."""

from __future__ import annotations

import json
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
    """Rows of a JSON-lines file, none if it is not there; a line cut off by a kill is left out."""
    if not path.is_file():
        return []
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
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
            whole = not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n")
            with path.open("a", encoding="utf-8") as file:
                file.write(("" if whole else "\n") + json.dumps(match[0]) + "\n")
        rows.append(match[0])
    return rows
