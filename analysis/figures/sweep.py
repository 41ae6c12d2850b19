"""Accuracy, and what fusion adds to the better single modality, over the values of one key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import BLUE, MODEL_COLORS, house_style, new_figure, save_figure
from analysis.naming import model_name
from spikefuse.errors import DataError

_LABELS = {
    "data.digits.snr_db": "signal-to-noise ratio of the speech (dB)",
    "data.digits.event_drop": "share of vision events dropped",
}


def draw_sweep(folder: Path) -> list[Path]:
    """Draw ``folder/sweep.json`` as PNG, SVG and CSV beside it; a point per seed, lines are means.

    Raises
    ------
    DataError
        If the file is missing or damaged, or holds more than one key (there is no one x axis).
    """
    summary = _read(folder / "sweep.json")
    if len(summary["keys"]) != 1:
        raise DataError(f"sweep.json must hold one key to be drawn, got {summary['keys']}")
    key = summary["keys"][0]
    points = summary["points"]
    names = [str(point["values"][key]) for point in points]
    # Names stand side by side in the order of the sweep, numbers on their axis.
    named = any(isinstance(point["values"][key], str) for point in points)
    if not named:
        points = sorted(points, key=lambda point: float(point["values"][key]))
    x = [float(i if named else point["values"][key]) for i, point in enumerate(points)]
    rows: dict[str, list[Any]] = {"model": [], key: [], "seed": [], "accuracy": []}
    with house_style():
        figure, axes = new_figure(2, 6.5, 5.6, sharex=True, height_ratios=[3, 2])
        top, bottom = axes[:, 0]
        for model in points[0]["accuracy_by_seed"]:
            by_point = [point["accuracy_by_seed"][model] for point in points]
            _line(top, x, by_point, MODEL_COLORS.get(model), model_name(model), model == "dense")
            values = names if named else x
            for value, accuracies in zip(values, by_point, strict=True):
                rows["model"] += [model] * len(accuracies)
                rows[key] += [value] * len(accuracies)
                rows["seed"] += list(range(len(accuracies)))
                rows["accuracy"] += accuracies
        if points[0]["gain_by_seed"] is not None:
            gains = [[100 * g for g in point["gain_by_seed"]] for point in points]
            _line(bottom, x, gains, BLUE, None, False)
        top.set_ylabel("test accuracy")
        top.set_ylim(top=1.005)
        top.legend(loc="best", frameon=True, framealpha=0.9)
        speech = " (synthetic speech)" if points[0]["synthetic_speech"] else ""
        n_seeds = max(len(v) for v in points[0]["accuracy_by_seed"].values())
        top.set_title(
            f"Fusion over difficulty{speech}: {n_seeds} seed(s) as points, means as lines",
            loc="left",
        )
        bottom.axhline(0, color="black", linewidth=0.8)
        bottom.set_ylabel("fused SNN minus better\nsingle modality (points)")
        bottom.set_xlabel(_LABELS.get(key, key))
        if named:
            bottom.set_xticks(x, names, rotation=45, ha="right")
        for axis in (top, bottom):
            axis.grid(alpha=0.3)
        return save_figure(figure, folder, "sweep", rows)


def _line(
    axis: Any, x: list[float], by_point: list[list[float]], color: Any, label: Any, dense: bool
) -> None:
    """The mean of every point as a line, each seed as a dot."""
    means = [float(np.mean(values)) for values in by_point]
    axis.plot(x, means, color=color, label=label, linestyle="--" if dense else "-")
    for value, accuracies in zip(x, by_point, strict=True):
        axis.plot([value] * len(accuracies), accuracies, ".", color=color, markersize=4, alpha=0.6)


def _read(path: Path) -> Mapping[str, Any]:
    """The sweep's summary."""
    try:
        summary: dict[str, Any] = json.loads(path.read_text())
        if not summary["points"][0]["accuracy_by_seed"]:
            raise KeyError("accuracy_by_seed")
    except (OSError, json.JSONDecodeError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path} must be the summary of a sweep, got: {error}") from error
    return summary
