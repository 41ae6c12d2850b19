"""One recipe over the values of some keys: a run directory per point, and what fusion gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from analysis.records import load_run
from experiments.config import Config, load_config, parse_value
from experiments.files import write_json
from experiments.run import Reporter, claim_folder, run_experiment
from experiments.sweeps.grid_workers import run_apart
from spikefuse.errors import ConfigError, SpikefuseError

SCHEMA = 1
SUMMARY = "sweep.json"


class SweepError(SpikefuseError):
    """Points of a sweep have no result."""


@dataclass(frozen=True)
class SweepAxis:
    """A configuration key and the values it takes, as texts."""

    key: str
    values: tuple[str, ...]


def parse_axis(text: str) -> SweepAxis:
    """The axis that ``key=v1,v2,...`` describes.

    Raises
    ------
    ConfigError
        If there is no key, no value, or a value twice.
    """
    key, sign, values = text.partition("=")
    parts = tuple(part.strip() for part in values.split(",") if part.strip())
    if not sign or not key.strip() or not parts or len(set(parts)) < len(parts):
        raise ConfigError(f"--over must be key=value,value,... of distinct values, got {text!r}")
    return SweepAxis(key.strip(), parts)


def plan_sweep(
    recipe: str | None,
    overrides: Sequence[str],
    axes: Sequence[SweepAxis],
    rotate_seeds: int = 0,
) -> dict[str, tuple[dict[str, Any], Config]]:
    """Folder name of every point, its values by key, and its whole configuration.

    Parameters
    ----------
    recipe : str or None
    overrides : sequence of "a.b=value"
    axes : sequence of SweepAxis
    rotate_seeds : int
        With n > 0 a point has one seed, the sum of its positions along the axes modulo n: over a
        grid of folds and speakers every seed then meets every speaker, at an n-th of the cost.

    Raises
    ------
    ConfigError
        If an axis repeats a key, or a point's configuration is wrong: before anything runs.
    """
    keys = [axis.key for axis in axes]
    if not keys or len(set(keys)) < len(keys):
        raise ConfigError(f"--over must be given at least once, with distinct keys, got {keys}")
    points: dict[str, tuple[dict[str, Any], Config]] = {}
    for places in product(*(enumerate(axis.values) for axis in axes)):
        texts = [text for _, text in places]
        settings = [f"{key}={text}" for key, text in zip(keys, texts, strict=True)]
        name = ",".join(
            f"{key.rpartition('.')[2]}={text}" for key, text in zip(keys, texts, strict=True)
        )
        values = {key: parse_value(text) for key, text in zip(keys, texts, strict=True)}
        if rotate_seeds > 0:
            settings.append(f"seeds=[{sum(place for place, _ in places) % rotate_seeds}]")
        points[name.replace("/", "_")] = (values, load_config(recipe, [*overrides, *settings]))
    return points


def run_sweep(
    points: Mapping[str, tuple[dict[str, Any], Config]],
    folder: Path,
    reporter: Reporter,
    n_workers: int = 1,
) -> dict[str, Any]:
    """Train and evaluate every point that has no result yet; write and return ``sweep.json``.

    A sweep that was interrupted goes on with the same call: finished points are read, not rerun.

    Parameters
    ----------
    points : mapping of run directory's name to (values by key, Config)
        From `plan_sweep`.
    folder : Path
    reporter : Reporter
    n_workers : int
        Points at a time; each has a process of its own from two on.

    Raises
    ------
    SweepError
        If points failed, after all others; ``sweep.json`` names them under ``failed``.
    """
    for name, (_, config) in points.items():
        claim_folder(folder / name, config)
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    keys = list(next(iter(points.values()))[0])
    summary = {"schema": SCHEMA, "points": rows, "keys": keys, "failed": failed}
    if n_workers > 1:
        configs = {name: config for name, (_, config) in points.items()}
        run_apart(configs, folder, n_workers, reporter.stage)
    for done, (name, (values, config)) in enumerate(points.items(), start=1):
        result = None
        if (folder / name / "result.json").is_file():
            result = load_run(folder / name).result
        elif n_workers > 1:
            failed[name] = "its process ended without a result, and printed why"
        else:
            reporter.stage(f"point {done} of {len(points)}: {name}")
            try:
                result = run_experiment(config, folder / name, reporter)
            except SpikefuseError as error:
                failed[name] = str(error)
                reporter.stage(f"{name}: error: {error}")
        if result is not None:
            rows.append(describe_point(name, values, result))
        write_json(folder / SUMMARY, summary)
    if failed:
        raise SweepError(
            f"{len(failed)} of {len(points)} points failed, the others are in {folder / SUMMARY}: "
            + "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        )
    return summary


def describe_point(
    name: str, values: Mapping[str, Any], result: Mapping[str, Any]
) -> dict[str, Any]:
    """One row of ``sweep.json``: accuracies and the gain over the better modality, by seed."""
    accuracies = {model: row["accuracy_by_seed"] for model, row in result["models"].items()}
    alone = [
        found
        for model, found in accuracies.items()
        if model.startswith("snn_") and model != "snn_late"
    ]
    gain: list[float] | None = None
    if "snn" in accuracies and alone:
        gain = (np.asarray(accuracies["snn"]) - np.max(alone, axis=0)).tolist()
    return {
        "run": name,
        "values": dict(values),
        "accuracy_by_seed": accuracies,
        "gain_by_seed": gain,
        "synthetic_speech": result["data"]["synthetic_speech"],
        "n_test": result["data"]["n_test"],
    }
