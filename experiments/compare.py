"""Comparison of models over finished runs: reads run directories, trains nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from analysis.stats import paired_difference_interval, two_way_cluster_interval
from experiments.results import SCHEMA
from experiments.summary import print_summary
from spikefuse.errors import ConfigError, DataError

SEEDS_FOR_A_VERDICT = 5


def compare_runs(folders: Sequence[Path]) -> dict[str, Any]:
    """Every run's result, with paired differences between the models.

    Raises
    ------
    ConfigError, DataError
        If a folder is no finished run, or its files are damaged.
    """
    paths = [Path(folder) for folder in folders]
    runs = [_compare_one(path) for path in paths]
    if len(runs) == 1:
        return runs[0]
    return {"schema": SCHEMA, "runs": runs, "pooled": pool_runs(paths)}


def pool_runs(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Accuracy of each model over the test samples of all runs, such as the folds of one protocol.

    Vision recordings and speakers are the clusters, across runs: a speaker that tests in several
    runs is one cluster. Models must occur in every run.
    """
    read = [_read_predictions(folder) for folder in folders]
    rows = [name for _, groups in read for name in groups[0]]
    columns = [name for _, groups in read for name in groups[1]]
    shared = set.intersection(*(set(correct) for correct, _ in read))
    pooled: dict[str, dict[str, Any]] = {}
    for model in sorted(shared):
        values = np.concatenate([correct[model] for correct, _ in read])
        low, high = two_way_cluster_interval(values, rows, columns, np.random.default_rng(0))
        pooled[model] = {"accuracy": float(values.mean()), "interval": [low, high]}
    return pooled


def render_comparison(comparison: Mapping[str, Any], console: Console) -> None:
    """Tables and sentences of a comparison."""
    for run in comparison.get("runs", [comparison]):
        print_summary(run, console)
        for row in run["differences"]:
            low, high = row["interval"]
            console.print(
                f"- {row['first']} - {row['second']}: {100 * row['difference']:+.1f} points, 95 % "
                f"interval [{100 * low:+.1f}, {100 * high:+.1f}] (paired; recordings and speakers "
                "resampled)",
                highlight=False,
                markup=False,
            )
        console.print(f"- {run['verdict']}", highlight=False, markup=False)
    for model, row in comparison.get("pooled", {}).items():
        low, high = row["interval"]
        console.print(
            f"all runs, {model}: {row['accuracy']:.3f} [{low:.3f}, {high:.3f}]", highlight=False
        )


def _compare_one(folder: Path) -> dict[str, Any]:
    """One run's result.json plus differences and verdict."""
    result = read_result(folder)
    correct, groups = _read_predictions(folder)
    differences: list[dict[str, Any]] = []
    for other in ("dense", "snn_vision", "snn_audio", "snn_late"):
        if "snn" in correct and other in correct:
            low, high = paired_difference_interval(
                correct["snn"], correct[other], *groups, np.random.default_rng(0)
            )
            mean = float(np.mean(correct["snn"] - correct[other]))
            differences.append(
                {"first": "snn", "second": other, "difference": mean, "interval": [low, high]}
            )
    return {**result, "differences": differences, "verdict": _verdict(result, differences)}


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of a finished run."""
    path = folder / "result.json"
    if not path.is_file():
        raise ConfigError(f"RUN must be a finished run directory with result.json, got {folder}")
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise DataError(f"{path} must be JSON, got: {error}") from error
    if result.get("schema") != SCHEMA:
        raise DataError(f"{path} must be of schema {SCHEMA}, got {result.get('schema')!r}")
    return result


def _read_predictions(
    folder: Path,
) -> tuple[dict[str, np.ndarray[Any, Any]], tuple[list[str], list[str]]]:
    """Right or wrong per model and sample (seeds averaged), and the samples' clusters."""
    path = folder / "predictions.csv"
    try:
        rows = list(csv.DictReader(path.read_text().splitlines()))
        sums: dict[str, dict[int, list[bool]]] = {}
        groups: dict[int, tuple[str, str]] = {}
        for row in rows:
            sample = int(row["sample"])
            right = row["label"] == row["prediction"]
            sums.setdefault(row["model"], {}).setdefault(sample, []).append(right)
            groups[sample] = (row["vision_group"], row["audio_group"])
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} must be a readable table of predictions, got: {error}") from error
    order = sorted(groups)
    correct = {
        name: np.array([np.mean(samples[i]) for i in order]) for name, samples in sums.items()
    }
    return correct, ([groups[i][0] for i in order], [groups[i][1] for i in order])


def _verdict(result: Mapping[str, Any], differences: Sequence[Mapping[str, Any]]) -> str:
    """One sentence that claims no more than the seeds allow."""
    n_seeds = len(result["seeds"])
    if n_seeds < SEEDS_FOR_A_VERDICT:
        return f"No verdict: it needs {SEEDS_FOR_A_VERDICT} seeds, this run has {n_seeds}."
    against = next((row for row in differences if row["second"] == "dense"), None)
    if against is None:
        return "No verdict: it needs both snn and dense in the run."
    low, high = against["interval"]
    if low > 0:
        accuracy = "the SNN is more accurate than its dense twin"
    elif high < 0:
        accuracy = "the dense twin is more accurate than the SNN"
    else:
        accuracy = "the accuracies of SNN and dense twin are not told apart"
    energies = [
        f"{profile}: modelled dynamic energy dense / SNN = {value:.2f}"
        for profile, value in result["ratios"]["dynamic_pj"].items()
        if value is not None
    ]
    window = result["data"]["duration_ms"]
    return f"Over {n_seeds} seeds and a window of {window:g} ms, {accuracy}; {'; '.join(energies)}."
