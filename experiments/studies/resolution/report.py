"""Tables of the resolution study."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.studies.resolution.choice import FAMILIES, PROFILES, Row
from experiments.studies.resolution.curves import (
    SPIKING,
    TITLES,
    Curves,
    Point,
    asked,
    curves,
    held,
    ratios,
    slope,
)
from experiments.studies.resolution.tasks import RESOLUTIONS_MS, SCENES
from experiments.studies.resolution.verdict import losses, verdict
from spikefuse.pages import markdown_table

Asked = set[tuple[str, str, int]]


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """Every table by the name of its mark."""
    cheap, quick = curves(rows), curves(rows, "latency")
    minutes, ran = sum(row["cpu_s"] for row in rows) / 60, asked(rows)
    return {
        "resolution energy": energy_table(cheap, ran),
        "resolution nets": net_table(cheap, ran),
        "resolution ratios": ratio_table(cheap, ran),
        "resolution slopes": slope_table(cheap),
        "resolution latency": latency_table(cheap, quick, ran),
        "resolution verdict": verdict(cheap, quick)
        + f"\n\nThe page rests on {len(rows)} trained nets and {minutes:.0f} minutes of one core.",
    }


def summary(rows: Sequence[Row]) -> dict[str, str]:
    """What the page of results repeats: where the SNN loses."""
    return {"resolution losses": losses(curves(rows), curves(rows, "latency"))}


def energy_table(found: Curves, ran: Asked) -> str:
    """nJ a sample by profile, scene and family: ideal reuse / none."""
    lines = []
    for profile in PROFILES:
        for (scene, family), points in found.items():
            cells = {p.resolution_ms: _energy(p, profile) for p in points}
            name = FAMILIES[family].title
            lines.append([TITLES[profile], scene, name, *_columns(cells, ran, scene, family)])
    return markdown_table(["profile", "scene", "", *_heads()], lines)


def _energy(p: Point, profile: str) -> str:
    ideal, low, none, high = (f"{x / 1e3:.3g}" for x in p.energy_pj[profile])
    nominal = ideal if ideal == none else f"{ideal} / {none}"
    spread = "" if (low, high) == (ideal, none) else f" [{low}, {high}]"
    mark = "" if p.holds else " †"
    return nominal + spread + mark


def net_table(found: Curves, ran: Asked) -> str:
    """The chosen net and its test d'."""
    lines = []
    for (scene, family), points in found.items():
        cells = {
            p.resolution_ms: f"`{p.candidate.kind}` {p.candidate.width} at "
            f"{p.candidate.step_ms} ms, {p.d_prime:.2f} ({p.n_seeds})"
            for p in points
        }
        lines.append([scene, FAMILIES[family].title, *_columns(cells, ran, scene, family)])
    return markdown_table(["scene", "", *_heads()], lines)


def latency_table(cheap: Curves, quick: Curves, ran: Asked) -> str:
    """Evidence time of both choices, in ms."""
    lines = []
    for scene, family in cheap:
        if FAMILIES[family].price != "clock":
            continue  # the same answers at the same times
        one, other = (
            {p.resolution_ms: p for p in found[scene, family]} for found in (cheap, quick)
        )
        cells = {r: f"{_delay(one[r])} / {_delay(other[r])}" for r in one}
        lines.append([scene, FAMILIES[family].title, *_columns(cells, ran, scene, family)])
    return markdown_table(["scene", "", *_heads()], lines)


def _delay(p: Point) -> str:
    if p.latency_ms is None:
        return "never"
    return f"{p.latency_ms:.0f}" + (f" ({p.n_late} of {p.n_seeds} never)" if p.n_late else "")


def slope_table(found: Curves) -> str:
    """By scene, family, profile and reuse, of the points that hold on test samples.

    Below it what the others would change.
    """
    lines = []
    for (scene, family), points in held(found).items():
        cells = [f"{slope(points, profile, place):.2f}" for profile in PROFILES for place in (0, 2)]
        reached = ", ".join(str(p.resolution_ms) for p in points)
        lines.append([scene, FAMILIES[family].title, reached, *cells])
    heads = [f"{TITLES[p]}, {reuse}" for p in PROFILES for reuse in ("ideal", "none")]
    return markdown_table(["scene", "", "over (ms)", *heads], lines) + _with_daggers(found)


def _with_daggers(found: Curves) -> str:
    """Slopes at ideal reuse with the points left out, of families that have any."""
    parts = []
    for (scene, family), points in found.items():
        missed = [f"{p.resolution_ms} ms" for p in points if not p.holds]
        if missed:
            slopes = ", ".join(f"{slope(points, profile):.2f}" for profile in PROFILES)
            title = FAMILIES[family].title
            parts.append(f"{scene} {title}, with {' and '.join(missed)}: {slopes}")
    return f"\n\nWith the daggers, ideal reuse: {'; '.join(parts)}." if parts else ""


def ratio_table(found: Curves, ran: Asked) -> str:
    """Energy of each kind of SNN over the cheapest opponent's; above 1 it loses.

    Marked where either net misses the wanted d' on test samples.
    """
    lines = []
    missed = {
        (scene, FAMILIES[family].title, p.resolution_ms)
        for (scene, family), points in found.items()
        for p in points
        if not p.holds
    }
    for profile in PROFILES:
        for scene in SCENES:
            for family in SPIKING:
                name = FAMILIES[family].title
                cells = {
                    r: f"{ratio:.2g} ({rival})"
                    + (" †" if missed & {(scene, name, r), (scene, rival, r)} else "")
                    for r, (ratio, rival) in ratios(found, scene, family, profile).items()
                }
                lines.append([TITLES[profile], scene, name, *_columns(cells, ran, scene, family)])
    return markdown_table(["profile", "scene", "", *_heads()], lines)


def _heads() -> list[str]:
    return [f"{r} ms" for r in RESOLUTIONS_MS]


def _columns(cells: dict[int, str], ran: Asked, scene: str, family: str) -> list[str]:
    """Cells by resolution; there is none where no net of the family reaches d' = 1."""
    return [
        cells.get(r, "not reached" if (scene, family, r) in ran else "not run")
        for r in RESOLUTIONS_MS
    ]
