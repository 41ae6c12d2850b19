"""Accuracy against time, and what the modelled energy ratio depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.naming import model_name
from analysis.records import RunRecord
from analysis.report.lines import Axis, Series, Spot, draw_lines
from analysis.report.svg import Scale, bar, chart, line, padded, text, tints, x_axis
from analysis.tables import profiles_of

_BARS = 6
_REUSES = {"ideal": "orange", "measured": "green", "none": "vermilion"}


def time_curve(run: RunRecord) -> str:
    """Accuracy of the answer after each time of stimulus, and of exits by confidence.

    A dense model answers after whole frames: a dotted line stands at each of its times.
    """
    models = run.result["models"]
    color = tints(models)
    series: list[Series] = []
    frames: dict[str, float] = {}
    for name, entry in models.items():
        dense = entry["kind"] == "dense"
        curve = entry["anytime"]
        words = model_name(name)
        spots = [
            Spot(t, a, f"{words}, answer after {t:g} ms: accuracy {a:.3f}")
            for t, a in zip(curve["time_ms"], curve["accuracy"], strict=True)
        ]
        if spots and entry.get("accuracy_interval"):
            last = spots[-1]
            spots[-1] = Spot(last.x, last.y, last.words, tuple(entry["accuracy_interval"]))
        label = f"{words}, one run per frame period" if dense else words
        series.append(Series(label, color[name], spots, "square" if dense else "dot", True, dense))
        if dense and not frames:
            # Blanks make the keys differ: the words stand once.
            times = curve["time_ms"]
            frames = {"frame period" if i == 0 else " " * i: t for i, t in enumerate(times)}
        left = entry.get("exit")
        if left:
            exits = [
                Spot(t, a, f"{words}, exit at confidence {theta:g}: accuracy {a:.3f}")
                for theta, t, a in zip(
                    left["thetas"], left["mean_ms"], left["accuracy"], strict=True
                )
            ]
            series.append(Series(f"{words}, exits", color[name], exits, "cross", False))
    if not any(s.spots for s in series):
        return ""
    latest = max(s.x for one in series for s in one.spots)
    chance = 1 / run.result["data"]["n_classes"]
    return draw_lines(
        series,
        Axis("time from stimulus onset until the answer (ms), compute not included", (0, latest)),
        Axis("test accuracy", (0.0, 1.0)),
        "Test accuracy over the time of the answer, by model",
        verticals=frames,
        horizontals={"chance": chance},
    )


def ratio_curves(run: RunRecord) -> list[dict[str, str]]:
    """Per profile, dense / SNN over the activity of the SNN: below 1 the dense twin needs less."""
    found: list[dict[str, str]] = []
    for profile, entries in run.result.get("energy_ranges", {}).items():
        lines = {reuse: e["break_even"] for reuse, e in entries.items() if e.get("break_even")}
        if not lines:
            continue
        series: list[Series] = []
        first = next(iter(lines.values()))
        crossings = [e["spikes"] for e in lines.values() if e["spikes"] is not None]
        right = min(first["most_spikes"], 1.3 * max([2 * first["measured"], *crossings]))
        for reuse, e in lines.items():
            at = [right * i / 40 for i in range(41)]
            curve = [Spot(s, _ratio(e, s)) for s in at if _ratio(e, s) > 0]
            tint = _REUSES.get(reuse, "grey")
            series.append(Series(f"dense reuse {reuse}", tint, curve, None))
            value = _ratio(e, e["measured"])
            words = f"as counted, {e['measured']:.2f} spikes per neuron: {value:.2f}"
            series.append(Series("", tint, [Spot(e["measured"], value, words)], "dot", False))
        html = draw_lines(
            series,
            Axis("spikes per neuron and inference", (0.0, right)),
            Axis("dense / SNN (modelled); below 1 the dense twin needs less"),
            f"Energy ratio over activity, {profile}",
            horizontals={"equal": 1.0},
            verticals={"counted": first["measured"]},
            size=(560.0, 300.0),
        )
        found.append({"profile": profile, "html": html})
    return found


def _ratio(line_of: Mapping[str, float], spikes: float) -> float:
    """Dense / SNN at an activity; 0 where the SNN would need nothing."""
    needs = line_of["fixed_pj"] + line_of["per_spike_pj"] * spikes
    return line_of["dense_pj"] / needs if needs > 0 else 0.0


def tornadoes(run: RunRecord) -> list[dict[str, str]]:
    """Per profile and reuse, dense / SNN with one constant at either end of its range."""
    found: list[dict[str, str]] = []
    for profile in profiles_of(run.result):
        for reuse, entry in run.result.get("energy_ranges", {}).get(profile, {}).items():
            if entry.get("dynamic", {}).get("tornado"):
                html = _tornado(entry["dynamic"], f"{profile}, dense reuse {reuse}")
                found.append({"profile": profile, "html": html})
    return found


def _tornado(found: Mapping[str, Any], title: str) -> str:
    """The largest swings, widest on top."""
    swings = found["tornado"][:_BARS]
    ends = padded([1.0, found["nominal"], *(s[k] for s in swings for k in ("low", "high"))])
    width, left = 560.0, 150.0
    scale = Scale(*ends, left, width - 16)
    body = [text(4, 14, title, "start", "label")]
    y = 24.0
    bottom = y + 22 * len(swings)
    for swing in swings:
        low, high = sorted((swing["low"], swing["high"]))
        words = f"{swing['constant']}: ratio {low:.3f} to {high:.3f}"
        words += ", range assumed" if swing["assumed"] else ", range published"
        kind = "f-grey" if swing["assumed"] else "f-blue"
        body.append(text(left - 8, y + 14, str(swing["constant"]), "end"))
        body.append(bar(scale(low), y + 4, max(scale(high) - scale(low), 1.0), 14, kind, words))
        y += 22
    body.append(line(scale(found["nominal"]), 24, scale(found["nominal"]), bottom, "nominal"))
    body.append(line(scale(1.0), 24, scale(1.0), bottom, "equal"))
    axis = x_axis(scale, bottom, "dense / SNN (modelled)", "{:g}".format, 24)
    label = f"What one constant does to the energy ratio, {title}"
    return f'<div class="wide">{chart(width, bottom + 40, axis + "".join(body), label)}</div>'
