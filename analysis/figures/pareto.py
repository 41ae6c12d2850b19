"""Accuracy against energy: every answer over time and every exit, and where fronts are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import GREY, MODEL_COLORS, house_style, save_figure
from analysis.model_fronts import blocks_of
from analysis.naming import energy_unit, model_name
from analysis.records import RunRecord
from analysis.tables import profiles_of


def draw_pareto(run: RunRecord, folder: Path) -> list[Path]:
    """One panel per profile with a price: answers over time as lines, exits as crosses."""
    models = list(run.result["models"])
    panels = {
        profile: {
            name: [block.points for block in blocks_of(run, name, profile) if block.points]
            for name in models
        }
        for profile in profiles_of(run.result)
    }
    panels = {
        profile: priced
        for profile, found in panels.items()
        if (priced := {n: b for n, b in found.items() if b and b[0][0].energy_pj is not None})
    }
    if not panels:
        return []
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    columns = ("profile", "model", "source", "energy_pj", "accuracy")
    rows: dict[str, list[Any]] = {key: [] for key in columns}
    fronts = run.result.get("comparison", {}).get("fronts", {})
    with house_style():
        figure = Figure(figsize=(3.9 * len(panels), 3.7), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (profile, found) in zip(axes, panels.items(), strict=True):
            every = [p.energy_pj or 0.0 for blocks in found.values() for b in blocks for p in b]
            unit, scale = energy_unit(float(np.median(every)))
            for name, blocks in found.items():
                dense = run.result["models"][name]["kind"] == "dense"
                for points, exits in zip(blocks, (False, True), strict=False):
                    energies = np.array([p.energy_pj for p in points]) / scale
                    accuracies = [p.accuracy for p in points]
                    axis.plot(
                        energies,
                        accuracies,
                        color=MODEL_COLORS.get(name, GREY),
                        linestyle="none" if exits else "--" if dense else "-",
                        marker="x" if exits else "s" if dense else ".",
                        markersize=4,
                        label=f"{model_name(name)}, {'exits' if exits else 'answers over time'}",
                    )
                    for point in points:
                        cells = (profile, name, point.source, point.energy_pj, point.accuracy)
                        for key, cell in zip(columns, cells, strict=True):
                            rows[key].append(cell)
            if profile in fronts and "accuracy" in fronts[profile]:
                axis.axhline(fronts[profile]["accuracy"], color=GREY, linewidth=0.8, linestyle=":")
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_title(profile, loc="left")
            axis.set_xlabel(f"dynamic energy until the answer ({unit}, modelled)")
            axis.grid(alpha=0.3)
        axes[0].set_ylabel("test accuracy")
        axes[0].set_ylim(0, 1.02)
        seen: dict[str, Any] = {}
        for axis in axes:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                seen.setdefault(label, handle)
        figure.legend(
            list(seen.values()), list(seen), loc="outside lower center", ncols=min(len(seen), 4)
        )
        return save_figure(figure, folder, "pareto", rows)
