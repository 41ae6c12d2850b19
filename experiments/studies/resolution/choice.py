"""Which net of a family validation chooses: the cheapest, or the quickest, with d' >= 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from experiments.studies.resolution.nets import Candidate
from spikefuse.cost.pricing import Reuse

Row = Mapping[str, Any]
Aim = Literal["energy", "latency"]

WANTED_D_PRIME = 1.0
# answers are read so long after the event of `Samples.event_ms`.
DELAYS_MS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
PROFILES = ("horowitz_45nm_int8", "horowitz_45nm_fp32", "yan2024_22nm")
REUSES: tuple[Reuse, ...] = ("ideal", "none")
CHOSEN_BY = "horowitz_45nm_int8 ideal"


@dataclass(frozen=True)
class Family:
    """Nets that compete under one name.

    Parameters
    ----------
    title : str
    holds : callable
        Whether a row's net belongs to it.
    price : str
        Which of a row's prices it pays.
    """

    title: str
    holds: Callable[[Row], bool]
    price: str = "clock"


def _spiking(row: Row) -> bool:
    return row["kind"] not in ("cnn", "gru")


FAMILIES: dict[str, Family] = {
    "snn": Family("SNN, updated every step", _spiking),
    "snn 1 ms": Family("SNN, steps of 1 ms", lambda row: _spiking(row) and row["step_ms"] == 1),
    "snn events": Family("SNN, updated at events", _spiking, "events"),
    "cnn": Family("frame CNN", lambda row: row["kind"] == "cnn"),
    "delta": Family("delta CNN", lambda row: row["kind"] == "cnn", "delta"),
    "gru": Family("GRU", lambda row: row["kind"] == "gru"),
}


def energy_of(row: Row, family: str, profile: str = CHOSEN_BY) -> float | None:
    """Dynamic energy of a sample in pJ, as the family pays it."""
    value: float | None = row["energy_pj"][FAMILIES[family].price][profile][0]
    return value


def latency_of(row: Row, split: str) -> float | None:
    """Shortest delay behind the event after which answers reach d' = 1; None if none does."""
    for delay, reached in zip(DELAYS_MS, row[split]["d_prime_after"], strict=True):
        if reached >= WANTED_D_PRIME:
            return float(delay)
    return None


def chosen(
    rows: Sequence[Row], scene: str, resolution_ms: int, family: str, aim: Aim
) -> Candidate | None:
    """The net that validation at the first seed chooses; None where none of them reaches d' = 1.

    Of equally quick ones the cheaper.
    """
    able = [
        row
        for row in rows
        if (row["scene"], row["resolution_ms"], row["seed"]) == (scene, resolution_ms, 0)
        and FAMILIES[family].holds(row)
        and row["validation"]["d_prime"] >= WANTED_D_PRIME
    ]

    def order(row: Row) -> tuple[float, ...]:
        spent = energy_of(row, family) or 0.0
        if aim == "energy":
            return (spent,)
        delay = latency_of(row, "validation")
        return (float("inf") if delay is None else delay, spent)

    if not able:
        return None
    best = min(able, key=order)
    return Candidate(best["kind"], best["width"], best["step_ms"])


def runs_of(rows: Sequence[Row], scene: str, resolution_ms: int, candidate: Candidate) -> list[Row]:
    """All seeds of a net, by seed."""
    key = {"scene": scene, "resolution_ms": resolution_ms} | candidate.key()
    return sorted((r for r in rows if key.items() <= r.items()), key=lambda r: int(r["seed"]))
