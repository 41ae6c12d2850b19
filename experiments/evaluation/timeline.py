"""What a trained model says, has spent and has to do at every time of every test sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from experiments.config import Config
from experiments.evaluation.answer_counts import answer_counts, delta_counts, frontends_until
from experiments.evaluation.precision import at_precision, precision_of
from experiments.loading.batches import Batch, batches
from experiments.loading.data import PairedData
from experiments.training.learners import Learner
from spikefuse._types import FloatArray, Int64Array
from spikefuse.cost import count, energy
from spikefuse.cost.constants import Bound
from spikefuse.cost.latency import BOUNDS, layer_ticks, step_times
from spikefuse.cost.profile import load_profile
from spikefuse.cost.step_counts import StepCounts, count_steps
from spikefuse.cost.step_energy import step_energy_pj
from spikefuse.errors import ConfigError
from spikefuse.opcounts import OpCounts

_BATCH = 64


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


@dataclass(frozen=True)
class Timeline:
    """A model on one split, answer by answer.

    Parameters
    ----------
    times_ms : float array [K]
    labels : int array [n]
    scores : float array [K, n, C]
        Class scores of the answer at each time.
    onset_ms : float array [n, M]
        First event of each modality; nan where there is none.
    charges : mapping of profile to Charges
        Of the model at the precision that the profile prices; answers are those in float.
    """

    times_ms: FloatArray
    labels: Int64Array
    scores: FloatArray
    onset_ms: FloatArray
    charges: Mapping[str, Charges]

    @property
    def answers(self) -> Int64Array:
        """Answer at each time, [K, n]."""
        return np.asarray(self.scores.argmax(2), dtype=np.int64)


@dataclass(frozen=True)
class Traced:
    """Both readings of one trained model; the validation pairs have no charges."""

    validation: Timeline
    test: Timeline


def trace(
    learner: Learner,
    data: PairedData,
    config: Config,
    seed: int = 0,
    aware: Learner | None = None,
) -> Traced:
    """Read the validation and the test pairs with a trained model, answer by answer.

    Parameters
    ----------
    learner : Learner
    data : PairedData
    config : Config
    seed : int
        Chooses the training pairs that scale a dense model's inputs.
    aware : Learner, optional
        Trained behind the rounding to 8 bits: what profiles of 8 bits charge.
    """
    learner.model.eval()
    times = learner.anytime_ms(config.cost.windows_ms)
    validation = _read(learner, data, "validation", times)
    charged = {
        precision: _charged_model(learner, precision, profiles[0], data, seed, aware)
        for precision, profiles in _by_precision(config).items()
    }
    charges = _charges(charged, learner, data, config, times)
    test = replace(_read(learner, data, "test", times), charges=charges)
    return Traced(validation, test)


def pooled(timelines: Sequence[Timeline]) -> Timeline:
    """All seeds' timelines as one, sample after sample."""
    first = timelines[0]
    return Timeline(
        first.times_ms,
        np.concatenate([t.labels for t in timelines]),
        np.concatenate([t.scores for t in timelines], axis=1),
        np.concatenate([t.onset_ms for t in timelines]),
        {name: joined([t.charges[name] for t in timelines]) for name in first.charges},
    )


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


def _read(learner: Learner, data: PairedData, split: str, times_ms: list[float]) -> Timeline:
    """Answers on a split."""
    labels: list[torch.Tensor] = []
    scores: list[torch.Tensor] = []
    onset: list[list[float]] = []
    for batch in batches(data, split, data.fixed_pairs[split], _BATCH):
        with torch.no_grad():
            scores.append(learner.anytime_scores(batch.samples, times_ms).float())
        labels.append(batch.labels)
        for sample in batch.samples:
            events = [sample[name].events["t"] for name in learner.modalities]
            onset.append([t[0] / 1e3 if len(t) else float("nan") for t in events])
    return Timeline(
        np.asarray(times_ms),
        torch.cat(labels).numpy(),
        torch.cat(scores, dim=1).numpy(),
        np.asarray(onset),
        {},
    )


def _by_precision(config: Config) -> dict[str, list[str]]:
    """Configured profiles by the precision that they price."""
    found: dict[str, list[str]] = {}
    for profile in config.cost.profiles:
        found.setdefault(precision_of(profile)[0], []).append(profile)
    return found


def _charged_model(
    learner: Learner,
    precision: str,
    profile: str,
    data: PairedData,
    seed: int,
    aware: Learner | None,
) -> Learner:
    """The model that profiles of a precision charge, as in the run's energies."""
    form = precision_of(profile)[1]
    found = learner
    if precision == "int8" and aware is not None:
        found = aware
    elif form is not None:
        try:
            found = at_precision(learner, form, data, seed)
        except ConfigError:
            found = learner  # no whole-number twin
    found.model.eval()
    return found


def _charges(
    charged: Mapping[str, Learner],
    learner: Learner,
    data: PairedData,
    config: Config,
    times_ms: list[float],
) -> dict[str, Charges]:
    """Charges of every profile for all test pairs."""
    parts: dict[str, list[Charges]] = {profile: [] for profile in config.cost.profiles}
    profiles = _by_precision(config)
    for i, batch in enumerate(batches(data, "test", data.fixed_pairs["test"], _BATCH)):
        frames = {} if learner.spiking else learner.frames(batch.samples)
        heard = [
            frontends_until(
                learner, batch, frames, config, data.hearing, min(t, learner.duration_ms)
            )
            for t in times_ms
        ]
        changed = None if learner.spiking else delta_counts(learner, frames, times_ms)
        for precision, model in charged.items():
            of_batch = (
                _spiking(model, batch, heard, config, profiles[precision], check=i == 0)
                if learner.spiking
                else _dense(
                    answer_counts(model, frames, times_ms),
                    changed,
                    heard,
                    config,
                    profiles[precision],
                )
            )
            for profile, found in of_batch:
                parts[profile].append(found)
    return {profile: joined(found) for profile, found in parts.items()}


def _spiking(
    learner: Learner,
    batch: Batch,
    heard: Sequence[OpCounts],
    config: Config,
    profiles: Sequence[str],
    check: bool,
) -> Iterator[tuple[str, Charges]]:
    """A spiking model on one batch: one run, counted by step and sample."""
    events = learner.events(batch.samples)
    try:
        steps = count_steps(learner.model, events)
        if check and steps.until(steps.shape[0]).by_path != count(learner.model, events).by_path:
            raise ValueError("some of its operations belong to no step")
    except ValueError as error:
        for profile in profiles:
            yield profile, Charges(reason=str(error), step_reason=str(error))
        return
    counts = tuple(steps.until(k) + front for k, front in enumerate(heard, start=1))
    for profile in profiles:
        found = replace(_on_chip(steps, profile), counts=counts)
        spent, reason = step_energy_pj(steps, profile, reuse=config.cost.reuse)
        before, front_reason = _priced(heard, profile, config)
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
    times = step_times(steps, chip)
    ticks = layer_ticks(steps.until(steps.shape[0]))
    return Charges(
        step_us={bound: times.by_bound[bound].astype(np.float32) for bound in BOUNDS},
        busiest=times.busiest,
        ticks=ticks,
    )


def _dense(
    answers: Sequence[OpCounts],
    changed: Sequence[OpCounts] | None,
    heard: Sequence[OpCounts],
    config: Config,
    profiles: Sequence[str],
) -> Iterator[tuple[str, Charges]]:
    """A dense model on one batch: every answer a run of its own, or what has changed."""
    n = heard[0].n_samples
    for profile in profiles:
        each, why = _priced(answers, profile, config)
        before, front_why = _priced(heard, profile, config)
        if each is None or before is None:
            yield profile, Charges(reason=why or front_why, step_reason=why or front_why)
            continue
        delta = None if changed is None else _priced(changed, profile, config)[0]
        found = Charges(
            _wide(before + each.cumsum(), n),
            _wide(before + each, n),
            None if delta is None else _wide(before + delta.cumsum(), n),
            step_reason=f"{profile} publishes no throughput of a dense model",
            counts=tuple(run + front for run, front in zip(answers, heard, strict=True)),
        )
        yield profile, found


def _priced(
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


def _wide(values: FloatArray, n: int) -> FloatArray:
    """The same for every sample, [K, n]."""
    return np.repeat(values[:, None], n, axis=1)
