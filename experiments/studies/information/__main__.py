"""What modalities tell of the class and of each other, and what each path causes.

``python -m experiments.studies.information --json FILE --runs RUN... --scenes --document
docs/information.md`` reads finished runs, trains small nets on timed scenes, and writes the tables.
Rows in the file are not computed again. ``spikefuse study information RUN...`` does the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.studies.information.scenes import TASKS
from experiments.studies.information.study import run_study


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
    tasks = given.tasks if given.scenes else ()
    run_study(given.json, given.runs, tasks, given.seeds, given.document, not given.stored)


if __name__ == "__main__":
    main()
