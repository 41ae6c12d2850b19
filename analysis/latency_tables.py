"""Latency by profile, exits and deadlines as tables; what a run does not hold is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.naming import format_pj, model_name
from analysis.tables import Table


def latency_tables(result: Mapping[str, Any]) -> list[Table]:
    """All of them; without rows in a run that holds no latency by profile."""
    return [
        latency_table(result),
        exit_table(result),
        deadline_table(result),
        decision_energy_table(result),
    ]


def latency_table(result: Mapping[str, Any]) -> Table:
    """Parts and quantiles of the latency of every model on every profile."""
    notes: dict[str, int] = {}
    rows: list[tuple[str, ...]] = []
    for name, model in result["models"].items():
        for profile, entry in model["latency"].get("by_profile", {}).items():
            parts = entry["components"]
            sensing, compute = parts["sensing_ms"], parts["compute_ms"]
            cells = [
                model_name(name),
                profile,
                _span(sensing),
                f"{parts['window_ms']:.0f}",
                f"{parts['preprocessing_ms']:.0f}",
            ]
            if compute is None:
                mark = notes.setdefault(entry["reasons"]["compute"], len(notes) + 1)
                rest = entry["without_compute"]
                cells += [f"n/a ({mark})", f"{parts['decision_ms']:.0f}"]
                cells += [f"> {rest['p50_ms']:.1f}", f"> {rest['p95_ms']:.1f}", "n/a"]
            else:
                cells += [_span(compute), f"{parts['decision_ms']:.0f}"]
                cells += [_bracket(entry, q) for q in ("p50_ms", "p95_ms")]
                backlog = entry["backlog_ms"]
                cells.append(f"{backlog['p50']:.2g} / {backlog['p95']:.2g}")
            rows.append(tuple(cells))
    header = (
        "model",
        "profile",
        "sensing (ms)",
        "window (ms)",
        "preprocessing (ms)",
        "compute (ms)",
        "decision (ms)",
        "p50 (ms)",
        "p95 (ms)",
        "backlog p50 / p95 (ms)",
    )
    title = "Latency from onset until the answer stays, by profile (modelled; host measured)"
    return Table(title, header, tuple(rows), tuple(notes))


def exit_table(result: Mapping[str, Any]) -> Table:
    """Exits by confidence at the threshold chosen on validation, and the energy until then."""
    rows: list[tuple[str, ...]] = []
    profiles: dict[str, None] = {}
    for model in result["models"].values():
        profiles |= dict.fromkeys(model.get("exit", {}).get("energy", {}))
    for name, model in result["models"].items():
        if "exit" not in model:
            continue
        chosen = model["exit"]["chosen"]
        thetas = sorted(set(chosen["theta_by_seed"]))
        span = f"{thetas[0]:g}" + ("" if len(thetas) == 1 else f" to {thetas[-1]:g}")
        cells = [
            model_name(name),
            span,
            f"{chosen['mean_ms']:.0f}",
            f"{chosen['p50_ms']:.0f} / {chosen['p95_ms']:.0f}",
            f"{chosen['accuracy']:.3f}",
            f"{chosen['full_accuracy']:.3f}",
        ]
        for profile in profiles:
            energy = chosen["energy"].get(profile, {})
            spent, full = energy.get("dynamic_pj"), energy.get("full_dynamic_pj")
            cells.append("n/a" if spent is None else f"{format_pj(spent)} ({format_pj(full)})")
        rows.append(tuple(cells))
    header = (
        "model",
        "threshold",
        "mean time (ms)",
        "p50 / p95 (ms)",
        "accuracy",
        "accuracy at the end",
        *(f"energy, {profile}" for profile in profiles),
    )
    title = "Exits by confidence (stimulus time; energy until then, in brackets: of the end alone)"
    return Table(title, header, tuple(rows))


def deadline_table(result: Mapping[str, Any]) -> Table:
    """Share of samples whose chosen exit comes by each deadline, and right and in time."""
    rows: list[tuple[str, ...]] = []
    deadlines: list[float] = []
    for name, model in result["models"].items():
        latency = model.get("exit", {}).get("chosen", {}).get("latency", {})
        for profile, entry in latency.items():
            if not entry.get("deadlines"):
                continue
            deadlines = [d["deadline_ms"] for d in entry["deadlines"]]
            shares = [f"{d['in_time']:.3f} / {d['right_in_time']:.3f}" for d in entry["deadlines"]]
            rows.append(
                (model_name(name), profile.replace("stimulus_time", "stimulus time"), *shares)
            )
    header = ("model", "profile", *(f"{d:g} ms" for d in deadlines))
    title = "Answered by a deadline from onset / right and in time, at the chosen exit"
    return Table(title, header, tuple(rows))


def decision_energy_table(result: Mapping[str, Any]) -> Table:
    """Energy per right answer and energy times latency: secondary figures."""
    rows: list[tuple[str, ...]] = []
    for name, model in result["models"].items():
        for profile, entry in model["latency"].get("by_profile", {}).items():
            if entry.get("energy_to_decision_pj") is None:
                continue
            per_right, product = entry["energy_per_correct_pj"], entry["edp_pj_ms"]
            rows.append(
                (
                    model_name(name),
                    profile,
                    format_pj(entry["energy_to_decision_pj"]),
                    format_pj(per_right),
                    "n/a" if product is None else f"{product * 1e-6:.3g}",
                )
            )
    header = (
        "model",
        "profile",
        "until the answer stays",
        "per right answer",
        "energy x latency (uJ ms)",
    )
    title = "Energy per decision (modelled, dynamic; every answer until then is paid)"
    return Table(title, header, tuple(rows))


def _span(bracket: Mapping[str, float]) -> str:
    """Nominal value with the ends of its bracket."""
    if bracket["low"] == bracket["high"]:
        return f"{bracket['value']:.2f}"
    return f"{bracket['value']:.2f} ({bracket['low']:.2f} to {bracket['high']:.2f})"


def _bracket(entry: Mapping[str, Any], quantile: str) -> str:
    """A quantile with those at the ends of the bracket."""
    low, high = entry["low"][quantile], entry["high"][quantile]
    if high - low < 0.05:
        return f"{entry[quantile]:.1f}"
    return f"{entry[quantile]:.1f} ({low:.1f} to {high:.1f})"
