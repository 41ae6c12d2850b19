"""A row: one piece of work, its contenders, what they must compute and what they should reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.checks import CheckError, check
from experiments.bench.floor import Floor
from experiments.bench.targets import Target, load_targets
from experiments.bench.timing import Samples, best_of, interleave, ratios, spread

OURS, FLOOR = "spikefuse", "floor"


@dataclass(frozen=True)
class Setting:
    """How a benchmark is run.

    Parameters
    ----------
    peers : frozenset of str
        Other libraries that take part.
    quick : bool
        Small shapes and few rounds: for tests, not for figures.
    rounds : int
    least_ms : float
        Shortest sample.
    data_root : Path, optional
        Folder of real recordings.
    seed : int
    """

    peers: frozenset[str] = frozenset()
    quick: bool = False
    rounds: int = 7
    least_ms: float = 20.0
    data_root: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Parameters
    ----------
    name : str
    run : function
        Does the work once and returns its outputs by name; this very function is timed.
    expected : mapping, optional
        What the outputs must equal, where it differs from the row's (another surrogate, say).
    """

    name: str
    run: Callable[[], Mapping[str, Any]]
    expected: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Row:
    """One piece of work; the first contender is the one that the others are set against.

    Parameters
    ----------
    name : str
    contenders : tuple of Contender
    expected : mapping
        Outputs by name (see `check`).
    targets : tuple of str
        Names in `targets.toml`.
    floor : Floor, optional
    facts : mapping
        Densities, rates, bytes: what a reader must know.
    clock : "process" or "wall"
    unit : str
    sample : function of the number of rounds, optional
        Takes the samples instead of timing calls (peak memory).
    conclude : function of the samples, optional
        Figures drawn from all contenders (a fitted line).
    """

    name: str
    contenders: tuple[Contender, ...]
    expected: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    floor: Floor | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    clock: str = "process"
    unit: str = "ms"
    sample: Callable[[int], Samples] | None = None
    conclude: Callable[[Samples], dict[str, float]] | None = None


Rows = Callable[[Setting], Iterator[Row]]


def run_row(row: Row, setting: Setting, rng: np.random.Generator) -> dict[str, Any]:
    """Check every contender, time those that pass, and set them against each other.

    Returns
    -------
    dict
        Plain values. A contender that failed holds ``error`` instead of a time; if it is the first
        one, so does the row.
    """
    errors: dict[str, str] = {}
    distances: dict[str, dict[str, float]] = {}
    for contender in row.contenders:
        expected = row.expected if contender.expected is None else contender.expected
        try:
            distances[contender.name] = check(contender.run(), expected)
        except CheckError as error:
            errors[contender.name] = f"check failed: {error}"
        except Exception as error:  # a peer that cannot do this work is a result, not an end
            errors[contender.name] = f"{type(error).__name__}: {error}"
    first = row.contenders[0].name
    result: dict[str, Any] = {
        "name": row.name,
        "unit": row.unit,
        "clock": row.clock,
        "facts": dict(row.facts),
        "ours": first,
        "contenders": [],
        "targets": {},
    }
    if first in errors:
        result["error"] = errors[first]
        return result
    runs: dict[str, Callable[[], Any]] = {
        c.name: c.run for c in row.contenders if c.name not in errors
    }
    if row.floor is not None:
        runs[FLOOR] = row.floor.runner()
    if row.sample is not None:
        samples = {n: s for n, s in row.sample(setting.rounds).items() if n not in errors}
        calls = dict.fromkeys(samples, 1)
    else:
        samples, calls = interleave(runs, setting.rounds, setting.least_ms, rng, row.clock)
    for contender in row.contenders:
        name = contender.name
        entry: dict[str, Any] = {"name": name}
        if name in errors:
            entry["error"] = errors[name]
        else:
            entry |= _figures(samples[name], samples[first], calls[name])
            entry["check"] = distances[name]
        result["contenders"].append(entry)
    over_floor = None
    if row.floor is not None:
        over_floor = spread(ratios(samples[first], samples[FLOOR])).median
        result["floor"] = {
            "moved_bytes": row.floor.moved_bytes,
            "ours_over_floor": over_floor,
            **_figures(samples[FLOOR], samples[first], calls[FLOOR]),
        }
    result["facts"] |= _rates(row, samples[first])
    if row.conclude is not None:
        result["facts"] |= row.conclude(samples)
    for name in row.targets:
        target = load_targets()[name]
        # Judged against those that took part and computed what they should.
        present = [peer for peer in target.against if peer in samples]
        value = _value(target, samples, first, present, result["facts"])
        judged = target.judge(value, over_floor)
        judged["against"] = present or judged["against"]
        result["targets"][name] = {"work": target.work, **judged}
    return result


def _figures(samples: list[float], ours: list[float], calls: int) -> dict[str, Any]:
    """Time and ratio of one contender, with every sample."""
    return {
        "time": spread(samples).to_dict(),
        "ratio": spread(ratios(samples, ours)).to_dict(),
        "samples": samples,
        "calls_per_sample": calls,
    }


def _rates(row: Row, ours: list[float]) -> dict[str, float]:
    """Bandwidth of weight rows, where the row says how many bytes of them are read."""
    if "row_bytes" not in row.facts:
        return {}
    return {"row_gb_per_s": row.facts["row_bytes"] / spread(ours).median / 1e6}


def _value(
    target: Target, samples: Samples, first: str, present: list[str], facts: Mapping[str, Any]
) -> float | None:
    """What the target judges, or None if no such contender took part."""
    if target.metric != "ratio":
        value = facts.get(target.metric)
        return None if value is None else float(value)
    if not present:
        return None
    return spread(ratios(best_of(samples, present), samples[first])).median
