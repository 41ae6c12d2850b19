"""Accuracy, energy and latency as tables: plain values, text, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.naming import format_pj, model_name

ENERGY_METRICS = ("dynamic_pj", "with_static_pj", "with_sensors_pj")
METRIC_NAMES = {
    "dynamic_pj": "dynamic",
    "with_static_pj": "+ static power",
    "with_sensors_pj": "+ sensors",
}
_CSV_COLUMNS = (
    "model",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "evidence_ms",
    "compute_ms",
    "latency_p50_ms",
    "latency_p95_ms",
    "params",
    "acs",
    "macs",
)
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "<": r"$<$",
    ">": r"$>$",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "±": r"$\pm$",
    "µ": r"$\mu$",
    "\u00a0": "~",
    "\n": " ",
}
# In text a micro is written u; in print it is not.
_MICRO = re.compile(r"\bu(?=[JWAsm]\b)")


@dataclass(frozen=True)
class Table:
    """A table as text.

    Parameters
    ----------
    title : str
    header : tuple of str
        Names with units.
    rows : tuple of tuple of str
    notes : tuple of str
        What the marks ``(1)``, ``(2)`` in the cells stand for, in that order.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def summary_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One flat dict per model, values as they stand in ``result.json``.

    Returns
    -------
    list of dict
        ``model``, ``name``, ``kind``, ``accuracy``, ``accuracy_interval`` (pair or None),
        ``accuracy_by_seed``, ``evidence_ms``, ``compute_ms`` (measured), ``latency_p50_ms``,
        ``latency_p95_ms``, ``params``, ``acs``, ``macs`` (per sample), and
        ``energy[profile][metric]`` in pJ (modelled) with ``why_null[profile][metric]``.
    """
    rows: list[dict[str, Any]] = []
    for model, entry in result["models"].items():
        latency, counts = entry["latency"], entry["counts"]["total"]
        rows.append(
            {
                "model": model,
                "name": model_name(model),
                "kind": entry["kind"],
                "accuracy": entry["accuracy"],
                "accuracy_interval": entry.get("accuracy_interval"),
                "accuracy_by_seed": list(entry["accuracy_by_seed"]),
                "evidence_ms": latency["evidence_ms"],
                "compute_ms": latency["compute_ms"],
                "latency_p50_ms": latency["p50_ms"],
                "latency_p95_ms": latency["p95_ms"],
                "params": entry["params"],
                "acs": counts["effective_acs"],
                "macs": counts["effective_macs"],
                "energy": {
                    profile: {metric: estimate[metric] for metric in ENERGY_METRICS}
                    for profile, estimate in entry["energy"].items()
                },
                "why_null": {
                    profile: {
                        metric: why_null(estimate, metric)
                        for metric in ENERGY_METRICS
                        if estimate[metric] is None
                    }
                    for profile, estimate in entry["energy"].items()
                },
            }
        )
    return rows


def why_null(estimate: Mapping[str, Any], metric: str) -> str:
    """Why a total of an energy estimate has no value."""
    reason = estimate.get("reasons", {}).get(metric) or estimate.get("reason")
    return str(reason) if reason else "no reason recorded"


def results_table(result: Mapping[str, Any]) -> Table:
    """Accuracy, latency, size and operations of every model."""
    several = len(result["seeds"]) > 1
    rows: list[tuple[str, ...]] = []
    for row in summary_rows(result):
        interval = row["accuracy_interval"]
        cells = [
            row["name"],
            f"{row['accuracy']:.3f}",
            "n/a" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}",
        ]
        if several:
            cells.append(", ".join(f"{value:.3f}" for value in row["accuracy_by_seed"]))
        cells += [
            f"{row['evidence_ms']:.0f}",
            f"{row['compute_ms']:.2f}",
            f"{row['latency_p50_ms']:.1f}",
            f"{row['latency_p95_ms']:.1f}",
            f"{row['acs']:,.0f}",
            f"{row['macs']:,.0f}",
            f"{row['params']:,}",
        ]
        rows.append(tuple(cells))
    header = [
        "model",
        "test accuracy",
        "95 % interval",
        *(["accuracy by seed"] if several else []),
        "evidence p50 (ms)",
        "compute, whole sample (ms, measured)",
        "latency p50 (ms)",
        "latency p95 (ms)",
        "ACs per sample",
        "MACs per sample",
        "parameters",
    ]
    title = "Accuracy, latency (evidence + compute measured on this host) and operations"
    return Table(title, tuple(header), tuple(rows))


def energy_table(result: Mapping[str, Any]) -> Table:
    """The three modelled totals of every profile and model; nulls say why in the notes.

    Beside them the precision that the profile prices and the accuracy at it, where a run has them.
    """
    notes: dict[str, int] = {}
    rows: list[tuple[str, ...]] = []
    summary = summary_rows(result)
    models = result["models"].values()
    known = any("precision" in estimate for m in models for estimate in m["energy"].values())
    for profile in profiles_of(result):
        for row in summary:
            cells = [profile, row["name"]]
            if known:
                cells += _at_precision(result["models"][row["model"]]["energy"][profile])
            for metric in ENERGY_METRICS:
                value = row["energy"][profile][metric]
                if value is not None:
                    cells.append(format_pj(value))
                    continue
                why = row["why_null"][profile][metric]
                cells.append(f"n/a ({notes.setdefault(why, len(notes) + 1)})")
            estimate = result["models"][row["model"]]["energy"][profile]
            cells.append(_range(estimate.get("dynamic_range_pj")))
            rows.append(tuple(cells))
    at = ("precision", "accuracy at it") if known else ()
    header = ("profile", "model", *at, *METRIC_NAMES.values(), "range of dynamic")
    table = Table("Energy per sample (modelled)", header, tuple(rows), tuple(notes))
    return table if any(row[-1] != "n/a" for row in rows) else _without_last_column(table)


def _at_precision(estimate: Mapping[str, Any]) -> list[str]:
    """Precision of an estimate, and the accuracy at it with its interval."""
    if "precision" not in estimate:
        return ["not in this run"] * 2
    low, high = estimate["accuracy_interval"]
    return [estimate["precision"], f"{estimate['accuracy']:.3f} ({low:.3f} to {high:.3f})"]


def ratio_table(result: Mapping[str, Any]) -> Table:
    """dense / SNN of each modelled energy total at nominal constants."""
    rows: list[tuple[str, ...]] = []
    ratios = result.get("ratios", {})
    for metric in ENERGY_METRICS:
        for profile, value in ratios.get(metric, {}).items():
            text = "n/a" if value is None else f"{value:.3f}"
            rows.append((profile, METRIC_NAMES[metric], text))
    return Table(
        "Energy of the whole window at nominal constants, dense twin / SNN fusion (modelled)",
        ("profile", "total", "dense / SNN"),
        tuple(rows),
    )


def ranges_table(result: Mapping[str, Any]) -> Table:
    """dense / SNN over draws of the constants, and the activity at which both need the same."""
    rows: list[tuple[str, ...]] = []
    for profile, entries in result.get("energy_ranges", {}).items():
        for reuse, entry in entries.items():
            if "reason" in entry:
                rows.append((profile, reuse, *["n/a"] * 4, entry["reason"]))
                continue
            line = entry["break_even"]
            at = "n/a (no neuron fired)"
            if line is not None:
                crossing = line["verdict"] if line["spikes"] is None else f"{line['spikes']:.2f}"
                at = f"{crossing} (counted: {line['measured']:.2f})"
            rows.append(
                (
                    profile,
                    reuse,
                    _spread(entry["dynamic"]),
                    f"{entry['dynamic']['share_snn_wins']:.0%}",
                    _spread(entry["with_sensors"]) if "with_sensors" in entry else "n/a",
                    at,
                    "",
                )
            )
    header = (
        "profile",
        "dense reuse",
        "dense / SNN, dynamic [5 to 95 %]",
        "draws in which the SNN needs less",
        "dense / SNN with static and sensors [5 to 95 %]",
        "break-even, spikes per neuron",
        "why not",
    )
    table = Table("How far the modelled ratio depends on the constants", header, tuple(rows))
    return table if any(row[-1] for row in rows) else _without_last_column(table)


def _spread(found: Mapping[str, Any]) -> str:
    """Median and quantiles of a ratio."""
    return f"{found['median']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def calibration_table(result: Mapping[str, Any]) -> Table:
    """What each model's probabilities are worth, before and after temperature; none if unknown."""
    rows: list[tuple[str, ...]] = []
    for model, entry in result["models"].items():
        found = entry.get("calibration")
        if found is None:
            continue
        pairs = [
            f"{found['before'][key]:.3f} → {found['after'][key]:.3f}"
            for key in ("nll", "brier", "ece", "aurc")
        ]
        by_chance = f"{found['after']['ece_if_calibrated']:.3f}"
        temperature = f"{found['temperature']:.2f}"
        rows.append((model_name(model), temperature, *pairs[:3], by_chance, pairs[3]))
    header = (
        "model",
        "temperature",
        "NLL",
        "Brier score",
        "ECE",
        "ECE by chance",
        "area under risk-coverage",
    )
    return Table("Calibration on the test pairs", header, tuple(rows))


def profiles_of(result: Mapping[str, Any]) -> list[str]:
    """Hardware profiles in the order of the run."""
    models = result["models"]
    return list(next(iter(models.values()))["energy"]) if models else []


def to_markdown(table: Table) -> str:
    """The table in GitHub's Markdown, first column left, the others right."""
    lines = [
        _pipe(table.header),
        _pipe(["---"] + ["---:"] * (len(table.header) - 1)),
        *(_pipe([_markdown(cell) for cell in row]) for row in table.rows),
    ]
    if table.notes:
        lines += [""] + [f"({i}) {_markdown(note)}" for i, note in enumerate(table.notes, start=1)]
    return f"**{table.title}**\n\n" + "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    r"""The table as a LaTeX ``tabular`` for ``\usepackage{booktabs}``, notes below."""
    rows = [table.header, *table.rows]
    body = [" & ".join(map(_latex, row)) + r" \\" for row in rows]
    lines = [
        f"% {' '.join(table.title.split())}",
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{l" + "r" * (len(table.header) - 1) + "}",
        r"\toprule",
        body[0],
        r"\midrule",
        *body[1:],
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par ({i}) {_latex(note)}" for i, note in enumerate(table.notes, start=1)),
    ]
    return "\n".join(lines) + "\n"


def to_csv(result: Mapping[str, Any]) -> str:
    """One line per model with full precision: energies in pJ, times in ms, empty where null."""
    header = list(_CSV_COLUMNS)
    profiles = profiles_of(result)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header + [f"{p}.{metric}" for p in profiles for metric in ENERGY_METRICS])
    for row in summary_rows(result):
        low, high = row["accuracy_interval"] or (None, None)
        flat = {**row, "accuracy_low": low, "accuracy_high": high}
        energies = [row["energy"][p][metric] for p in profiles for metric in ENERGY_METRICS]
        writer.writerow([flat[name] for name in header] + energies)
    return buffer.getvalue()


def _range(ends_pj: Sequence[float] | None) -> str:
    """Low to high end of the constants' published ranges."""
    if ends_pj is None:
        return "n/a"
    low, high = ends_pj
    return "none published" if low == high else f"{format_pj(low)} to {format_pj(high)}"


def _without_last_column(table: Table) -> Table:
    """The same table, one column less."""
    rows = tuple(row[:-1] for row in table.rows)
    return Table(table.title, table.header[:-1], rows, table.notes)


def _pipe(cells: Sequence[str]) -> str:
    """One Markdown line."""
    return "| " + " | ".join(cells) + " |"


def _markdown(text: str) -> str:
    """Text that cannot end a cell."""
    return text.replace("|", r"\|").replace("\n", " ")


def _latex(text: str) -> str:
    """Text with LaTeX's own signs escaped; a cell that begins with a bracket is kept from \\\\."""
    written = "".join(_LATEX.get(sign, sign) for sign in _MICRO.sub("µ", text))
    return "{}" + written if written.startswith(("[", "*")) else written
