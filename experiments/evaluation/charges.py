"""What profiles charge a model for its answers on a batch, and how long its steps take there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from experiments.config import Config
from spikefuse._types import FloatArray
from spikefuse.cost import energy
from spikefuse.cost.constants import Bound
from spikefuse.cost.latency import BOUNDS, layer_ticks, step_times
from spikefuse.cost.profile import load_profile
from spikefuse.cost.step_counts import StepCounts
from spikefuse.cost.step_energy import step_energy_pj
from spikefuse.opcounts import OpCounts


@dataclass(frozen=True)
class Charges:
    """What one profile charges a model up to each answer time, and how long its steps take.

    Parameters
    ----------
    energy_pj : float array [K, n], optional
        Dynamic energy spent when the answer of each time is given, every answer before it paid.
    single_pj : float array [K, n], optional
        As if that answer were the only one; a spiking model answers for nothing.
    delta_pj : float array [K, n], optional
        As ``energy_pj``, of a dense model that answers again at the cost of what has changed.
    step_us : mapping of "low", "value", "high" to float array [T, n], optional
        Time of each step of a spiking model on the chip.
    reason, step_reason : str, optional
        Why there is no energy, and no time.
    busiest : str
        Population of the busiest core.
    ticks : int
        Ticks that an input is under way to the readout.
    counts : tuple of OpCounts [K]
        What runs for the answer at each time, if it is the only one, front ends included.
    """

    energy_pj: FloatArray | None = None
    single_pj: FloatArray | None = None
    delta_pj: FloatArray | None = None
    step_us: Mapping[Bound, FloatArray] | None = None
    reason: str | None = None
    step_reason: str | None = None
    busiest: str = ""
    ticks: int = 0
    counts: tuple[OpCounts, ...] = ()


def joined(parts: Sequence[Charges]) -> Charges:
    """Charges of several sets of samples of one model; none of a kind that one of them lacks."""
    first = parts[0]

    def side_by_side(tables: Sequence[FloatArray | None]) -> FloatArray | None:
        known = [table for table in tables if table is not None]
        return np.concatenate(known, axis=1) if len(known) == len(tables) else None

    steps = [p.step_us for p in parts]
    known = [s for s in steps if s is not None]
    return Charges(
        side_by_side([p.energy_pj for p in parts]),
        side_by_side([p.single_pj for p in parts]),
        side_by_side([p.delta_pj for p in parts]),
        {bound: np.concatenate([s[bound] for s in known], axis=1) for bound in BOUNDS}
        if len(known) == len(steps)
        else None,
        next((p.reason for p in parts if p.reason is not None), None),
        next((p.step_reason for p in parts if p.step_reason is not None), None),
        first.busiest,
        max(p.ticks for p in parts),
        tuple(OpCounts.concat(of_time) for of_time in zip(*(p.counts for p in parts), strict=True))
        if all(p.counts for p in parts)
        else (),
    )


def stepped(
    steps: StepCounts, heard: Sequence[OpCounts], config: Config, profiles: Sequence[str]
) -> Iterator[tuple[str, Charges]]:
    """A model on one batch, counted by step and sample; ``heard`` are its front ends so far."""
    counts = tuple(steps.until(k) + front for k, front in enumerate(heard, start=1))
    for profile in profiles:
        found = replace(_on_chip(steps, profile), counts=counts)
        spent, reason = step_energy_pj(steps, profile, reuse=config.cost.reuse)
        before, front_reason = priced_each(heard, profile, config)
        if spent is None or before is None:
            yield profile, replace(found, reason=reason or front_reason)
            continue
        energy_pj = spent.cumsum(0).numpy() + before[:, None]
        yield profile, replace(found, energy_pj=energy_pj, single_pj=energy_pj)


def _on_chip(steps: StepCounts, profile: str) -> Charges:
    """Times of the steps, or why there are none."""
    chip = load_profile(profile)
    if not all(chip.holds(name) for name in ("t_synop", "t_sync", "n_neurons_per_core")):
        return Charges(step_reason=f"{profile} publishes no times of its operations")
    try:
        times = step_times(steps, chip)
    except ValueError as error:  # no neurons
        return Charges(step_reason=f"{profile} has no place for it: {error}")
    ticks = layer_ticks(steps.until(steps.shape[0]))
    return Charges(
        step_us={bound: times.by_bound[bound].astype(np.float32) for bound in BOUNDS},
        busiest=times.busiest,
        ticks=ticks,
    )


def answered(
    answers: Sequence[OpCounts],
    changed: Sequence[OpCounts] | None,
    heard: Sequence[OpCounts],
    config: Config,
    profiles: Sequence[str],
) -> Iterator[tuple[str, Charges]]:
    """A model on one batch that runs once for every answer, or on what has changed."""
    n = heard[0].n_samples
    for profile in profiles:
        each, why = priced_each(answers, profile, config)
        before, front_why = priced_each(heard, profile, config)
        if each is None or before is None:
            yield profile, Charges(reason=why or front_why, step_reason=why or front_why)
            continue
        delta = None if changed is None else priced_each(changed, profile, config)[0]
        found = Charges(
            wide(before + each.cumsum(), n),
            wide(before + each, n),
            None if delta is None else wide(before + delta.cumsum(), n),
            step_reason=f"{profile} publishes no throughput of a dense model",
            counts=tuple(run + front for run, front in zip(answers, heard, strict=True)),
        )
        yield profile, found


def priced_each(
    counts: Sequence[OpCounts], profile: str, config: Config
) -> tuple[FloatArray | None, str | None]:
    """Dynamic energy of each, or why there is no price."""
    priced = [
        energy(c, profile, reuse=config.cost.reuse, frontend_profile=config.cost.frontend_profile)
        for c in counts
    ]
    values = [p.dynamic_pj for p in priced]
    if any(value is None for value in values):
        return None, next(p.reason for p in priced if p.reason is not None)
    return np.asarray(values, dtype=np.float64), None


def wide(values: FloatArray, n: int) -> FloatArray:
    """The same for every sample, [K, n]."""
    return np.repeat(values[:, None], n, axis=1)
