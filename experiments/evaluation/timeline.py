"""What a trained model says, has spent and has to do at every time of every test sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from experiments.config import Config
from experiments.evaluation.answer_counts import answer_counts, delta_counts, frontends_until
from experiments.evaluation.charges import Charges, answered, joined, stepped
from experiments.evaluation.own_charges import own_charges
from experiments.evaluation.precision import at_precision, precision_of
from experiments.loading.batches import Batch, batches
from experiments.loading.data import PairedData
from experiments.training.foreign import ForeignLearner
from experiments.training.learners import Learner
from spikefuse._types import FloatArray, Int64Array
from spikefuse.cost import count
from spikefuse.cost.step_counts import count_steps
from spikefuse.errors import ConfigError
from spikefuse.opcounts import OpCounts

_BATCH = 64


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
            priced = profiles[precision]
            if isinstance(model, ForeignLearner):
                of_batch = own_charges(model, batch.samples, heard, times_ms, config, priced)
            elif learner.spiking:
                of_batch = _spiking(model, batch, heard, config, priced, check=i == 0)
            else:
                answers = answer_counts(model, frames, times_ms)
                of_batch = answered(answers, changed, heard, config, priced)
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
    yield from stepped(steps, heard, config, profiles)
