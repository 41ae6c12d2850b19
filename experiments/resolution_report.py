"""Tables of the resolution study, and what its numbers say about the hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from analysis.headline_figure import Curve
from experiments.resolution_choice import (
    FAMILIES,
    PROFILES,
    WANTED_D_PRIME,
    Aim,
    Row,
    chosen,
    latency_of,
    runs_of,
)
from experiments.resolution_nets import Candidate
from experiments.resolution_tasks import RESOLUTIONS_MS, SCENES
from spikefuse.pages import markdown_table

TITLES = {
    "horowitz_45nm_int8": "8-bit logic",
    "horowitz_45nm_fp32": "32-bit logic",
    "yan2024_22nm": "Yan 2024",
}
OPPONENTS = ("cnn", "delta", "gru")
SPIKING = ("snn 1 ms", "snn", "snn events")


@dataclass(frozen=True)
class Point:
    """The net that a family runs at a resolution, over its seeds.

    Parameters
    ----------
    resolution_ms : int
    candidate : Candidate
    n_seeds : int
    d_prime : float
        Mean over seeds, on test samples.
    energy_pj : dict of profile to (ideal, low, none, high)
        Nominal energy at ideal reuse, the low end of its constants; nominal energy without reuse,
        the high end. Means over seeds.
    latency_ms : float or None
        Mean evidence time of the seeds that reach d' = 1; None where no seed does.
    n_late : int
        Seeds that do not, at any delay.
    """

    resolution_ms: int
    candidate: Candidate
    n_seeds: int
    d_prime: float
    energy_pj: dict[str, tuple[float, float, float, float]]
    latency_ms: float | None
    n_late: int


Curves = dict[tuple[str, str], list[Point]]  # by scene and family


def curves(rows: Sequence[Row], aim: Aim = "energy") -> Curves:
    """What every family's choice needs at every resolution that it reaches."""
    found: Curves = {}
    for scene in SCENES:
        for family in FAMILIES:
            points = []
            for resolution in RESOLUTIONS_MS:
                pick = chosen(rows, scene, resolution, family, aim)
                if pick is not None:
                    runs = runs_of(rows, scene, resolution, pick)
                    points.append(_point(resolution, pick, runs, family))
            found[scene, family] = points
    return found


def _point(resolution: int, pick: Candidate, runs: Sequence[Row], family: str) -> Point:
    prices = [run["energy_pj"][FAMILIES[family].price] for run in runs]

    def mean(key: str, place: int) -> float:
        return float(np.mean([price[key][place] for price in prices]))

    delays = [delay for run in runs if (delay := latency_of(run, "test")) is not None]
    return Point(
        resolution,
        pick,
        len(runs),
        float(np.mean([run["test"]["d_prime"] for run in runs])),
        {
            profile: (
                mean(f"{profile} ideal", 0),
                mean(f"{profile} ideal", 1),
                mean(f"{profile} none", 0),
                mean(f"{profile} none", 2),
            )
            for profile in PROFILES
        },
        float(np.mean(delays)) if delays else None,
        len(runs) - len(delays),
    )


def drawn(found: Curves) -> list[Curve]:
    """What the figure shows."""
    return [
        Curve(
            scene,
            family,
            FAMILIES[family].title,
            [p.resolution_ms for p in points],
            {
                TITLES[profile]: [
                    (e[0] / 1e3, e[1] / 1e3, e[3] / 1e3)
                    for e in (p.energy_pj[profile] for p in points)
                ]
                for profile in PROFILES
            },
            [float("nan") if p.latency_ms is None else p.latency_ms for p in points],
        )
        for (scene, family), points in found.items()
    ]


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Every table by the name of its mark."""
    cheap, quick = curves(rows), curves(rows, "latency")
    ran = sum(row["cpu_s"] for row in rows) / 60
    return {
        "resolution energy": energy_table(cheap),
        "resolution nets": net_table(cheap),
        "resolution slopes": slope_table(cheap),
        "resolution latency": latency_table(cheap, quick),
        "resolution verdict": verdict(cheap, quick)
        + f"\n\nThe page rests on {len(rows)} trained nets and {ran:.0f} minutes of one core.",
    }


def energy_table(found: Curves) -> str:
    """nJ a sample by profile, scene and family: ideal reuse / none."""
    lines = []
    for profile in PROFILES:
        for (scene, family), points in found.items():
            cells = {p.resolution_ms: _energy(p, profile) for p in points}
            name = FAMILIES[family].title
            lines.append([TITLES[profile], scene, name, *_columns(cells)])
    return markdown_table(["profile", "scene", "", *_heads()], lines)


def _energy(p: Point, profile: str) -> str:
    ideal, low, none, high = (f"{x / 1e3:.3g}" for x in p.energy_pj[profile])
    nominal = ideal if ideal == none else f"{ideal} / {none}"
    spread = "" if (low, high) == (ideal, none) else f" [{low}, {high}]"
    mark = " †" if p.d_prime < WANTED_D_PRIME else ""
    return nominal + spread + mark


def net_table(found: Curves) -> str:
    """The chosen net and its test d'."""
    lines = []
    for (scene, family), points in found.items():
        cells = {
            p.resolution_ms: f"`{p.candidate.kind}` {p.candidate.width} at "
            f"{p.candidate.step_ms} ms, {p.d_prime:.2f} ({p.n_seeds})"
            for p in points
        }
        lines.append([scene, FAMILIES[family].title, *_columns(cells)])
    return markdown_table(["scene", "", *_heads()], lines)


def latency_table(cheap: Curves, quick: Curves) -> str:
    """Evidence time of both choices, in ms."""
    lines = []
    for scene, family in cheap:
        if FAMILIES[family].price != "clock":
            continue  # the same answers at the same times
        one, other = (
            {p.resolution_ms: p for p in found[scene, family]} for found in (cheap, quick)
        )
        cells = {r: f"{_delay(one[r])} / {_delay(other[r])}" for r in one}
        lines.append([scene, FAMILIES[family].title, *_columns(cells)])
    return markdown_table(["scene", "", *_heads()], lines)


def _delay(p: Point) -> str:
    if p.latency_ms is None:
        return "never"
    return f"{p.latency_ms:.0f}" + (f" ({p.n_late} of {p.n_seeds} never)" if p.n_late else "")


def slope(points: Sequence[Point], profile: str, place: int = 0) -> float:
    """Slope of log energy against log resolution by least squares; nan of fewer than three."""
    if len(points) < 3:
        return float("nan")
    x = np.log([p.resolution_ms for p in points])
    y = np.log([p.energy_pj[profile][place] for p in points])
    return float(np.polyfit(x, y, 1)[0])


def slope_table(found: Curves) -> str:
    """By scene, family, profile and reuse."""
    lines = []
    for (scene, family), points in found.items():
        cells = [f"{slope(points, profile, place):.2f}" for profile in PROFILES for place in (0, 2)]
        reached = ", ".join(str(p.resolution_ms) for p in points)
        lines.append([scene, FAMILIES[family].title, reached, *cells])
    heads = [f"{TITLES[p]}, {reuse}" for p in PROFILES for reuse in ("ideal", "none")]
    return markdown_table(["scene", "", "over (ms)", *heads], lines)


def verdict(cheap: Curves, quick: Curves) -> str:
    """What became of each part of the hypothesis, and where a spiking net costs more."""
    within = partial(_slopes_within, cheap)
    parts = [
        _line(1, "frame CNN and GRU grow as 1/R", within(("cnn", "gru"), -1.2, -0.8)),
        _line(2, "the SNN on a clock of 1 ms is flat", within(("snn 1 ms",), -0.2, 0.2)),
        _line(
            3,
            "the SNN updated at events is flat, cheaper than the frame CNN up to 8 ms and dearer "
            "from 64 ms",
            [*within(("snn events",), -0.2, 0.2), *_crossing(cheap)],
        ),
        _line(4, "the delta CNN lies between", within(("delta",), -1.0, -0.3)),
        _line(5, "latency grows with R for the frame CNN only", _latencies(cheap)),
    ]
    losses = [line for profile in PROFILES for line in _losses(cheap, profile)]
    slow = _slower(quick)
    return "\n".join(parts) + "\n\n**Where the SNN loses.**\n\n" + "\n".join([*losses, *slow])


Check = tuple[bool, str]


def _line(number: int, claim: str, checks: Sequence[Check]) -> str:
    """A part of the hypothesis with what was found; it holds if every check does."""
    held = "holds" if checks and all(ok for ok, _ in checks) else "does not hold"
    failed = [text for ok, text in checks if not ok]
    said = failed or [text for _, text in checks]
    return f"{number}. *{claim[0].upper()}{claim[1:]}*: **{held}** ({'; '.join(said)})."


def _slopes_within(found: Curves, families: Sequence[str], low: float, high: float) -> list[Check]:
    """Whether slopes lie in a range on every profile at ideal reuse."""
    checks = []
    for (scene, family), points in found.items():
        if family in families and points:
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
    """For each scene and kind of SNN, the cheapest opponent at each resolution."""
    lines = []
    for scene in SCENES:
        for family in SPIKING:
            parts = []
            for p in found[scene, family]:
                rivals = {
                    o: q.energy_pj[profile][0]
                    for o in OPPONENTS
                    for q in found[scene, o]
                    if q.resolution_ms == p.resolution_ms
                }
                if not rivals:
                    continue
                best = min(rivals, key=lambda o: rivals[o])
                ratio = p.energy_pj[profile][0] / rivals[best]
                parts.append(
                    f"{p.resolution_ms} ms: {ratio:.2g} x {FAMILIES[best].title}"
                    + (" (wins)" if ratio < 1 else "")
                )
            missing = sorted(
                {q.resolution_ms for o in OPPONENTS for q in found[scene, o]}
                - {p.resolution_ms for p in found[scene, family]}
            )
            if missing:
                parts.append("not reached at " + ", ".join(f"{r} ms" for r in missing))
            said = "; ".join(parts) or "no net reaches d' = 1"
            lines.append(f"- {TITLES[profile]}, {scene}, {FAMILIES[family].title}: {said}.")
    return lines


def _slower(quick: Curves) -> list[str]:
    """Where the quickest SNN answers later than the quickest opponent."""
    lines = []
    for scene in SCENES:
        late = []
        for p in quick[scene, "snn"]:
            rivals = [
                (q.latency_ms, FAMILIES[o].title)
                for o in ("cnn", "gru")
                for q in quick[scene, o]
                if q.resolution_ms == p.resolution_ms and q.latency_ms is not None
            ]
            mine = float("inf") if p.latency_ms is None else p.latency_ms
            if rivals and min(rivals)[0] < mine:
                best, title = min(rivals)
                shown = "never" if p.latency_ms is None else f"{mine:.0f} ms"
                late.append(f"{p.resolution_ms} ms: {shown} against {best:.0f} ms ({title})")
        if late:
            lines.append(f"- Latency, {scene}: later at {'; '.join(late)}.")
    return lines


def _heads() -> list[str]:
    return [f"{r} ms" for r in RESOLUTIONS_MS]


def _columns(cells: dict[int, str]) -> list[str]:
    """Cells by resolution; a family that reaches no d' of 1 has none."""
    return [cells.get(r, "not reached") for r in RESOLUTIONS_MS]
