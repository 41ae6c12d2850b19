"""Which classes are taken for which: a confusion matrix per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import house_style, keep_row, save_figure
from analysis.naming import model_name
from analysis.records import RunRecord
from spikefuse._types import Int64Array

_LABELLED = 14  # more numbers than this in a row cannot be read


def confusion(labels: Int64Array, predictions: Int64Array, n_classes: int) -> Int64Array:
    """Samples by true class (row) and answered class (column), ``[C, C]``.

    Raises
    ------
    ValueError
        If lengths differ or a class is not in ``range(n_classes)``.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            "labels and predictions must be of one length, got shapes "
            f"{labels.shape} and {predictions.shape}"
        )
    both = np.concatenate([labels, predictions])
    if len(both) and not (both.min() >= 0 and both.max() < n_classes):
        raise ValueError(f"classes must lie in [0, {n_classes}), got {both.min()} to {both.max()}")
    flat = np.bincount(labels * n_classes + predictions, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def draw_confusion(
    data: RunRecord | Mapping[str, Int64Array],
    folder: Path,
    classes: Sequence[str] = (),
) -> list[Path]:
    """A matrix per model: colour is the share of the true class, numbers are samples.

    Parameters
    ----------
    data : RunRecord, or mapping of model to array [C, C]
        Counts by true class (row) and answer (column); a run's seeds are added up. Nothing is
        drawn of a run without predictions.
    folder : Path
    classes : sequence of str
        Names; those of the run with a run, numbers without.
    """
    if isinstance(data, RunRecord):
        matrices = matrices_of(data)
        classes = data.result["data"]["classes"]
    else:
        matrices = dict(data)
    if not matrices:
        return []
    from matplotlib.figure import Figure

    n_classes = len(next(iter(matrices.values())))
    names = list(classes) or [str(k) for k in range(n_classes)]
    rows: dict[str, list[Any]] = {key: [] for key in ("model", "true", "answered", "samples")}
    n_columns = min(2, len(matrices))
    n_rows = -(-len(matrices) // n_columns)
    with house_style():
        figure = Figure(figsize=(3.9 * n_columns + 0.6, 3.6 * n_rows), layout="constrained")
        axes: Any = figure.subplots(n_rows, n_columns, squeeze=False)
        for axis, (model, counts) in zip(axes.flat, matrices.items(), strict=False):
            share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            image = axis.imshow(share, cmap="cividis", vmin=0, vmax=1)
            _write_numbers(axis, counts, share)
            right = np.trace(counts) / max(int(counts.sum()), 1)
            axis.set_title(f"{model_name(model)}: {right:.3f} right", loc="left")
            step = max(1, -(-n_classes // _LABELLED))
            ticks = range(0, n_classes, step)
            long = max(map(len, names)) > 3
            axis.set_xticks(ticks, [names[k] for k in ticks], rotation=45 if long else 0)
            axis.set_yticks(ticks, [names[k] for k in ticks])
            axis.set_xlabel("answered")
            axis.set_ylabel("true class")
            axis.spines[:].set_visible(False)
            for i, j in np.ndindex(counts.shape):
                keep_row(rows, model, names[i], names[j], int(counts[i, j]))
        for axis in axes.flat[len(matrices) :]:
            axis.set_visible(False)
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.6)
        return save_figure(figure, folder, "confusion", rows)


def matrices_of(run: RunRecord) -> dict[str, Int64Array]:
    """A confusion matrix of each model of a run."""
    table = run.predictions
    if table is None:
        return {}
    n_classes = len(run.result["data"]["classes"])
    found: dict[str, Int64Array] = {}
    for model in run.result["models"]:
        mine = table["model"] == model
        found[model] = confusion(table["label"][mine], table["prediction"][mine], n_classes)
    return found


def _write_numbers(axis: Any, counts: Int64Array, share: Any) -> None:
    """Counts in the cells, where they are few enough to be read."""
    if len(counts) > _LABELLED:
        return
    for i, j in np.ndindex(counts.shape):
        if counts[i, j]:
            ink = "black" if share[i, j] > 0.55 else "white"
            axis.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=6.5, color=ink)
