"""Curves of a stress suite: noise, misalignment, and d' together and alone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.figures.style import MODEL_COLORS, house_style, save_figure
from analysis.naming import model_name

_WIDTH, _HEIGHT = 2.9, 2.3


def draw_stress(stress: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw what a suite holds as PNG, SVG and CSV each; a band is the 95 % interval."""
    written: list[Path] = []
    for name, panels in (
        ("stress_noise", _noise_panels(stress)),
        ("stress_offset", _offset_panels(stress)),
        ("stress_gain", _gain_panels(stress)),
    ):
        if panels:
            written += _draw(name, panels, stress, folder)
    return written


class _Panel:
    """One set of axes: a title, what is on the axes, and a curve per model."""

    def __init__(self, title: str, x_label: str, y_label: str = "test accuracy") -> None:
        self.title, self.x_label, self.y_label = title, x_label, y_label
        self.curves: dict[str, tuple[Sequence[float], Sequence[Mapping[str, Any]], Any, str]] = {}

    def add(
        self,
        label: str,
        x: Sequence[float],
        figures: Sequence[Mapping[str, Any]],
        color: Any,
        style: str = "-",
    ) -> None:
        """A curve, levels without a value left out."""
        known = [(a, f) for a, f in zip(x, figures, strict=True) if f["value"] is not None]
        self.curves[label] = ([a for a, _ in known], [f for _, f in known], color, style)


def _noise_panels(stress: Mapping[str, Any]) -> list[_Panel]:
    """One for each modality and kind of noise."""
    panels: dict[str, _Panel] = {}
    for model, found in stress["measures"].items():
        for modality, kinds in found.get("noise", {}).items():
            for kind, entry in kinds.items():
                title = f"{modality}: {kind.replace('_', ' ')}"
                panel = panels.setdefault(title, _Panel(title, entry["unit"]))
                _add(panel, stress, model, entry["levels"], entry["accuracy"])
    return [panels[title] for title in sorted(panels, key=lambda t: t.split(":")[0] != "vision")]


def _offset_panels(stress: Mapping[str, Any]) -> list[_Panel]:
    """Offset and drift of each modality."""
    panels: dict[str, _Panel] = {}
    for model, found in stress["measures"].items():
        for modality, entry in found.get("misalignment", {}).items():
            for key, values, unit in (
                ("offsets_ms", "accuracy", "late by (ms)"),
                ("drifts_ppm", "drift_accuracy", "clock fast by (ppm)"),
            ):
                title = f"{modality} {unit}"
                panel = panels.setdefault(title, _Panel(f"{modality} {unit}", unit))
                _add(panel, stress, model, entry[key], entry[values])
    return list(panels.values())


def _gain_panels(stress: Mapping[str, Any]) -> list[_Panel]:
    """Per fused model, d' of all modalities and of each alone."""
    panels: list[_Panel] = []
    for model, found in stress["measures"].items():
        for against, entry in found.get("gain", {}).items():
            alone = "alone" if against == "own" else "trained alone"
            panel = _Panel(
                f"{model_name(model)}, {alone}", "share of events lost, all modalities", "d'"
            )
            panel.add("together", entry["drop"], entry["d_prime"], MODEL_COLORS["snn"])
            for i, (name, figures) in enumerate(entry["d_prime_alone"].items()):
                color = MODEL_COLORS.get(f"snn_{name}", f"C{i}")
                panel.add(f"{name} alone", entry["drop"], figures, color, "--")
            panels.append(panel)
    return panels


def _add(
    panel: _Panel,
    stress: Mapping[str, Any],
    model: str,
    x: Sequence[float],
    figures: Sequence[Mapping[str, Any]],
) -> None:
    """One model's curve in the look it has everywhere."""
    style = "--" if stress["models"][model]["kind"] == "dense" else "-"
    panel.add(model_name(model), x, figures, MODEL_COLORS.get(model), style)


def _draw(
    name: str, panels: Sequence[_Panel], stress: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Panels three to a row; one legend for each row of different curves."""
    from matplotlib.figure import Figure

    rows: dict[str, list[Any]] = {
        key: [] for key in ("panel", "curve", "x", "value", "low", "high")
    }
    n_columns = min(3, len(panels))
    n_rows = -(-len(panels) // n_columns)
    with house_style():
        figure = Figure(figsize=(_WIDTH * n_columns, _HEIGHT * n_rows + 0.5), layout="constrained")
        axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        handles: dict[str, Any] = {}
        for axis, panel in zip(axes, panels, strict=False):
            for label, line in _curves(axis, panel, rows).items():
                handles.setdefault(label, line)
            if panel.y_label == "test accuracy":
                chance = 1 / stress["n_classes"]
                axis.axhline(chance, color="black", linestyle=":", linewidth=0.8)
                axis.set_ylim(0, 1.02)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        speech = ", synthetic speech" if stress.get("synthetic_speech") else ""
        accuracies = panels[0].y_label == "test accuracy"
        dotted = "; dotted: chance" if accuracies else ""
        figure.suptitle(
            f"{stress['n_pairs']} test pairs{speech}; bands: 95 % intervals{dotted}", fontsize=9
        )
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles)
        )
        return save_figure(figure, folder, name, rows)


def _curves(axis: Any, panel: _Panel, rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Draw a panel's curves and write down their numbers."""
    lines: dict[str, Any] = {}
    for label, (x, figures, color, style) in panel.curves.items():
        values = [f["value"] for f in figures]
        low = [(f["interval"] or [f["value"]] * 2)[0] for f in figures]
        high = [(f["interval"] or [f["value"]] * 2)[1] for f in figures]
        (lines[label],) = axis.plot(x, values, style, color=color, marker=".", markersize=4)
        axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        rows["panel"] += [panel.title] * len(x)
        rows["curve"] += [label] * len(x)
        for key, column in zip(("x", "value", "low", "high"), (x, values, low, high), strict=True):
            rows[key] += list(column)
    axis.set_title(panel.title, loc="left", fontsize=9)
    axis.set_xlabel(textwrap.fill(panel.x_label, 40), fontsize=8)
    axis.set_ylabel(panel.y_label, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    return lines
