"""The one table that a run ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from analysis.style import MODEL_NAMES, format_pj


def print_summary(result: Mapping[str, Any], console: Console) -> None:
    """Accuracy, energy (modelled) and latency (evidence + measured compute) of every model."""
    profiles = list(next(iter(result["models"].values()))["energy"])
    data = result["data"]
    seeds = len(result["seeds"])
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"{data['name']}, {data['n_test']} test pairs, {seeds} seed(s)"
        + (", synthetic speech" if data["synthetic_speech"] else ""),
        caption="Energy per sample is modelled: network and digital front ends, then with the "
        "sensors' power (first profile). Latency is evidence in the stimulus plus compute measured "
        "on this host, median.",
    )
    table.add_column("model", no_wrap=True)
    table.add_column("accuracy\n[95 %]", justify="right")
    for profile in profiles:
        header = profile.split("_")
        table.add_column("\n".join(header), justify="right", min_width=max(map(len, header)))
    table.add_column("with\nsensors", justify="right")
    table.add_column("latency\n(ms)", justify="right")
    for name, model in result["models"].items():
        low, high = model["accuracy_interval"]
        estimates = [model["energy"][profile] for profile in profiles]
        table.add_row(
            MODEL_NAMES.get(name, name),
            f"{model['accuracy']:.3f}\n{low:.2f}-{high:.2f}",
            *[_energy(estimate) for estimate in estimates],
            format_pj(estimates[0]["with_sensors_pj"]),
            f"{model['latency']['p50_ms']:.0f}",
        )
    console.print(table)
    for line in [*remarks(result), *data["notes"]]:
        console.print(f"- {line}", highlight=False, markup=False)


def remarks(result: Mapping[str, Any]) -> list[str]:
    """What the numbers say, in sentences that also say when the dense twin is ahead."""
    models = result["models"]
    lines: list[str] = []
    beats = result["comparison"].get("fused_beats_unimodal")
    if beats:
        margins = ", ".join(f"{100 * m:+.1f}" for m in beats["margin_by_seed"])
        lines.append(f"Fusion against the better single modality: {margins} points by seed.")
    if "snn" in models and "dense" in models:
        gap = 100 * (models["snn"]["accuracy"] - models["dense"]["accuracy"])
        ahead = "ahead of" if gap > 0 else "behind"
        lines.append(f"The SNN is {abs(gap):.1f} points {ahead} the dense twin in accuracy.")
        for profile, value in result["ratios"]["dynamic_pj"].items():
            if value is None:
                reason = models["dense"]["energy"][profile]["reason"]
                lines.append(f"{profile}: no dense / SNN ratio ({reason}).")
            else:
                with_sensors = result["ratios"]["with_sensors_pj"][profile]
                lines.append(
                    f"{profile}: dense / SNN = {value:.2f} dynamic, {with_sensors:.3f} "
                    "with sensors (modelled)."
                )
        same = result["comparison"]["at_equal_accuracy"]
        lines.append(
            f"At equal accuracy {same['accuracy']:.3f}: SNN after {same['snn_ms']:.0f} ms, dense "
            f"after {same['dense_ms']:.0f} ms of stimulus (evidence, no compute)."
        )
    if len(result["seeds"]) < 5:
        lines.append("Fewer than five seeds: figures, not a verdict.")
    return lines


def _energy(estimate: Mapping[str, Any]) -> str:
    """Dynamic energy with a unit, or that there is no price."""
    return "no price" if estimate["dynamic_pj"] is None else format_pj(estimate["dynamic_pj"])
