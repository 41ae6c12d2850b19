"""The study over runs and scenes: rows that are lacking, then the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from experiments.run import load_run_config
from experiments.studies.information.runs import run_rows
from experiments.studies.information.scenes import scene_keys, scene_row
from experiments.studies.information.tables import tables
from experiments.studies.runs import Row, completed, fitting_rows
from spikefuse.pages import write_tables


def run_study(
    path: Path,
    runs: Sequence[Path],
    tasks: Sequence[str],
    seeds: int,
    document: Path | None,
    compute: bool = True,
) -> None:
    """Find what the file lacks, print the tables and put them into a page.

    Parameters
    ----------
    path : Path
        JSON-lines file of rows.
    runs : sequence of Path
        Finished run directories.
    tasks : sequence of str
        Scenes of `experiments.studies.information.scenes.TASKS`.
    seeds : int
        Training seeds on scenes.
    document : Path, optional
        Page whose tables are replaced.
    compute : bool
        False to take the rows as they are.

    Raises
    ------
    DataError
        If there is no row of this study, or the file is damaged.
    """
    if compute:
        torch.set_num_threads(1)
        completed(path, [run_key(run) for run in runs], run_rows)
        completed(path, scene_keys(tuple(tasks), seeds) if tasks else [], scene_row)
    found = tables(fitting_rows([path], is_of_study, "the information study"))
    print("\n\n".join(found.values()))
    if document is not None:
        write_tables(document, found)


def is_of_study(row: Row) -> bool:
    """Whether the tables can read a row: of a run, or of a net on a scene."""
    keys = row.keys()
    return "information" in keys and (
        keys >= {"run", "name", "fusion", "seeds"} or keys >= {"scene", "net"}
    )


def run_key(run: Path) -> Row:
    """A run's row: where it is, and its name, with the test speaker where one was chosen."""
    config = load_run_config(run)
    speaker = config.data.test_speaker
    return {
        "run": str(run.resolve()),
        "name": f"{config.name}, {speaker}" if speaker else config.name,
    }
