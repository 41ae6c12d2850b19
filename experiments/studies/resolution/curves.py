"""The resolution study as curves: what each family's choice needs at each resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.figures.headline import Curve
from experiments.studies.resolution.choice import (
    FAMILIES,
    PROFILES,
    WANTED_D_PRIME,
    Aim,
    Row,
    chosen,
    latency_of,
    runs_of,
)
from experiments.studies.resolution.nets import Candidate
from experiments.studies.resolution.tasks import RESOLUTIONS_MS, SCENES

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

    @property
    def holds(self) -> bool:
        """Whether it reaches on test samples what validation chose it for."""
        return self.d_prime >= WANTED_D_PRIME


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


def held(found: Curves) -> Curves:
    """The points whose nets reach d' = 1 on test samples too; validation alone chose the others."""
    return {key: [p for p in points if p.holds] for key, points in found.items()}


def asked(rows: Sequence[Row]) -> set[tuple[str, str, int]]:
    """Scene, family and resolution of all that was trained."""
    return {
        (row["scene"], family, row["resolution_ms"])
        for row in rows
        for family, members in FAMILIES.items()
        if members.holds(row)
    }


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


def slope(points: Sequence[Point], profile: str, place: int = 0) -> float:
    """Slope of log energy against log resolution by least squares; nan of fewer than three."""
    if len(points) < 3:
        return float("nan")
    x = np.log([p.resolution_ms for p in points])
    y = np.log([p.energy_pj[profile][place] for p in points])
    return float(np.polyfit(x, y, 1)[0])


def ratios(found: Curves, scene: str, family: str, profile: str) -> dict[int, tuple[float, str]]:
    """Energy over that of the cheapest opponent, and which that is, by resolution.

    Infinite where the family has no point and an opponent does.
    """
    ours = {p.resolution_ms: p.energy_pj[profile][0] for p in found[scene, family]}
    rivals: dict[int, list[tuple[float, str]]] = {}
    for opponent in OPPONENTS:
        for p in found[scene, opponent]:
            rivals.setdefault(p.resolution_ms, []).append((p.energy_pj[profile][0], opponent))
    return {
        r: (ours.get(r, float("inf")) / min(rivals[r])[0], FAMILIES[min(rivals[r])[1]].title)
        for r in sorted(rivals)
    }


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
            [p.holds for p in points],
        )
        for (scene, family), points in found.items()
    ]
