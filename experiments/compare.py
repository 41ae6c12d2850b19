"""Comparison of models over finished runs: reads run directories, trains nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from analysis.records import SCHEMA, RunRecord, load_run
from analysis.stats import two_way_cluster_interval
from analysis.verdict import accuracy_difference, right_by_sample, sentences
from experiments.summary import print_summary
from spikefuse.errors import DataError


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
    compared = [_compare_one(run, console) for run in runs]
    if len(runs) == 1:
        return compared[0]
    pooled = pool_runs(runs)
    for model, row in pooled.items():
        low, high = row["interval"]
        console.print(
            f"all runs, {model}: {row['accuracy']:.3f} [{low:.3f}, {high:.3f}]", highlight=False
        )
    return {"schema": SCHEMA, "runs": compared, "pooled": pooled}


def pool_runs(runs: Sequence[RunRecord]) -> dict[str, dict[str, Any]]:
    """Accuracy over the test samples of all runs, for the models that every run holds.

    Vision recordings and speakers are the clusters, across runs: a speaker that tests in several
    runs is one cluster.

    Raises
    ------
    DataError
        If a run has no ``predictions.csv``.
    """
    tables = [_predictions(run) for run in runs]
    shared = set.intersection(*(set(run.result["models"]) for run in runs))
    pooled: dict[str, dict[str, Any]] = {}
    for model in sorted(shared):
        values: list[float] = []
        rows: list[str] = []
        columns: list[str] = []
        for table in tables:
            samples, right = right_by_sample(table, model)
            first = {int(sample): i for i, sample in enumerate(table["sample"])}
            lines = [first[int(sample)] for sample in samples]
            values += right.tolist()
            rows += table["vision_group"][lines].tolist()
            columns += table["audio_group"][lines].tolist()
        interval = two_way_cluster_interval(
            np.asarray(values), rows, columns, np.random.default_rng(0)
        )
        pooled[model] = {"accuracy": float(np.mean(values)), "interval": list(interval)}
    return pooled


def _compare_one(run: RunRecord, console: Console) -> dict[str, Any]:
    """One run's table, sentences and paired differences against the fused SNN."""
    print_summary(run, console)
    differences: list[dict[str, Any]] = []
    for other in ("dense", "snn_vision", "snn_audio", "snn_late"):
        found = accuracy_difference(run, "snn", other)
        if found is None:
            continue
        difference, (low, high) = found
        differences.append(
            {"first": "snn", "second": other, "difference": difference, "interval": [low, high]}
        )
        console.print(
            f"- snn - {other}: {100 * difference:+.1f} points, 95 % interval "
            f"[{100 * low:+.1f}, {100 * high:+.1f}] (paired; recordings and speakers resampled)",
            highlight=False,
            markup=False,
        )
    said = sentences(run)
    return {**run.result, "differences": differences, "sentences": said, "verdict": said[0]}


def _predictions(run: RunRecord) -> Mapping[str, np.ndarray[Any, Any]]:
    """The run's predictions, which pooling needs."""
    if run.predictions is None:
        raise DataError(f"RUN must hold predictions.csv to be pooled, got none in {run.path}")
    return run.predictions
