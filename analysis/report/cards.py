"""The numbers on top of a run, each with its interval and whether modelled or measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.energy_verdict import energy_findings
from analysis.records import RunRecord
from analysis.tables import summary_rows
from analysis.verdict import reuse

Card = dict[str, str]


def cards_of(run: RunRecord) -> list[Card]:
    """Accuracies, energy ratios, latency, and the stimulus until one accuracy.

    Returns
    -------
    list of dict
        ``title``, ``value``, ``text`` and ``badge``: tested, computed, modelled or measured.
    """
    result = run.result
    rows = summary_rows(result)
    cards: list[Card] = []
    for row in rows:
        interval = row["accuracy_interval"]
        spread = f"95 % {interval[0]:.3f} to {interval[1]:.3f}" if interval else "no interval"
        cards.append(_card(row["name"], f"{row['accuracy']:.3f}", f"accuracy, {spread}", "tested"))
    if ideal := result["data"].get("ideal"):
        low, high = ideal["interval"]
        text = f"accuracy on the same test samples, 95 % {low:.3f} to {high:.3f}; the best sum of "
        text += f"what each modality says alone {ideal['additive']:.3f}"
        cards.append(_card("ideal observer", f"{ideal['accuracy']:.3f}", text, "computed"))
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


def _ratio_card(finding: Mapping[str, Any]) -> Card:
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


def _card(title: str, value: str, text: str, badge: str) -> Card:
    """One card."""
    return {"title": title, "value": value, "text": text, "badge": badge}
