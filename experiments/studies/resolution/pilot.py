"""Ideal observer of the resolution study's tasks, before any training on them.

``python -m experiments.studies.resolution.pilot --document docs/resolution.md``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.studies.resolution.tasks import RESOLUTIONS_MS, SCENES, ResolutionTask
from spikefuse.pages import markdown_table, write_tables

_SEED, _N = 83, 2000


def pilot_table(n: int = _N) -> str:
    """Accuracy and d' of the ideal observer by scene and resolution."""
    lines = []
    for scene in SCENES:
        line = [scene]
        for resolution in RESOLUTIONS_MS:
            task = ResolutionTask(scene, resolution)
            ideal = task.samples(_SEED, n, observed=True).ideal
            line.append(f"{ideal:.3f} ({task.sensitivity(ideal, n):.2f})")
        lines.append(line)
    return markdown_table(["accuracy (d')", *(f"{r} ms" for r in RESOLUTIONS_MS)], lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.resolution.pilot", description=__doc__
    )
    parser.add_argument("--document", type=Path, help="page whose table is replaced")
    given = parser.parse_args(arguments)
    table = pilot_table()
    print(table)
    if given.document is not None:
        write_tables(given.document, {"resolution pilot": table})


if __name__ == "__main__":
    main()
