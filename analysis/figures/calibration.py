"""Reliability diagram and risk-coverage curve of every model of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analysis.calibration import at_temperature, reliability, risk_coverage
from analysis.figures.style import MODEL_COLORS, house_style, save_figure
from analysis.naming import model_name
from analysis.records import RunRecord
from spikefuse._types import FloatArray, Int64Array

_LEAST = 5  # samples that a bin must hold to be drawn as a point


def draw_calibration(run: RunRecord, folder: Path) -> list[Path]:
    """Accuracy against stated confidence, and the risk of answering only when sure.

    Solid: at the temperature fitted on validation pairs; dotted: as the model said it. Seeds are
    pooled. Nothing is drawn of a run without ``scores.npz``.
    """
    if run.scores is None:
        return []
    from matplotlib.figure import Figure

    rows: dict[str, list[Any]] = {key: [] for key in ("model", "curve", "x", "y", "samples")}

    def keep(name: str, curve: str, x: FloatArray, y: FloatArray, samples: Int64Array) -> None:
        """Add a curve to the CSV."""
        rows["model"] += [name] * len(x)
        rows["curve"] += [curve] * len(x)
        for key, values in (("x", x), ("y", y), ("samples", samples)):
            rows[key] += values.tolist()

    highest = 0.0
    with house_style():
        figure = Figure(figsize=(9.0, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--", zorder=0)
        for name, entry in run.result["models"].items():
            temperatures = entry["calibration"]["temperature_by_seed"]
            color = MODEL_COLORS.get(name)
            for stated, style, width in ((True, ":", 1.0), (False, "-", 1.6)):
                log_probs, labels = pooled_scores(run, name, None if stated else temperatures)
                bins = reliability(log_probs, labels)
                shown = bins.count >= _LEAST
                left.plot(
                    bins.confidence[shown],
                    bins.accuracy[shown],
                    linestyle=style,
                    linewidth=width,
                    color=color,
                    label=None if stated else _label(name, entry["calibration"]),
                )
                if not stated:
                    share = bins.count[shown] / bins.count.sum()
                    left.scatter(
                        bins.confidence[shown], bins.accuracy[shown], 5 + 120 * share, color
                    )
                keep(
                    name,
                    "reliability before" if stated else "reliability after",
                    bins.confidence[shown],
                    bins.accuracy[shown],
                    bins.count[shown],
                )
            coverage, risk = risk_coverage(log_probs, labels)
            right.plot(
                coverage,
                risk,
                color=color,
                label=f"{model_name(name)}: area {entry['calibration']['after']['aurc']:.3f}",
            )
            highest = max(highest, float(risk[len(risk) // 20 :].max()))
            few = np.unique(np.linspace(0, len(risk) - 1, 100).round().astype(np.int64))
            keep(name, "risk", coverage[few], risk[few], few + 1)
        left.set(xlim=(0, 1.02), ylim=(0, 1.02))
        left.set_xlabel("stated probability of the answer")
        left.set_ylabel("share of right answers")
        left.set_title("Reliability (dotted: before temperature; area: samples)", loc="left")
        # The risk of the first few samples is 0 or 1; the scale is that of the rest.
        right.set(xlim=(0, 1.02), ylim=(0, 1.3 * max(highest, 0.01)))
        right.set_xlabel("coverage: share of samples answered, surest first")
        right.set_ylabel("risk: share of wrong answers among them")
        right.set_title("Risk and coverage", loc="left")
        for axis in (left, right):
            axis.grid(alpha=0.3)
            axis.legend(loc="upper left", bbox_to_anchor=(0, -0.15), fontsize=8)
        return save_figure(figure, folder, "calibration", rows)


def pooled_scores(
    run: RunRecord, model: str, temperatures: list[float] | None = None
) -> tuple[FloatArray, Int64Array]:
    """Test log-probabilities of all seeds, one below the other, and their labels."""
    scores = run.scores or {}
    seeds = run.result["seeds"]
    by_seed = [scores[f"test.{model}.seed{seed}"].astype(np.float64) for seed in seeds]
    if temperatures is not None:
        by_seed = [at_temperature(s, t) for s, t in zip(by_seed, temperatures, strict=True)]
    return np.concatenate(by_seed), np.tile(scores["test.labels"].astype(np.int64), len(seeds))


def _label(name: str, entry: dict[str, Any]) -> str:
    """Model and its calibration error before and after."""
    before, after = entry["before"]["ece"], entry["after"]["ece"]
    return f"{model_name(name)}: ECE {before:.3f} to {after:.3f}"
