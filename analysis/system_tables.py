"""What lies around a network: fronts, static power, a missing modality, and what the host took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.naming import format_pj, model_name
from analysis.own_networks import own_lines
from analysis.tables import Table


def fronts_table(result: Mapping[str, Any]) -> Table:
    """What one accuracy costs each model under every profile, along its own front."""
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for profile, front in result.get("comparison", {}).get("fronts", {}).items():
        for model in front["models"]:
            cost = front["at_accuracy"][model]
            time_ms = cost["latency_ms"]
            rows.append(
                (
                    profile,
                    model_name(model),
                    f"{front['accuracy']:.3f}",
                    _or(cost["energy_pj"], "not reached"),
                    "not reached" if time_ms is None else f"{time_ms:.0f}",
                )
            )
        notes += [*_dominance(profile, front), *own_lines(profile, front)]
    return Table(
        "Fronts: least dynamic energy (modelled, nominal constants), and least time, for one "
        "accuracy",
        ("profile", "model", "accuracy", "dynamic energy", "time in the stimulus (ms)"),
        tuple(rows),
        tuple(notes),
    )


def alternatives_table(result: Mapping[str, Any]) -> Table:
    """Energy with the whole chip or the cores in use charged, always on or gated."""
    rows: list[tuple[str, ...]] = []
    notes: dict[str, int] = {}
    for model, entry in result["models"].items():
        for profile, estimate in entry["energy"].items():
            for found in estimate.get("alternatives", ()):
                power = "off between steps" if found["gated"] else "always on"
                share = found["chip_share"]
                cells = [profile, model_name(model), found["chip"], power]
                cells.append("n/a" if share is None else f"{share:.3g}")
                for key in ("with_static_pj", "with_sensors_pj"):
                    missing = ""
                    if found["reason"]:
                        number = notes.setdefault(found["reason"], len(notes) + 1)
                        missing = f" ({number})"
                    cells.append(_or(found[key], f"n/a{missing}"))
                rows.append(tuple(cells))
    rows.sort(key=lambda row: row[0])
    header = ("profile", "model", "charged", "power", "share of chip", "+ static", "+ sensors")
    return Table("Static power per sample (modelled)", header, tuple(rows), tuple(notes))


def missing_table(result: Mapping[str, Any]) -> Table:
    """Accuracy and energy of models of which one modality never comes."""
    rows: list[tuple[str, ...]] = []
    for model, entry in result["models"].items():
        for absent, found in entry.get("missing", {}).items():
            for profile, energies in found.get("energy", {}).items():
                on, off = energies["sensor_on"], energies["sensor_off"]
                rows.append(
                    (
                        profile,
                        model_name(model),
                        absent,
                        f"{found['accuracy']:.3f}",
                        *(_or(e[key], "n/a") for key in ("dynamic_pj", "with_sensors_pj")
                          for e in (on, off)),
                    )
                )  # fmt: skip
    rows.sort(key=lambda row: row[0])
    header = (
        "profile",
        "model",
        "without",
        "accuracy",
        "dynamic, sensor on",
        "dynamic, sensor off",
        "+ sensors, all on",
        "+ sensors, its own off",
    )
    return Table(
        "A modality that never comes (modelled, counts of the first seed)", header, tuple(rows)
    )


def host_table(result: Mapping[str, Any]) -> Table:
    """Time, memory and joules of one sample on this host: measured, no model in it."""
    rows: list[tuple[str, ...]] = []
    reasons: dict[str, int] = {}
    for model, entry in result["models"].items():
        host = entry.get("host")
        if host is None:
            continue
        joules = "n/a"
        if host["joules"] is not None:
            joules = f"{host['joules']:.3g} ({host['counter']})"
        elif host["reason"]:
            joules = f"n/a ({reasons.setdefault(host['reason'], len(reasons) + 1)})"
        extra = host.get("extra_mib")
        rows.append(
            (
                model_name(model),
                f"{host['wall_ms']:.2f}",
                f"{host['cpu_ms']:.2f}",
                "n/a" if extra is None else f"{extra:.1f}",
                f"{host['peak_mib']:.0f}",
                joules,
                str(host["n_calls"]),
            )
        )
    header = (
        "model",
        "wall time (ms)",
        "processor time (ms)",
        "memory above the start (MiB)",
        "peak of the process (MiB)",
        "joules above idle",
        "calls",
    )
    return Table("One sample on this host (measured)", header, tuple(rows), tuple(reasons))


def _dominance(profile: str, front: Mapping[str, Any]) -> list[str]:
    """Whether one front dominates, as a note."""
    found = front.get("dominance")
    if found is None:
        return []
    text = {
        "snn": "the SNN's front dominates the dense twin's",
        "dense": "the dense twin's front dominates the SNN's",
        "none": "neither front dominates",
    }[found["now"]]
    text = f"{profile}, in {', '.join(found['objectives'])}: {text}"
    if "n_draws" in found:
        text += (
            f"; in {found['share_snn']:.0%} and {found['share_dense']:.0%} of {found['n_draws']} "
            "draws of recordings and seeds the SNN's, or the dense twin's, does"
        )
    return [text]


def _or(value_pj: float | None, words: str) -> str:
    """An energy, or words in its place."""
    return words if value_pj is None else format_pj(value_pj)
