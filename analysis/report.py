"""One self-contained HTML file per set of runs: no request, no script needed, same bytes again."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from analysis.energy_verdict import SEEDS_FOR_A_VERDICT, energy_findings
from analysis.latency_tables import latency_tables
from analysis.naming import model_name
from analysis.records import RunRecord, load_run
from analysis.stress_tables import read_stress, stress_tables
from analysis.system_tables import alternatives_table, fronts_table, host_table, missing_table
from analysis.tables import (
    calibration_table,
    energy_table,
    ranges_table,
    ratio_table,
    results_table,
    summary_rows,
    to_csv,
)
from analysis.verdict import reuse, sentences
from spikefuse.errors import ConfigError

FIGURES = (
    ("raster", "One test sample on one clock: events, cochlea, fused spikes, evidence, decision."),
    ("energy", "Modelled dynamic energy per sample, by part of the model."),
    (
        "energy_actions",
        "The same modelled dynamic energy by action, digital front ends included.",
    ),
    ("energy_totals", "The three modelled totals per sample on a logarithmic axis."),
    (
        "break_even",
        "Modelled dynamic energy over the spiking model's activity; crosses mark where the dense "
        "twin needs as much.",
    ),
    (
        "tornado",
        "What one constant at either end of its range does to the ratio, the others nominal.",
    ),
    (
        "pareto",
        "Test accuracy over modelled dynamic energy: answers over time, and exits by confidence. "
        "Dotted: the accuracy at which the fronts are compared.",
    ),
    (
        "duty",
        "Modelled mean power over how often the system answers; the sensors' own is the dotted "
        "line and comes on top.",
    ),
    ("anytime", "Test accuracy of the answer after each time of stimulus."),
    (
        "exits",
        "Test accuracy over the time of the answer: all samples at one time, or each as soon as "
        "its calibrated probability reaches a threshold.",
    ),
    ("latency_cdf", "Share of test samples whose answer is there, over the time from onset."),
    (
        "calibration",
        "Stated probability against the share of right answers, and the risk of answering only "
        "the surest samples.",
    ),
    ("stress_noise", "Test accuracy over noise of one modality, trained models unchanged."),
    ("stress_offset", "Test accuracy with one modality late, or its clock fast."),
    ("stress_gain", "Sensitivity d' with all modalities and with each alone as events are lost."),
)
_WITH_SPEECH = ("raster", "anytime", "exits", "latency_cdf", "calibration")


def write_report(run_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of finished runs whose figures have been drawn.

    Parameters
    ----------
    run_dirs : sequence of Path
    out : Path, optional
        Defaults to ``report.html`` in the first run directory.

    Returns
    -------
    Path
        The file, under 1 MB a run; its bytes depend on the runs alone.

    Raises
    ------
    ConfigError
        If no run is named, or one is no finished run.
    DataError
        If a file of a run is damaged.
    """
    import jinja2

    if not run_dirs:
        raise ConfigError("run_dirs must name at least one run, got none")
    runs = [load_run(path) for path in run_dirs]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = (resources.files("analysis") / "report.html.j2").read_text(encoding="utf-8")
    html = environment.from_string(source).render(runs=[_view(run) for run in runs])
    path = out if out is not None else runs[0].path / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(html, encoding="utf-8", newline="\n")
    draft.replace(path)
    return path


def _view(run: RunRecord) -> dict[str, Any]:
    """What the template shows of one run."""
    result = run.result
    text = json.dumps(result, sort_keys=True)
    stress = read_stress(run.path)
    return {
        "result": result,
        "cards": _cards(run),
        "results": results_table(result),
        "energy": energy_table(result),
        "ratios": ratio_table(result),
        "ranges": ranges_table(result),
        "fronts": fronts_table(result),
        "static": alternatives_table(result),
        "missing": missing_table(result),
        "host": host_table(result),
        "stress": stress,
        "stress_tables": [] if stress is None else stress_tables(stress),
        "calibration": calibration_table(result),
        "latency": [t for t in latency_tables(result) if t.rows],
        "sentences": sentences(run),
        "few_seeds": len(result["seeds"]) < SEEDS_FOR_A_VERDICT,
        "figures": {name: f for name, caption in FIGURES if (f := _figure(run, name, caption))},
        "assumptions": _assumptions(result),
        "environment": _flat(result["environment"]),
        "compute_sources": sorted(
            {model["latency"]["compute_source"] for model in result["models"].values()}
        ),
        # Packed: in full it would be a quarter of the page.
        "json_uri": _data_uri("application/gzip", gzip.compress(text.encode(), mtime=0)),
        "csv_uri": _data_uri("text/csv", to_csv(result).encode()),
    }


def _cards(run: RunRecord) -> list[dict[str, str]]:
    """The numbers on top, each with what it means and whether modelled or measured."""
    result = run.result
    rows = summary_rows(result)
    cards: list[dict[str, str]] = []
    for row in rows:
        interval = row["accuracy_interval"]
        spread = f"95 % {interval[0]:.3f} to {interval[1]:.3f}" if interval else "no interval"
        cards.append(_card(row["name"], f"{row['accuracy']:.3f}", f"accuracy, {spread}", "tested"))
    cards += [
        _ratio_card(finding) for finding in energy_findings(run) if finding["reuse"] == reuse(run)
    ]
    sides = [row for row in rows if row["model"] in ("snn", "dense")]
    if sides:
        title = "latency p50, " + " / ".join(row["name"] for row in sides)
        value = " / ".join(f"{row['latency_p50_ms']:.0f}" for row in sides) + " ms"
        evidence = " / ".join(f"{row['evidence_ms']:.0f}" for row in sides)
        accuracies = " / ".join(f"{row['accuracy']:.3f}" for row in sides)
        text = f"{evidence} ms of evidence, then measured compute; at accuracy {accuracies}"
        cards.append(_card(title, value, text, "measured"))
    same = result["comparison"].get("at_equal_accuracy")
    if same and same["accuracy"] is not None:
        value = " / ".join(
            "never" if same[key] is None else f"{same[key]:.0f} ms"
            for key in ("snn_ms", "dense_ms")
        )
        title = f"stimulus until accuracy {same['accuracy']:.3f}"
        cards.append(_card(title, value, "SNN / dense twin, compute not included", "tested"))
    return cards


def _ratio_card(finding: Mapping[str, Any]) -> dict[str, str]:
    """Dense / SNN of one profile with its range."""
    title = f"dynamic energy, dense / SNN, {finding['profile']}"
    where = f"Weight reuse {finding['reuse']}, window {finding['window_ms']:g} ms, "
    where += f"{finding['seeds']} seed(s)"
    total = finding["totals"].get("dynamic")
    if total is None:
        return _card(title, "n/a", f"{finding['reason']}. {where}", "modelled")
    if total["median"] is None:
        text = f"At nominal constants; this run holds no range. {where}"
        return _card(title, f"{total['nominal']:.2f}", text, "modelled")
    value = f"{total['median']:.2f} [{total['low']:.2f}, {total['high']:.2f}]"
    at = "of the whole window"
    if finding["basis"] == "equal accuracy":
        at = f"at equal accuracy {finding['at_accuracy']:.3f}"
    text = f"Median and 5 to 95 % of draws of the constants, {at}. The SNN needs less in "
    return _card(title, value, f"{text}{total['share_snn_wins']:.0%} of draws. {where}", "modelled")


def _card(title: str, value: str, text: str, badge: str) -> dict[str, str]:
    """One card."""
    return {"title": title, "value": value, "text": text, "badge": badge}


def _figure(run: RunRecord, name: str, caption: str) -> dict[str, str] | None:
    """A drawn figure as data URIs of its picture and its numbers; None if it was not drawn."""
    picture = run.path / "figures" / f"{name}.png"
    if not picture.is_file():
        return None
    if run.result["data"]["synthetic_speech"] and name in _WITH_SPEECH:
        caption += " Synthetic speech."
    return {"caption": caption, "uri": _data_uri("image/png", picture.read_bytes())}


def _assumptions(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every assumption and source, once, with the models and profiles that rest on it."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for name, model in result["models"].items():
        for profile, estimate in model["energy"].items():
            for line in estimate["assumptions"]:
                profiles, models = found.setdefault(line, ({}, {}))
                profiles[profile] = models[model_name(name)] = None
    n_models = len(result["models"])
    return [
        {
            "text": text,
            "profiles": list(profiles),
            "models": "all models" if len(models) == n_models else ", ".join(models),
        }
        for text, (profiles, models) in found.items()
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as ``a.b`` and text."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", "unknown" if value is None else str(value)))
    return rows


def _data_uri(media_type: str, content: bytes) -> str:
    """Bytes as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
