"""What modalities tell of the class and of each other, and what each path causes.

``python -m experiments.studies.information --json FILE --runs RUN... --scenes --document
docs/information.md`` reads finished runs, trains small nets on timed scenes, and writes the tables.
Rows in the file are not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from experiments.run import load_run_config
from experiments.studies.information.runs import run_rows
from experiments.studies.information.scenes import TASKS, scene_keys, scene_row
from experiments.studies.information.tables import tables
from experiments.studies.runs import completed, rows_of
from spikefuse.pages import write_tables


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.information", description=__doc__
    )
    parser.add_argument("--json", type=Path, required=True, help="file of rows, one a line")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="finished runs")
    parser.add_argument("--scenes", action="store_true", help="timed scenes as well")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS, help="of them")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds on scenes")
    parser.add_argument("--document", type=Path, help="page whose tables are replaced")
    parser.add_argument("--stored", action="store_true", help="train and read nothing")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not given.stored:
        for run in given.runs:
            config = load_run_config(run)
            speaker = config.data.test_speaker
            name = f"{config.name}, {speaker}" if speaker else config.name
            keys = [{"run": str(run.resolve()), "name": name}]
            completed(given.json, keys, run_rows)
        if given.scenes:
            completed(given.json, scene_keys(tuple(given.tasks), given.seeds), scene_row)
    found = tables(rows_of(given.json))
    print("\n\n".join(found.values()))
    if given.document is not None:
        write_tables(given.document, found)


if __name__ == "__main__":
    main()
