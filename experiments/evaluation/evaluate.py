"""The one reading of the test set: predictions, decision times, counts, energy, latency."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from experiments.config import Config, CostConfig
from experiments.evaluation.precision import (
    FLOAT,
    AtPrecision,
    at_precision,
    aware_in,
    aware_name,
    precision_of,
    precisions_of,
)
from experiments.evaluation.scores import FinalScores
from experiments.loading.batches import Batch, batches
from experiments.loading.data import Hearing, PairedData
from experiments.training.learners import Learner
from spikefuse._types import FloatArray, Int64Array
from spikefuse.cost import energy
from spikefuse.errors import ConfigError
from spikefuse.opcounts import OpCounts, PathCounts


@dataclass(frozen=True)
class Evaluation:
    """What one trained model did on the test pairs.

    Parameters
    ----------
    labels, predictions : int [n]
    evidence_ms : float [n]
        Time after which the answer never changes again: hardware-free, known only afterwards.
    times_ms, accuracy_by_time : float [k]
        Accuracy of the answer given after each time.
    answers : int [k, n]
        Those answers.
    counts : OpCounts
    scores : FinalScores
        Log-probabilities of the final answers.
    compute_ms : float
        Host time for one sample at batch 1, preparation of the inputs included.
    by_precision : mapping of precision to AtPrecision
        The same in whole numbers, for profiles that price them.
    """

    labels: Int64Array
    predictions: Int64Array
    evidence_ms: FloatArray
    times_ms: FloatArray
    accuracy_by_time: FloatArray
    answers: Int64Array
    counts: OpCounts
    scores: FinalScores
    compute_ms: float
    by_precision: Mapping[str, AtPrecision] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """Share of right final answers."""
        return float((self.labels == self.predictions).mean())


def evaluate(
    learner: Learner,
    data: PairedData,
    config: Config,
    seed: int = 0,
    aware: Learner | None = None,
) -> Evaluation:
    """Read the test pairs once with a trained model, in float and in whole numbers.

    ``seed`` chooses the training pairs that scale a dense model's inputs; ``aware`` was trained
    behind the rounding.
    """
    learner.model.eval()
    times_ms = learner.anytime_ms(config.cost.windows_ms)
    answers: list[torch.Tensor] = []
    last: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    counted: list[OpCounts] = []
    for batch in batches(data, "test", data.fixed_pairs["test"], 64):
        with torch.no_grad():
            scores = learner.anytime_scores(batch.samples, times_ms)
        answers.append(scores.argmax(2))
        last.append(scores[-1])
        labels.append(batch.labels)
        counted.append(count_batch(learner, batch, config, data.hearing))
    by_time = torch.cat(answers, dim=1).numpy()
    truth = torch.cat(labels).numpy()
    times = np.asarray(times_ms)
    return Evaluation(
        truth,
        by_time[-1],
        times[first_final(by_time)],
        times,
        (by_time == truth).mean(axis=1),
        by_time,
        OpCounts.concat(counted),
        FinalScores.from_logits(torch.cat(last), torch.cat(labels)),
        _host_compute_ms(learner, data, config.cost.latency_repeats),
        _in_whole_numbers(learner, data, config, seed, aware),
    )


def _in_whole_numbers(
    learner: Learner, data: PairedData, config: Config, seed: int, aware: Learner | None
) -> dict[str, AtPrecision]:
    """Answers and counts at every precision that a profile prices, and of the aware model."""
    found: dict[str, AtPrecision] = {}
    for name, form in precisions_of(config).items():
        try:
            rounded = at_precision(learner, form, data, seed)
        except ConfigError as error:
            found[name] = AtPrecision(reason=str(error))
        else:
            found[name] = answers_of(rounded, data, config)
    if aware is not None:
        found[aware_name(config.train.aware_bits)] = answers_of(aware, data, config)
    return found


def answers_of(
    learner: Learner, data: PairedData, config: Config, split: str = "test"
) -> AtPrecision:
    """Final answers and counts from one pass over a split's fixed pairs."""
    learner.model.eval()
    answers: list[torch.Tensor] = []
    counted: list[OpCounts] = []
    for batch in batches(data, split, data.fixed_pairs[split], 64):
        output, counts = learner.run_counted(batch.samples)
        answers.append(learner.final_scores(output, batch.samples).argmax(1))
        counted.append(counts + _count_frontends(learner, batch, config, data.hearing))
    return AtPrecision(torch.cat(answers).numpy(), OpCounts.concat(counted))


def priced(evaluation: Evaluation, profile: str) -> tuple[str, OpCounts, str | None]:
    """Precision that a profile is given, its counts, and what to assume where it lacks them.

    The model that was trained behind the rounding goes before the one that was only rounded.
    """
    name, form = precision_of(profile)
    if form is None:
        return name, evaluation.counts, None
    aware = aware_in(evaluation.by_precision) if name == "int8" else None
    whole = evaluation.by_precision.get(aware or name)
    if whole is None or whole.counts is None:
        why = "not evaluated in whole numbers" if whole is None else whole.reason
        return (
            FLOAT,
            evaluation.counts,
            f"Counts and accuracy are those of the float model, not of {name}: {why}.",
        )
    if aware in (None, aware_name(8)):
        return aware or name, whole.counts, None
    return aware or name, whole.counts, f"Weights of {aware} are charged as words of 8 bits."


def first_final(answers: Int64Array) -> Int64Array:
    """Index of the first time from which the answer stays the same, ``answers [k, n]`` to [n]."""
    differs = answers != answers[-1]
    last_change = np.where(differs.any(axis=0), len(answers) - np.argmax(differs[::-1], axis=0), 0)
    return np.asarray(last_change, dtype=np.int64)


def describe_energy(
    learner: Learner, evaluation: Evaluation, config: Config
) -> dict[str, dict[str, Any]]:
    """Modelled energy of a model under every configured profile."""
    cost = config.cost
    sensors = sensor_names(learner.modalities, cost)
    unnamed = [name for name in learner.modalities if name not in sensors]
    found: dict[str, dict[str, Any]] = {}
    for profile in cost.profiles:
        precision, counts, assumed = priced(evaluation, profile)
        found[profile] = energy(
            counts,
            profile,
            wall_time_s=config.data.duration_ms * 1e-3,
            sensors=list(sensors.values()),
            reuse=cost.reuse,
            frontend_profile=cost.frontend_profile,
        ).to_dict() | {"precision": precision}
        if assumed is not None:
            found[profile]["assumptions"].append(assumed)
    for estimate in found.values() if unnamed else ():
        estimate["with_sensors_pj"] = None
        estimate["reasons"]["with_sensors_pj"] = (
            f"the sensor of {', '.join(unnamed)} is not named (cost.sensors)"
        )
    return found


def sensor_names(modalities: tuple[str, ...], cost: CostConfig) -> dict[str, str]:
    """The named sensor of each modality, none where the name is empty; a silicon cochlea replaces
    the microphone.
    """
    audio = "das1_cochlea_ams" if cost.audio_frontend == "silicon" else cost.audio_sensor
    by_modality = {"vision": cost.vision_sensor, "audio": audio, **cost.sensors}
    return {name: by_modality[name] for name in modalities if by_modality.get(name)}


def describe_latency(learner: Learner, evaluation: Evaluation, threads: int) -> dict[str, Any]:
    """Decision latency from stimulus onset: evidence in stimulus time plus compute on this host.

    The spiking model computes while events arrive, so only its last step is waited for; a step that
    takes longer than ``dt`` builds up a backlog, which is added. The dense twin starts when its
    window is complete.
    """
    total_ms = evaluation.compute_ms
    if learner.stepped:
        step_ms = total_ms / learner.n_steps
        steps = evaluation.evidence_ms / learner.dt_ms
        wait_ms = step_ms + np.maximum(step_ms - learner.dt_ms, 0.0) * steps
    else:
        wait_ms = np.full(len(evaluation.evidence_ms), total_ms)
    latency = evaluation.evidence_ms + wait_ms
    return {
        "p50_ms": float(np.percentile(latency, 50)),
        "p95_ms": float(np.percentile(latency, 95)),
        "evidence_ms": float(np.percentile(evaluation.evidence_ms, 50)),
        "evidence_p95_ms": float(np.percentile(evaluation.evidence_ms, 95)),
        "compute_ms": total_ms,
        "compute_source": f"measured on this host, batch 1, {threads} thread(s), whole sample",
    }


def count_batch(
    learner: Learner, batch: Batch, config: Config, hearing: Hearing | None
) -> OpCounts:
    """Network and front-end operations of one batch."""
    return learner.counted(batch.samples) + _count_frontends(learner, batch, config, hearing)


def _count_frontends(
    learner: Learner, batch: Batch, config: Config, hearing: Hearing | None
) -> OpCounts:
    """Operations in front of the network, of one batch."""
    n = len(batch.samples)
    frontends: dict[str, PathCounts] = {}
    digital = "audio" in learner.modalities and config.cost.audio_frontend == "digital"
    if digital and hearing is not None:
        frontends["frontend.audio.cochlea"] = hearing.counts(config.data.duration_ms, n)
    if not learner.spiking:
        for name, frames in learner.frames(batch.samples).items():
            n_events = sum(len(sample[name]) for sample in batch.samples)
            frontends[f"frontend.{name}.framing"] = framing_counts(
                n_events, frames.numel(), name, n
            )
    return OpCounts(frontends, n)


def framing_counts(n_events: int, n_cells: int, modality: str, n_samples: int) -> PathCounts:
    """Building frames: add, read and write per event; a table look-up per cell for the log."""
    reads, writes = n_events + n_cells, n_events + n_cells
    return PathCounts(
        effective_acs=n_events,
        spikes_routed=n_events,
        state_reads=reads,
        state_writes=writes,
        bytes_moved=4 * (reads + writes + n_events),
        state_words=n_cells // n_samples,
        kind="frontend",
        modality=modality,
    )


def _host_compute_ms(learner: Learner, data: PairedData, repeats: int) -> float:
    """Median host time of one sample, inputs prepared and model run at batch 1."""
    pairs = list(data.fixed_pairs["test"][: max(repeats, 3)])
    spent_ms: list[float] = []
    for batch in batches(data, "test", pairs, 1):
        started = time.perf_counter()
        with torch.no_grad():
            learner.anytime_scores(batch.samples, [learner.duration_ms])
        spent_ms.append((time.perf_counter() - started) * 1e3)
    return float(np.median(spent_ms[1:]))


def typical_sample(evaluation: Evaluation) -> int:
    """A rightly answered test sample of median decision time (the first one if none is right)."""
    right = np.flatnonzero(evaluation.labels == evaluation.predictions)
    if not len(right):
        return 0
    order = np.argsort(evaluation.evidence_ms[right], kind="stable")
    return int(right[order[len(order) // 2]])


def without_frontend(counts: OpCounts) -> OpCounts:
    """The network's own counts."""
    return replace(
        counts, by_path={k: v for k, v in counts.by_path.items() if v.kind != "frontend"}
    )
