"""A network of one's own answer by answer: what it executes until each, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import add
from typing import Any

import torch
from torch import Tensor

from experiments.config import Config
from experiments.evaluation.charges import Charges, answered, priced_each, stepped, wide
from experiments.training.foreign import ForeignLearner
from spikefuse.cost.chip import populations_of
from spikefuse.cost.step_counts import StepCounts, steps_of_runs
from spikefuse.errors import ConfigError
from spikefuse.events import MultiStream
from spikefuse.opcounts import COUNT_FIELDS, OpCounts

# Counts of one sample after the other and side by side may differ by a share, and by a few.
_SLACK, _SLACK_COUNTS = 0.01, 100
# Of answers on the first steps alone.
_LEAST_ALIKE = 0.9


def own_charges(
    learner: ForeignLearner,
    samples: list[MultiStream],
    heard: Sequence[OpCounts],
    times_ms: Sequence[float],
    config: Config,
    profiles: Sequence[str],
) -> Iterator[tuple[str, Charges]]:
    """Charges of profiles for a network on one batch.

    A spiking one that answers at every step is counted by step and sample, as ours is. Of any other
    that does, what it executes until each step is a mean over the batch. One that is asked again
    runs once for every answer, as the dense twin does.

    Parameters
    ----------
    learner : ForeignLearner
    samples : list of MultiStream
    heard : sequence of OpCounts [K]
        Its front ends until each time.
    times_ms : sequence of float [K]
        Of its answers.
    config : Config
    profiles : sequence of str
    """
    if not learner.by_step:
        why = f"{learner.name} is asked again at each window: its steps lead to no answer"
        asked = counts_at(learner, samples, times_ms)
        for profile, found in answered(asked, None, heard, config, profiles):
            yield profile, replace(found, step_reason=why)
        return
    try:
        until = counts_until(learner, samples)
    except ConfigError as error:
        for profile in profiles:
            yield profile, Charges(reason=str(error), step_reason=str(error))
        return
    steps = _by_sample(learner, samples, until[-1])
    if isinstance(steps, str):
        yield from _so_far(until, heard, config, profiles, steps)
        return
    outside = behind_neurons(steps.until(steps.shape[0]))
    for profile, found in stepped(steps, heard, config, profiles):
        why_not = found.reason or (
            f"{', '.join(outside)} drives no neurons, and has no place on a chip: end with a layer "
            "of neurons, such as a leaky readout"
            if outside
            else None
        )
        if found.step_us is not None and why_not is not None:
            found = replace(found, step_us=None, step_reason=why_not)
        yield profile, found


def counts_until(learner: ForeignLearner, samples: list[MultiStream]) -> list[OpCounts]:
    """What a network executes up to each step: a loop stopped there, or its first steps alone.

    Raises
    ------
    ConfigError
        If it does not answer on its first steps alone as it does on all of them.
    """
    called: Any = learner.model
    inputs, n = learner.inputs(samples), len(samples)
    if learner.about.loop:
        found: list[OpCounts] = []
        with torch.no_grad(), learner.counter() as counter:
            for _ in called.steps(inputs):
                found.append(learner.counts_of(counter, n))
        return found
    time_dim = learner.about.layout.index("T")
    runs = []
    for n_steps in range(1, learner.n_steps + 1):
        first = {name: x.narrow(time_dim, 0, n_steps) for name, x in inputs.items()}
        runs.append(learner.run_counted(samples, first))
    last = runs[-1][0]
    for out, _ in runs:
        if out.shape[1:] != last.shape[1:] or _share_alike(out, last) < _LEAST_ALIKE:
            raise ConfigError(
                f"{learner.name} must answer on its first steps alone as on all of them to be "
                f"counted by step, got another answer on {len(out)} of {learner.n_steps}; --loop "
                "calls a network for every step"
            )
    return _rising([counts for _, counts in runs])


def _share_alike(first: Tensor, whole: Tensor) -> float:
    """Share of the steps and samples with the same scores; sums of other sizes round otherwise."""
    near = torch.isclose(first, whole[: len(first)], rtol=1e-3, atol=1e-4).all(2)
    return float(near.double().mean())


def _rising(counts: Sequence[OpCounts]) -> list[OpCounts]:
    """The counts, where rounding alone has made one fall from one run to the next, as before it."""
    found = [counts[0]]
    for later in counts[1:]:
        paths = dict(later.by_path)
        for name, path in found[-1].by_path.items():
            now = paths.get(name, path)
            fallen = {
                f: before
                for f in COUNT_FIELDS
                if (before := getattr(path, f)) > getattr(now, f) and _near(before, getattr(now, f))
            }
            paths[name] = replace(now, **fallen)
        found.append(replace(later, by_path=paths))
    return found


def counts_at(
    learner: ForeignLearner, samples: list[MultiStream], times_ms: Sequence[float]
) -> list[OpCounts]:
    """What a network executes for the answer at each time, later inputs left out."""
    inputs = learner.inputs(samples)
    return [learner.run_counted(samples, learner.until(inputs, t))[1] for t in times_ms]


def behind_neurons(counts: OpCounts) -> list[str]:
    """Event paths whose messages reach no layer of neurons."""
    populations = populations_of(counts)
    placed = {p.name for p in populations}.union(*(p.inputs for p in populations))
    return [n for n, p in counts.by_path.items() if p.kind == "event" and n not in placed]


def _by_sample(
    learner: ForeignLearner, samples: list[MultiStream], whole: OpCounts
) -> StepCounts | str:
    """Its counts by step and sample, or why they are not known: those of all samples must agree."""
    if not learner.has_neurons:
        return "a network without neurons fills no cores"
    try:
        steps = steps_of_runs([counts_until(learner, [sample]) for sample in samples])
    except ValueError as error:
        return str(error)
    if not _read_alike(steps.until(steps.shape[0]), whole):
        return "samples alone are read otherwise than side by side: --read-as says how"
    return steps


def _read_alike(alone: OpCounts, together: OpCounts) -> bool:
    """Whether layers were read alike, as spikes or as frames.

    Sums of other sizes of a batch round otherwise, so a few neurons fire, or rest, in one of them.
    """
    if alone.by_path.keys() != together.by_path.keys():
        return False
    for name, path in alone.by_path.items():
        other = together.by_path[name]
        pairs = [(getattr(path, f), getattr(other, f)) for f in COUNT_FIELDS]
        if path.kind != other.kind or not all(_near(a, b) for a, b in pairs):
            return False
    return True


def _near(a: int, b: int) -> bool:
    """Whether two counts may differ by rounding alone."""
    return abs(a - b) <= _SLACK * max(a, b) + _SLACK_COUNTS


def _so_far(
    until: Sequence[OpCounts],
    heard: Sequence[OpCounts],
    config: Config,
    profiles: Sequence[str],
    why: str,
) -> Iterator[tuple[str, Charges]]:
    """What has been executed until each step, the same for every sample."""
    n = heard[0].n_samples
    both = tuple(map(add, until, heard))
    for profile in profiles:
        spent, reason = priced_each(both, profile, config)
        found = Charges(reason=reason, step_reason=reason or why)
        if spent is not None:
            found = replace(found, energy_pj=wide(spent, n), single_pj=wide(spent, n), counts=both)
        yield profile, found
