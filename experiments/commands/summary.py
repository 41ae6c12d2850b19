"""The one table that a run ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from analysis.naming import MODEL_NAMES, format_pj
from analysis.records import RunRecord
from analysis.verdict import sentences


def print_summary(run: RunRecord, console: Console) -> None:
    """Accuracy, energy (modelled) and latency of every model, then what they say."""
    result = run.result
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
    ideal = data.get("ideal")
    if ideal is not None:
        low, high = ideal["interval"]
        empty = [""] * (len(profiles) + 2)
        table.add_row("ideal observer", f"{ideal['accuracy']:.3f}\n{low:.2f}-{high:.2f}", *empty)
    console.print(table)
    for line in [*sentences(run), *data["notes"]]:
        console.print(f"- {line}", highlight=False, markup=False)


def print_pooled(runs: Sequence[RunRecord], pooled: Mapping[str, Any], console: Console) -> None:
    """A line per run, the pooled table, and what it says."""
    for run in runs:
        parts = [f"{name} {m['accuracy']:.3f}" for name, m in run.result["models"].items()]
        console.print(f"{run.path.name}: {', '.join(parts)}", highlight=False, markup=False)
    profiles = list(next(iter(pooled["models"].values()))["dynamic_pj"])
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"{pooled['n_runs']} runs, {pooled['n_samples']} test pairs, seeds "
        + ", ".join(map(str, pooled["seeds"])),
        caption="Energy per sample is modelled, dynamic, mean over runs; evidence is the median "
        "time in the stimulus after which the answer is final.",
    )
    table.add_column("model", no_wrap=True)
    table.add_column("accuracy [95 %]\nby seed", justify="right")
    for profile in profiles:
        table.add_column("\n".join(profile.split("_")), justify="right")
    table.add_column("evidence\n(ms)", justify="right")
    for name, row in pooled["models"].items():
        low, high = row["interval"]
        seeds = " ".join(f"{accuracy:.3f}" for accuracy in row["accuracy_by_seed"].values())
        energies = [row["dynamic_pj"][profile] for profile in profiles]
        table.add_row(
            MODEL_NAMES.get(name, name),
            f"{row['accuracy']:.3f} [{low:.3f}, {high:.3f}]\n{seeds}",
            *["no price" if pj is None else format_pj(pj) for pj in energies],
            f"{row['evidence_ms']:.0f}",
        )
    console.print(table)
    for line in pooled["sentences"]:
        console.print(f"- {line}", highlight=False, markup=False)


def print_sweep(summary: Mapping[str, Any], console: Console) -> None:
    """One row per point: mean accuracy of every model and the gain from fusion, by seed."""
    models = list(summary["points"][0]["accuracy_by_seed"])
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="test accuracy, mean over seeds")
    for key in summary["keys"]:
        table.add_column(key.rpartition(".")[2])
    for model in models:
        table.add_column(MODEL_NAMES.get(model, model).replace(" ", "\n", 1), justify="right")
    table.add_column("gain by seed\n(points)", justify="right")
    for point in summary["points"]:
        gains = point["gain_by_seed"]
        table.add_row(
            *[str(point["values"][key]) for key in summary["keys"]],
            *[f"{float(np.mean(point['accuracy_by_seed'][model])):.3f}" for model in models],
            "n/a" if gains is None else " ".join(f"{100 * gain:+.1f}" for gain in gains),
        )
    console.print(table)


def print_search(summary: Mapping[str, Any], console: Console) -> None:
    """The points that no other one beats, on the validation pairs, by rising accuracy."""
    points = summary["points"]
    front = [p for p in points if p.get("on_front")]
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"{summary['model']}: {len(front)} of {len(points)} points that no other one beats",
        caption=f"On the validation pairs. Energy is modelled, {summary['profile']}, dynamic per "
        "sample; latency is mean time in the stimulus until it leaves.",
    )
    table.add_column("run", no_wrap=True)
    for key in summary["keys"]:
        table.add_column(key.rpartition(".")[2], justify="right")
    for name in ("accuracy", "energy", "latency\n(ms)"):
        table.add_column(name, justify="right")
    for point in sorted(front, key=lambda p: float(p["figures"]["accuracy"])):
        values, figures = point["values"], point["figures"]
        table.add_row(
            point["run"],
            *[
                f"{x:.4g}" if isinstance(x, float) else str(x)
                for x in map(values.get, summary["keys"])
            ],
            f"{figures['accuracy']:.3f}",
            format_pj(figures["energy_pj"]),
            f"{figures['latency_ms']:.0f}",
        )
    console.print(table)
    for point in points:
        if point["error"] is not None:
            console.print(f"- {point['run']}: {point['error']}", highlight=False, markup=False)


def _energy(estimate: Mapping[str, Any]) -> str:
    """Dynamic energy with a unit, or that there is no price."""
    return "no price" if estimate["dynamic_pj"] is None else format_pj(estimate["dynamic_pj"])
