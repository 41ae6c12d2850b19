"""A trained model on test pairs of which one modality never comes: accuracy, and energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from experiments.config import Config, CostConfig
from experiments.evaluation.evaluate import count_batch, sensor_names
from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.training.learners import Learner
from spikefuse.cost.energy import METRICS, energy
from spikefuse.objectives.modality_dropout import without
from spikefuse.opcounts import OpCounts


def accuracy_without(learner: Learner, data: PairedData, split: str, absent: str) -> float:
    """Accuracy of the final decisions on the fixed pairs with one modality's streams empty.

    Parameters
    ----------
    learner : Learner
    data : PairedData
    split : "validation" or "test"
    absent : str
        Modality whose streams are empty; "" for none.
    """
    pairs = data.fixed_pairs[split]
    learner.model.eval()
    correct = 0
    for batch in batches(data, split, pairs, 64):
        samples = [without(sample, [absent] if absent else []) for sample in batch.samples]
        with torch.no_grad():
            scores = learner.anytime_scores(samples, [learner.duration_ms])[-1]
        correct += int((scores.argmax(1) == batch.labels).sum())
    return correct / len(pairs)


def counts_without(learner: Learner, data: PairedData, config: Config, absent: str) -> OpCounts:
    """Counts on the test pairs with one modality's events absent, its front end still running."""
    counted: list[OpCounts] = []
    learner.model.eval()
    for batch in batches(data, "test", data.fixed_pairs["test"], 64):
        samples = [without(sample, [absent]) for sample in batch.samples]
        counted.append(count_batch(learner, replace(batch, samples=samples), config, data.hearing))
    return OpCounts.concat(counted)


def describe_missing(
    learners: Sequence[Learner], data: PairedData, config: Config
) -> dict[str, Any]:
    """Test accuracy and energy with each modality absent, by its name; nothing of one modality.

    Counts and energy are those of the first seed.

    Parameters
    ----------
    learners : sequence of Learner
        One model, trained with each seed.
    data : PairedData
    config : Config

    Returns
    -------
    dict of modality to dict
        ``accuracy``, ``accuracy_by_seed``, ``counts`` (mean accumulates and multiply-accumulates
        per sample) and ``energy``, see `energy_without`.
    """
    first = learners[0]
    if len(first.modalities) < 2:
        return {}
    described: dict[str, Any] = {}
    for name in first.modalities:
        by_seed = [accuracy_without(learner, data, "test", name) for learner in learners]
        counts = counts_without(first, data, config, name)
        described[name] = {
            "accuracy": sum(by_seed) / len(by_seed),
            "accuracy_by_seed": by_seed,
            "counts": {
                "effective_acs": counts.effective_acs,
                "effective_macs": counts.effective_macs,
            },
            "energy": energy_without(
                counts, config.cost, first.modalities, name, config.data.duration_ms * 1e-3
            ),
        }
    return described


def energy_without(
    counts: OpCounts,
    cost: CostConfig,
    modalities: tuple[str, ...],
    absent: str,
    window_s: float,
) -> dict[str, dict[str, Any]]:
    """Energy of samples without one modality's events, under every configured profile.

    Parameters
    ----------
    counts : OpCounts
        Of those samples.
    cost : CostConfig
    modalities : tuple of str
        Of the model.
    absent : str
    window_s : float

    Returns
    -------
    dict of profile to dict
        ``sensor_on`` and ``sensor_off``, each with ``dynamic_pj``, ``with_static_pj`` and
        ``with_sensors_pj`` (None where there is no price, ``reason`` says why). On: the absent
        modality's sensor draws its power and its front end works, on silence. Off: neither.
    """
    sensors = sensor_names(modalities, cost)
    front_ends = {
        path
        for path, found in counts.by_path.items()
        if found.kind == "frontend" and found.modality == absent
    }
    off = replace(counts, by_path={p: c for p, c in counts.by_path.items() if p not in front_ends})
    described: dict[str, dict[str, Any]] = {}
    for profile in cost.profiles:
        described[profile] = {}
        for key, counted, powered in (
            ("sensor_on", counts, sensors),
            ("sensor_off", off, {m: s for m, s in sensors.items() if m != absent}),
        ):
            estimate = energy(
                counted,
                profile,
                wall_time_s=window_s,
                sensors=list(powered.values()),
                reuse=cost.reuse,
                frontend_profile=cost.frontend_profile,
            )
            totals = {metric: getattr(estimate, metric) for metric in METRICS}
            if any(m not in sensors for m in modalities if m != absent or key == "sensor_on"):
                totals["with_sensors_pj"] = None  # a sensor that is not named has no power
            described[profile][key] = {**totals, "reason": estimate.reason}
    return described
