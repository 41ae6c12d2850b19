"""Finished runs priced anew from their stored counts: another profile, or several runs as one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.records import RunRecord
from experiments.config import Config
from experiments.evaluation.energy_comparison import compare_energy
from experiments.evaluation.evaluate import sensor_names
from experiments.evaluation.precision import FLOAT, aware_in, precision_of
from experiments.evaluation.results import ENERGY_METRICS
from experiments.run import load_run_config
from spikefuse.cost.energy import energy, ratio
from spikefuse.cost.stored import counts_of
from spikefuse.errors import ConfigError
from spikefuse.opcounts import OpCounts

_FLOAT_COUNTS = "Counts and accuracy are those of the float model: no others are stored."


def with_profiles(run: RunRecord, profiles: Sequence[str]) -> RunRecord:
    """The run with these profiles only, in this order; those that it lacks are priced now.

    Raises
    ------
    ConfigError
        If a profile is not in the run, and the run holds no counts to price.
    """
    result = copy.deepcopy(run.result)
    models = result["models"]
    known = list(next(iter(models.values()))["energy"]) if models else []
    lacking = [profile for profile in profiles if profile not in known]
    ranges = result.setdefault("energy_ranges", {})
    if lacking:
        config = _config_at(run, lacking)
        for name, entry in models.items():
            for profile in lacking:
                at, counts = _stored(run, name, profile)
                entry["energy"][profile] = _priced(counts, at, profile, entry, config)
        if {"snn", "dense"} <= set(models):
            ranges |= _ranges([run], config)
    for entry in models.values():
        entry["energy"] = {profile: entry["energy"][profile] for profile in profiles}
    result["energy_ranges"] = {p: ranges[p] for p in profiles if p in ranges}
    if {"snn", "dense"} <= set(models):
        for metric in ENERGY_METRICS:
            result["ratios"][metric] = _ratios(models, profiles, metric)
    return replace(run, result=result)


def as_one(runs: Sequence[RunRecord], pooled: Mapping[str, Any]) -> RunRecord:
    """Folds of one recipe as one run: pooled accuracies, and energies from all their counts.

    Energy ranges need stored counts in every run; without them none are given.

    Parameters
    ----------
    runs : sequence of RunRecord
    pooled : mapping
        From `analysis.pooled.pool_runs`.
    """
    first = runs[0]
    result = copy.deepcopy(first.result)
    names = list(pooled["models"])
    profiles = list(next(iter(result["models"].values()))["energy"]) if names else []
    result["seeds"] = list(pooled["seeds"])
    result["models"] = {
        name: result["models"][name] | {"accuracy": pooled["models"][name]["accuracy"]}
        for name in names
    }
    result["comparison"], result["energy_ranges"] = {}, {}
    for name, entry in result["models"].items():
        for profile, estimate in entry["energy"].items():
            estimate.pop("accuracy", None)  # of the first run alone
            for metric in ENERGY_METRICS:
                found = [r.result["models"][name]["energy"][profile][metric] for r in runs]
                estimate[metric] = None if None in found else sum(found) / len(found)
    if {"snn", "dense"} <= set(names):
        for metric in ENERGY_METRICS:
            result["ratios"][metric] = _ratios(result["models"], profiles, metric)
        if all("exact" in r.result["models"][n]["counts"] for r in runs for n in ("snn", "dense")):
            result["energy_ranges"] = _ranges(runs, _config_at(first, profiles))
    return replace(first, result=result, predictions=None, answers=None)


def _ratios(
    models: Mapping[str, Any], profiles: Sequence[str], metric: str
) -> dict[str, float | None]:
    """Dense / SNN of one total."""
    dense, snn = models["dense"]["energy"], models["snn"]["energy"]
    return {p: ratio(dense[p][metric], snn[p][metric]) for p in profiles}


def _config_at(run: RunRecord, profiles: Sequence[str]) -> Config:
    """The run's configuration with other profiles."""
    config = load_run_config(run.path)
    return replace(config, cost=replace(config.cost, profiles=tuple(profiles)))


def _ranges(runs: Sequence[RunRecord], config: Config) -> dict[str, Any]:
    """Energy ranges of every profile from the counts of all runs."""
    sensors = sensor_names(tuple(runs[0].result["models"]["snn"]["modalities"]), config.cost)
    found: dict[str, Any] = {}
    for profile in config.cost.profiles:
        snn, dense = (
            OpCounts.concat(_stored(run, name, profile)[1] for run in runs)
            for name in ("snn", "dense")
        )
        alone = replace(config, cost=replace(config.cost, profiles=(profile,)))
        found |= compare_energy(snn, dense, alone, list(sensors.values()))
    return found


def _stored(run: RunRecord, model: str, profile: str) -> tuple[str, OpCounts]:
    """A model's counts at the precision that a profile prices, or in float where it has none."""
    counts = run.result["models"][model]["counts"]
    name = precision_of(profile)[0]
    held = counts.get("exact_at", {})
    for at in (aware_in(held), name) if name == "int8" else (name,):
        if at is not None and at in held:
            return at, counts_of(counts["exact_at"][at])
    stored = counts.get("exact")
    if stored is None:
        raise ConfigError(
            f"--profile must be one of the run's, got {profile!r}: {run.path} holds no counts that "
            "another could price (evaluate it again)"
        )
    return FLOAT, counts_of(stored)


def _priced(
    counts: OpCounts, at: str, profile: str, entry: Mapping[str, Any], config: Config
) -> dict[str, Any]:
    """A model's estimate on a further profile."""
    sensors = sensor_names(tuple(entry["modalities"]), config.cost)
    estimate = energy(
        counts,
        profile,
        wall_time_s=config.data.duration_ms * 1e-3,
        sensors=list(sensors.values()),
        reuse=config.cost.reuse,
        frontend_profile=config.cost.frontend_profile,
    ).to_dict()
    if at == FLOAT != precision_of(profile)[0]:
        estimate["assumptions"].append(_FLOAT_COUNTS)
    by_precision = entry.get("accuracy_by_precision", {})
    accuracy = entry["accuracy"] if at == FLOAT else by_precision[at]["accuracy"]
    return estimate | {"precision": at, "accuracy": accuracy}
