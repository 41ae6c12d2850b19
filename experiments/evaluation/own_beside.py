"""A network of one's own beside SNN and dense twin at one accuracy: time, and energy in ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.config import Config
from experiments.evaluation.equal_accuracy import Answers, compare_at_accuracy
from experiments.evaluation.results import time_to_accuracy
from experiments.evaluation.timeline import Timeline, Traced, pooled, trace
from experiments.loading.data import PairedData
from experiments.training.trained import trained_learner
from spikefuse.errors import DataError

OTHERS = ("snn", "dense")


def traced_again(run: Path, name: str, config: Config, data: PairedData) -> list[Traced] | str:
    """A model of a run answer by answer, from its checkpoints; or why it cannot be opened."""
    if config.train.aware_epochs:
        return "its models were trained behind the rounding, and are not opened again"
    try:
        learners = [trained_learner(run, config, data, name, seed) for seed in config.seeds]
    except DataError as error:
        return str(error)
    return [trace(learner, data, config, s) for s, learner in enumerate(learners)]


def describe_beside(
    own: Sequence[Traced],
    others: Mapping[str, Sequence[Traced] | str],
    entries: Mapping[str, Mapping[str, Any]],
    name: str,
    config: Config,
    chance: float,
) -> dict[str, dict[str, Any]]:
    """What one accuracy costs a network in time and energy, over what it costs others.

    Parameters
    ----------
    own : sequence of Traced
        One per seed.
    others : mapping of model name to one Traced per seed, or to why there is none
    entries : mapping of model name to its part of ``result.json``
        Of all of them.
    name : str
        Of the network.
    config : Config
    chance : float

    Returns
    -------
    dict of model name to dict
        ``accuracy`` (the lower of the two final ones), ``own_ms`` and ``other_ms`` of stimulus, and
        ``energy`` by profile and reuse: ``nominal``, ``median``, ``low`` and ``high`` (5 and 95 %)
        of own / other over draws of the constants, ``share_other_needs_less`` and ``n_draws``, or
        ``reason``. Or ``reason`` alone.
    """
    found: dict[str, dict[str, Any]] = {}
    mine = pooled([t.test for t in own])
    for other, traced in others.items():
        guessing = [n for n in (name, other) if entries[n]["accuracy_interval"][0] <= chance]
        if guessing:
            found[other] = {"reason": f"{' and '.join(guessing)} may be at chance"}
            continue
        if isinstance(traced, str):
            found[other] = {"reason": traced}
            continue
        theirs = pooled([t.test for t in traced])
        curves = [_curve(timeline) for timeline in (mine, theirs)]
        target = min(curve["accuracy"][-1] for curve in curves)
        own_ms, other_ms = (time_to_accuracy(curve, target) for curve in curves)
        found[other] = {
            "accuracy": target,
            "own_ms": own_ms,
            "other_ms": other_ms,
            "energy": {p: _ranges(mine, theirs, p, target, config) for p in config.cost.profiles},
        }
    return found


def _curve(timeline: Timeline) -> dict[str, list[float]]:
    """Accuracy of the answer at each time."""
    right = timeline.answers == timeline.labels
    return {"time_ms": timeline.times_ms.tolist(), "accuracy": right.mean(axis=1).tolist()}


def _ranges(
    own: Timeline, other: Timeline, profile: str, target: float, config: Config
) -> dict[str, dict[str, Any]]:
    """Own / other of every reuse, dynamic energy, constants drawn; or why there is none."""
    first, second = (
        Answers(_curve(timeline)["accuracy"], timeline.charges[profile].counts)
        for timeline in (other, own)
    )
    reasons = [timeline.charges[profile].reason for timeline in (own, other)]
    why = next((reason for reason in reasons if reason is not None), None)
    if why is not None or not (first.counts and second.counts):
        return {"any": {"reason": why or "operations over time were not counted"}}
    alone = replace(config, cost=replace(config.cost, profiles=(profile,)))
    described: dict[str, dict[str, Any]] = {}
    for reuse, entry in compare_at_accuracy(first, second, alone, [], target)[profile].items():
        if "reason" in entry:
            described[reuse] = {"reason": entry["reason"]}
            continue
        spread = entry["dynamic"]
        described[reuse] = {key: spread[key] for key in ("nominal", "median", "low", "high")} | {
            "share_other_needs_less": spread["share_snn_wins"],
            "n_draws": spread["n_draws"],
        }
    return described
