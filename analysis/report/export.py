"""The tables of runs as files for a paper: Markdown and LaTeX, the same cells as in the report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from analysis.records import load_run
from analysis.report.runs import pooled_tables, run_labels, runs_table, settings_table
from analysis.report.view import tables_of
from analysis.tables import Table, to_latex, to_markdown
from spikefuse.atomic import write_bytes
from spikefuse.errors import ConfigError


def write_tables(run_dirs: Sequence[Path], folder: Path) -> list[Path]:
    """Write every table of every run as ``<name>.md`` and ``<name>.tex``.

    Parameters
    ----------
    run_dirs : sequence of Path
        Of several runs each table's name begins with the run's, and ``runs``, ``settings`` and, for
        runs of one recipe, ``pooled`` compare them.
    folder : Path
        Made where it is missing; files of the same names are replaced.

    Returns
    -------
    list of Path

    Raises
    ------
    ConfigError
        If no run is named, or one is no finished run.
    DataError
        If a file of a run is damaged.
    """
    if not run_dirs:
        raise ConfigError("run_dirs must name at least one run, got none")
    runs = [load_run(path) for path in run_dirs]
    tables: dict[str, Table] = {}
    for number, (label, run) in enumerate(zip(run_labels(runs), runs, strict=True), start=1):
        slug = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-") or "run"
        start = "" if len(runs) == 1 else f"{number:0{len(str(len(runs)))}}-{slug}-"
        tables |= {f"{start}{name}": table for name, table in tables_of(run).items()}
    if len(runs) > 1:
        tables["runs"] = runs_table(runs)
        tables["settings"] = settings_table(runs)
        pooled = pooled_tables(runs)
        for number, (table, _) in enumerate(pooled, start=1):
            tables["pooled" if len(pooled) == 1 else f"pooled-{number}"] = table
    written: list[Path] = []
    for name, table in tables.items():
        if not table.rows:
            continue
        for suffix, text in (("md", to_markdown(table)), ("tex", to_latex(table))):
            path = folder / f"{name}.{suffix}"
            write_bytes(path, text.encode())
            written.append(path)
    return written
