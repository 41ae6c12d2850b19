"""Interleaved timing: in every round each contender runs once, in a random order.

A fixed order would favour whoever follows a twin that has just read the same memory. The time of a
call is processor time of the whole process, which other work on the machine does not add to (it
still takes cache and bandwidth), so what counts are ratios within one run.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Samples = dict[str, list[float]]
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"process": time.process_time, "wall": time.perf_counter}


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    q1: float
    q3: float

    def to_dict(self) -> dict[str, float]:
        """As plain values."""
        return {"median": self.median, "q1": self.q1, "q3": self.q3}


def spread(values: list[float]) -> Spread:
    """Median and quartiles of some samples.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not values:
        raise ValueError("values must hold at least one sample, got none")
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75])
    return Spread(float(median), float(q1), float(q3))


def ratios(theirs: list[float], ours: list[float]) -> list[float]:
    """How many times as long they took, round by round.

    Raises
    ------
    ValueError
        If they were not timed in the same rounds.
    """
    if len(theirs) != len(ours):
        raise ValueError(f"theirs must hold {len(ours)} rounds as ours does, got {len(theirs)}")
    return [a / b for a, b in zip(theirs, ours, strict=True)]


def best_of(samples: Samples, names: list[str]) -> list[float]:
    """The fastest of some contenders in each round."""
    return [min(values) for values in zip(*(samples[name] for name in names), strict=True)]


def interleave(
    runs: Mapping[str, Callable[[], Any]],
    rounds: int,
    least_ms: float,
    rng: np.random.Generator,
    clock: str = "process",
) -> tuple[Samples, dict[str, int]]:
    """Time of one call of each contender in each round.

    Parameters
    ----------
    runs : mapping of name to function
    rounds : int
    least_ms : float
        A sample repeats the call until it takes about this long.
    rng : numpy Generator
        Draws the order of every round.
    clock : "process" or "wall"

    Returns
    -------
    samples_ms : mapping of name to ``rounds`` milliseconds per call
    calls : mapping of name to calls in a sample
    """
    now = CLOCKS[clock]
    samples: Samples = {name: [] for name in runs}
    names = list(runs)
    gc.collect()
    gc.freeze()  # what is alive now need not be looked at again before every sample
    try:
        calls = {name: _calls(run, least_ms, now) for name, run in runs.items()}
        for _ in range(rounds):
            for position in rng.permutation(len(names)):
                name = names[position]
                samples[name].append(_sample(runs[name], calls[name], now))
    finally:
        gc.unfreeze()
    return samples, calls


def _calls(run: Callable[[], Any], least_ms: float, now: Clock) -> int:
    """How many calls take about ``least_ms``; they warm the contender too."""
    run()
    took = _sample(run, 1, now)
    if took >= least_ms:
        return 1
    few = max(1, min(20, round(least_ms / max(took, 1e-3) / 4)))
    took = _sample(run, few, now)
    return max(1, min(2000, round(least_ms / max(took, 1e-3))))


def _sample(run: Callable[[], Any], calls: int, now: Clock) -> float:
    """Milliseconds per call; the garbage of the one before is not collected on its account."""
    gc.collect()
    gc.disable()
    try:
        started = now()
        for _ in range(calls):
            run()
        return (now() - started) * 1e3 / calls
    finally:
        gc.enable()
