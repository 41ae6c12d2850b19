"""A row's result in words: what was measured, what it should have reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What stands behind a judged figure.
UNITS = {
    "ratio": "x",
    "row_gb_per_s": " GB/s of weight rows",
    "r_squared": " R squared",
    "ns_per_event": " ns per event",
    "million_events_per_s": " million events/s",
    "event_p50_us": " us in the median, event engine",
    "event_p99_us": " us or less in 99 of 100, event engine",
    "event_cpu_p99_us": " us of processor time or less in 99 of 100, event engine",
    "stepped_p50_us": " us in the median, stepped engine",
    "stepped_p99_us": " us or less in 99 of 100, stepped engine",
    "stepped_cpu_p99_us": " us of processor time or less in 99 of 100, stepped engine",
}


def row_lines(result: Mapping[str, Any]) -> list[str]:
    """Lines for a terminal: contenders, floor, targets."""
    lines = [result["name"]]
    if "error" in result:
        return [*lines, f"  FAILED: {result['error']}"]
    for entry in result["contenders"]:
        lines.append(f"  {entry['name']:<26}{_cell(entry, result)}")
    if "floor" in result:
        floor = result["floor"]
        lines.append(
            f"  {'floor':<26}{figure(floor['time']['median'])} {result['unit']} "
            f"({floor['moved_bytes'] / 1e6:.3g} MB); ours takes {floor['ours_over_floor']:.2f}x"
        )
    lines += [f"  {text}" for text in target_texts(result)]
    return lines


def target_texts(result: Mapping[str, Any]) -> list[str]:
    """One sentence for each target of a row."""
    texts: list[str] = []
    for target in result["targets"].values():
        if target["value"] is None:
            texts.append(f"target not judged (needs {' or '.join(target['against'])})")
            continue
        unit = UNITS.get(target["metric"], f" ({target['metric']})")
        text = f"target: {target['value']:.3g}{unit}"
        if target["at_least"] is not None:
            text += f", at least {target['at_least']:g} {verdict(target['met'])}"
        if target.get("at_most") is not None:
            text += f", at most {target['at_most']:g} {verdict(target['met'])}"
        if target["aim"] is not None:
            text += f", aim {target['aim']:g} {verdict(target['aim_met'])}"
        if target["floor_met"] is not None:
            text += f", within {target['floor_at_most']:g}x of the floor "
            text += verdict(target["floor_met"])
        texts.append(text)
    return texts


def verdict(met: bool | None) -> str:
    """A word for it."""
    return "not judged" if met is None else "met" if met else "MISSED"


def figure(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _cell(entry: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Time, quartiles and ratio of one contender."""
    if "error" in entry:
        return f"FAILED: {entry['error']}"
    time, ratio = entry["time"], entry["ratio"]
    text = f"{figure(time['median'])} {result['unit']}"
    text += f" [{figure(time['q1'])} to {figure(time['q3'])}]"
    if entry["name"] != result["ours"]:
        text += f"; {ratio['median']:.2f}x ours [{ratio['q1']:.2f} to {ratio['q3']:.2f}]"
    return text
