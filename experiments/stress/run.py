"""Frozen models on changed test inputs: answers, scores, operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from analysis.calibration import normalised
from experiments.config import Config
from experiments.evaluation.evaluate import count_batch, first_final
from experiments.evaluation.results import groups
from experiments.loading.batches import Batch, batches
from experiments.loading.data import Hearing, PairedData
from experiments.stress.conditions import CLEAN, Condition
from experiments.stress.plan import EXCHANGING, plan
from experiments.stress.sound import MODALITY as SOUND
from experiments.stress.sound import find_sounds
from experiments.stress.swaps import Donors
from experiments.training.learners import Learner
from experiments.training.trained import trained_learner
from spikefuse._types import FloatArray, Int64Array
from spikefuse.events import MultiStream
from spikefuse.opcounts import OpCounts

_BATCH = 64


@dataclass(frozen=True)
class Response:
    """What one model, of every seed, answered under one condition.

    Parameters
    ----------
    times_ms : float [K]
    answers : int [S, K, n]
        Class answered after each time.
    log_probs : float [S, n, C]
        Of the final answers.
    counts : OpCounts
        Of the first seed, front ends included.
    """

    times_ms: FloatArray
    answers: Int64Array
    log_probs: FloatArray
    counts: OpCounts

    @property
    def final(self) -> Int64Array:
        """Final answers [S, n]."""
        return self.answers[:, -1]

    @property
    def evidence_ms(self) -> FloatArray:
        """Time after which each answer never changes again, [S, n]."""
        return np.stack([self.times_ms[first_final(by_time)] for by_time in self.answers])


@dataclass(frozen=True)
class Stressed:
    """Every response of a suite, and what the samples were.

    Parameters
    ----------
    labels : int [n]
    clusters : mapping of modality to n names of groups
    foreign : mapping of modality to int [n]
        Class of what each sample gets from a sample of another class; empty where no condition
        exchanges a modality.
    conditions : mapping of name to Condition
    responses : mapping of model to mapping of condition to Response
        A condition that touches no modality of a model is the clean one.
    learners : mapping of model to its learners, one of each seed
    sizes : mapping of modality to sensor size
    """

    labels: Int64Array
    clusters: Mapping[str, Sequence[str]]
    foreign: Mapping[str, Int64Array]
    conditions: Mapping[str, Condition]
    responses: Mapping[str, Mapping[str, Response]]
    learners: Mapping[str, Sequence[Learner]]
    sizes: Mapping[str, tuple[int, int, int]]


Progress = Callable[[int, int, str], None]


def load_learners(folder: Path, config: Config, data: PairedData, name: str) -> list[Learner]:
    """A trained model of a run directory, every seed, in evaluation.

    Raises
    ------
    DataError
        If it is not trained.
    """
    return [trained_learner(folder, config, data, name, seed) for seed in config.seeds]


def run_conditions(
    learners: Mapping[str, Sequence[Learner]],
    data: PairedData,
    config: Config,
    families: Sequence[str],
    seed: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Stressed:
    """Ask every model under every condition of the families.

    Parameters
    ----------
    learners : mapping of model to its learners
    data : PairedData
    config : Config
    families : sequence of str
    seed : int
        Of the changes; it does not touch the models.
    limit : int, optional
        Test pairs, the first ones; all by default.
    progress : callable, optional
    """
    pairs = list(data.fixed_pairs["test"])[:limit]
    samples = [s for b in batches(data, "test", pairs, _BATCH) for s in b.samples]
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    names = list(data.splits["test"])
    sources = {m: [str(s.provenance[f"{m}_source"]) for s in samples] for m in names}
    donors = Donors(samples, labels, sources)
    heard = sources.get(SOUND) if "noise" in families else None
    sounds = find_sounds(config.data, data.clock, set(heard)) if heard else None
    conditions = plan(families, data.sensor_sizes, donors, sounds)
    exchanged = [name for name in names if len(names) > 1 and set(families) & EXCHANGING]
    foreign = {name: donors.foreign_class(name, seed) for name in exchanged}
    responses: dict[str, dict[str, Response]] = {name: {} for name in learners}
    for done, condition in enumerate(conditions, start=1):
        changed = [condition.change(sample, i, seed) for i, sample in enumerate(samples)]
        for name, of_seeds in learners.items():
            if condition.touched and not set(condition.touched) & set(of_seeds[0].modalities):
                responses[name][condition.name] = responses[name][CLEAN]
                continue
            responses[name][condition.name] = respond(of_seeds, changed, config, data.hearing)
        if progress is not None:
            progress(done, len(conditions), condition.name)
    of_group = {m: found[: len(pairs)] for m, found in groups(data).items()}
    return Stressed(
        labels,
        of_group,
        foreign,
        {condition.name: condition for condition in conditions},
        responses,
        learners,
        data.sensor_sizes,
    )


def respond(
    learners: Sequence[Learner],
    samples: Sequence[MultiStream],
    config: Config,
    hearing: Hearing | None,
) -> Response:
    """Answers of one model, of every seed, as the evaluation of a run finds them."""
    times_ms = learners[0].anytime_ms(config.cost.windows_ms)
    answers: list[Int64Array] = []
    scores: list[FloatArray] = []
    counted: list[OpCounts] = []
    for learner in learners:
        by_batch: list[torch.Tensor] = []
        for start in range(0, len(samples), _BATCH):
            part = list(samples[start : start + _BATCH])
            with torch.no_grad():
                by_batch.append(learner.anytime_scores(part, times_ms))
            if learner is learners[0]:
                labels = torch.tensor([sample.label for sample in part])
                counted.append(count_batch(learner, Batch(part, labels), config, hearing))
        found = torch.cat(by_batch, dim=1)
        answers.append(found.argmax(2).numpy())
        scores.append(normalised(found[-1].double().numpy()))
    return Response(
        np.asarray(times_ms), np.stack(answers), np.stack(scores), OpCounts.concat(counted)
    )
