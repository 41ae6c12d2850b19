"""Comparison of models over finished runs: reads run directories, trains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.pooled import pool_runs
from analysis.records import SCHEMA, RunRecord, load_run
from analysis.verdict import accuracy_difference, sentences
from experiments.summary import print_pooled, print_summary


def compare_runs(folders: Sequence[Path], console: Console) -> dict[str, Any]:
    """Print and return every run's result, with paired differences between the models.

    Parameters
    ----------
    folders : sequence of Path
        Several runs, such as the folds of one protocol, are pooled as well (see `pool_runs`).
    console : Console

    Returns
    -------
    dict
        ``result.json`` of the run plus ``differences``, ``sentences`` and ``verdict`` (the first of
        them); for several runs ``runs`` and ``pooled``.

    Raises
    ------
    ConfigError, DataError
        If a folder is no finished run, or its files are damaged.
    """
    runs = [load_run(folder) for folder in folders]
    if len(runs) == 1:
        return _compare_one(runs[0], console)
    pooled = pool_runs(runs)
    print_pooled(runs, pooled, console)
    return {"schema": SCHEMA, "runs": [_described(run) for run in runs], "pooled": pooled}


def _compare_one(run: RunRecord, console: Console) -> dict[str, Any]:
    """One run's table, sentences and paired differences against the fused SNN."""
    print_summary(run, console)
    described = _described(run)
    for row in described["differences"]:
        low, high = row["interval"]
        console.print(
            f"- snn - {row['second']}: {100 * row['difference']:+.1f} points, 95 % interval "
            f"[{100 * low:+.1f}, {100 * high:+.1f}] (paired; recordings and speakers resampled)",
            highlight=False,
            markup=False,
        )
    return described


def _described(run: RunRecord) -> dict[str, Any]:
    """result.json of a run with the differences, sentences and the first of them as verdict."""
    differences: list[dict[str, Any]] = []
    for other in (model for model in run.result["models"] if model != "snn"):
        found = accuracy_difference(run, "snn", other)
        if found is not None:
            difference, interval = found
            differences.append(
                {
                    "first": "snn",
                    "second": other,
                    "difference": difference,
                    "interval": list(interval),
                }
            )
    said = sentences(run)
    return {**run.result, "differences": differences, "sentences": said, "verdict": said[0]}
