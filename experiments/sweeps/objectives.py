"""What a search judges a trained model by, all of it on the validation pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.config import Config
from experiments.evaluation.evaluate import answers_of
from experiments.evaluation.exit_front import TOLERANCE
from experiments.evaluation.precision import at_precision, precision_of
from experiments.evaluation.scores import bounded_temperature
from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.training.learners import Learner
from experiments.training.trained import trained_learner
from spikefuse.cost import energy
from spikefuse.cost.exits import cheapest_within, exits
from spikefuse.errors import ConfigError

SPLIT = "validation"


def describe_validation(
    folder: Path, config: Config, data: PairedData, model: str, profile: str
) -> dict[str, Any]:
    r"""Accuracy, energy and latency of a trained model, means over its seeds.

    Parameters
    ----------
    folder : Path
        Run directory, trained.
    config : Config
        Of the run.
    data : PairedData
        Of the run; only its validation pairs are read.
    model : str
    profile : str
        Prices the operations of the whole sample, front ends included, at the precision that it
        is of; the accuracy is at that precision too.

    Returns
    -------
    dict
        ``accuracy``, share of right answers after the whole sample; ``energy_pj``, dynamic, per
        sample, modelled (None with a ``reason`` where the profile has no price); ``latency_ms``,
        mean time in the stimulus after which the float model leaves at the confidence that costs at
        most a point of accuracy.
    """
    found = [
        _of_seed(trained_learner(folder, config, data, model, seed), config, data, profile, seed)
        for seed in config.seeds
    ]
    reason = next((f["reason"] for f in found if f["reason"] is not None), None)
    means = {
        name: None
        if any(f[name] is None for f in found)
        else float(np.mean([f[name] for f in found]))
        for name in ("accuracy", "energy_pj", "latency_ms")
    }
    return {"model": model, "profile": profile, "split": SPLIT, "reason": reason, **means}


def _of_seed(
    learner: Learner, config: Config, data: PairedData, profile: str, seed: int
) -> dict[str, Any]:
    """The figures of one seed."""
    form = precision_of(profile)[1]
    charged = learner
    if form is not None:
        try:
            charged = at_precision(learner, form, data, seed)
        except ConfigError:  # no whole-number twin: what a run charges then, too
            charged = learner
    at = answers_of(charged, data, config, SPLIT)
    times_ms, scores, labels = _answers(learner, config, data)
    if at.counts is None or at.predictions is None:
        raise ValueError(f"{learner.name} must have answers and counts, got none")
    cost = config.cost
    price = energy(at.counts, profile, reuse=cost.reuse, frontend_profile=cost.frontend_profile)
    last = torch.from_numpy(scores[-1]).double()
    leaving = exits(scores, labels, bounded_temperature(last, torch.from_numpy(labels)))
    chosen = cheapest_within(leaving, float(leaving.right[-1].mean()), TOLERANCE)
    return {
        "accuracy": float((at.predictions == labels).mean()),
        "energy_pj": price.dynamic_pj,
        "reason": price.reason,
        "latency_ms": float(times_ms[leaving.index[chosen]].mean()),
    }


def _answers(learner: Learner, config: Config, data: PairedData) -> tuple[Any, Any, Any]:
    """Times [K], class scores [K, n, C] and labels [n]."""
    times_ms = learner.anytime_ms(config.cost.windows_ms)
    scores, labels = [], []
    with torch.no_grad():
        for batch in batches(data, SPLIT, data.fixed_pairs[SPLIT], 64):
            scores.append(learner.anytime_scores(batch.samples, times_ms).float())
            labels.append(batch.labels)
    return np.asarray(times_ms), torch.cat(scores, dim=1).numpy(), torch.cat(labels).numpy()
