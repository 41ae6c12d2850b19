"""What became of the resolution study's hypothesis, in sentences made from its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

from experiments.studies.resolution.choice import FAMILIES, PROFILES
from experiments.studies.resolution.curves import SPIKING, TITLES, Curves, held, ratios, slope
from experiments.studies.resolution.tasks import SCENES

Check = tuple[bool, str]


def verdict(cheap: Curves, quick: Curves) -> str:
    """What became of each part of the hypothesis, and where a spiking net costs more.

    Points that miss d' = 1 on test samples enter none of it, but are named.
    """
    points = held(cheap)
    within = partial(_slopes_within, points)
    parts = [
        _line(1, "frame CNN and GRU grow as 1/R", within(("cnn", "gru"), -1.2, -0.8)),
        _line(2, "the SNN on a clock of 1 ms is flat", within(("snn 1 ms",), -0.2, 0.2)),
        _line(
            3,
            "the SNN updated at events is flat, cheaper than the frame CNN up to 8 ms and dearer "
            "from 64 ms",
            [*within(("snn events",), -0.2, 0.2), *_crossing(points)],
        ),
        _line(4, "the delta CNN lies between", within(("delta",), -1.0, -0.3)),
        _line(5, "latency grows with R for the frame CNN only", _latencies(points)),
    ]
    return "\n".join(parts) + "\n\n" + losses(cheap, quick)


def losses(cheap: Curves, quick: Curves) -> str:
    """Where a spiking net costs more, or answers later, than the best opponent."""
    points = held(cheap)
    dearer = [line for profile in PROFILES for line in _losses(points, profile)]
    return (
        "Where the SNN costs more than the cheapest opponent (ideal reuse), over the resolutions "
        "at which both reach d' = 1 on test samples:\n\n"
        + "\n".join([*dearer, *_missed(points), *_slower(quick)])
    )


def _line(number: int, claim: str, checks: Sequence[Check]) -> str:
    """A part of the hypothesis with what was found; it holds if every check does."""
    claim = f"{number}. *{claim[0].upper()}{claim[1:]}*"
    if not checks:
        return f"{claim}: **not known**, for too few runs."
    held = "holds" if all(ok for ok, _ in checks) else "does not hold"
    failed = [text for ok, text in checks if not ok]
    said = failed or [text for _, text in checks]
    return f"{claim}: **{held}** ({'; '.join(said)})."


def _slopes_within(found: Curves, families: Sequence[str], low: float, high: float) -> list[Check]:
    """Whether slopes lie in a range on every profile at ideal reuse."""
    checks = []
    for (scene, family), points in found.items():
        if family in families and len(points) > 2:
            slopes = [slope(points, profile) for profile in PROFILES]
            text = ", ".join(f"{s:.2f}" for s in slopes)
            ok = all(low <= s <= high for s in slopes)
            checks.append((ok, f"{scene} {FAMILIES[family].title}: slopes {text}"))
    return checks


def _crossing(found: Curves) -> list[Check]:
    """Which of the SNN updated at events and the frame CNN is cheaper at either end."""
    checks = []
    for scene in SCENES:
        ours = {p.resolution_ms: p for p in found[scene, "snn events"]}
        theirs = {p.resolution_ms: p for p in found[scene, "cnn"]}
        for r in sorted(ours.keys() & theirs.keys()):
            for profile in PROFILES:
                ratio = theirs[r].energy_pj[profile][0] / ours[r].energy_pj[profile][0]
                if r <= 8 or r >= 64:
                    ok = ratio > 1 if r <= 8 else ratio < 1
                    what = f"CNN / SNN {ratio:.2g} at {r} ms on {TITLES[profile]}"
                    checks.append((ok, f"{scene}: {what}"))
    return checks


def _latencies(found: Curves) -> list[Check]:
    """Whether the frame CNN's evidence time grows with R and the SNN's stays within 16 ms."""
    checks = []
    for scene in SCENES:
        known = [p for p in found[scene, "cnn"] if p.latency_ms is not None]
        times = [p.latency_ms or 0.0 for p in known]
        text = ", ".join(f"{t:.0f}" for t in times)
        grows = len(times) > 2 and times[-1] > times[0]
        checks.append((grows, f"{scene} frame CNN: {text} ms"))
        ours = [p.latency_ms for p in found[scene, "snn 1 ms"]]
        ok = all(t is not None and t <= 16 for t in ours)
        shown = ", ".join("never" if t is None else f"{t:.0f}" for t in ours)
        checks.append((ok, f"{scene} SNN, steps of 1 ms: {shown} ms"))
    return checks


def _losses(found: Curves, profile: str) -> list[str]:
    """Where each kind of SNN costs more than the cheapest opponent, in a sentence."""
    lines = []
    for scene in SCENES:
        for family in SPIKING:
            every = ratios(found, scene, family, profile)
            by_resolution = {r: cell for r, cell in every.items() if math.isfinite(cell[0])}
            lost = {r: ratio for r, (ratio, _) in by_resolution.items() if ratio > 1}
            if not by_resolution:
                continue
            where = f"{TITLES[profile]}, {scene}, {FAMILIES[family].title}"
            if not lost:
                lines.append(f"- {where}: nowhere.")
                continue
            said = "everywhere" if len(lost) == len(by_resolution) else "at " + _listed(lost)
            least, most = f"{min(lost.values()):.2g}", f"{max(lost.values()):.2g}"
            by = most if least == most else f"{least} to {most}"
            lines.append(f"- {where}: {said}, by a factor of {by}.")
    return lines


def _missed(found: Curves) -> list[str]:
    """Where a kind of SNN has no net that holds and an opponent has one, in a sentence."""
    places: list[str] = []
    for scene in SCENES:
        kinds: dict[int, list[str]] = {}
        for family in SPIKING:
            for r, (ratio, _) in ratios(found, scene, family, PROFILES[0]).items():
                if math.isinf(ratio) and found[scene, family]:
                    kinds.setdefault(r, []).append(FAMILIES[family].title)
        places += [f"{scene} at {r} ms ({'; '.join(kinds[r])})" for r in sorted(kinds)]
    if not places:
        return []
    return [
        "- Left out, for there the net chosen on validation misses d' = 1 on test samples, and an "
        "opponent's does not: "
        f"{', '.join(places)}."
    ]


def _listed(resolutions: Iterable[int]) -> str:
    return ", ".join(f"{r}" for r in resolutions) + " ms"


def _slower(quick: Curves) -> list[str]:
    """Where the quickest SNN answers later than the quickest opponent that holds.

    An SNN that misses d' = 1 at the end is named and stays: left out, it would lose nowhere.
    """
    lines = []
    for scene in SCENES:
        late = []
        for p in quick[scene, "snn"]:
            rivals = [
                (q.latency_ms, FAMILIES[o].title)
                for o in ("cnn", "gru")
                for q in quick[scene, o]
                if q.resolution_ms == p.resolution_ms and q.holds and q.latency_ms is not None
            ]
            mine = float("inf") if p.latency_ms is None else p.latency_ms
            if rivals and min(rivals)[0] < mine:
                best, title = min(rivals)
                shown = "never" if p.latency_ms is None else f"{mine:.0f} ms"
                shown += "" if p.holds else " (d' below 1 at the end)"
                late.append(f"{p.resolution_ms} ms: {shown} against {best:.0f} ms ({title})")
        if late:
            lines.append(f"- Latency, {scene}: later at {'; '.join(late)}.")
    return lines
