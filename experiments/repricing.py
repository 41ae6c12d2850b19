"""Finished runs priced anew from their stored counts: another profile, or several runs as one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.records import RunRecord
from experiments.config import Config
from experiments.energy_comparison import compare_energy
from experiments.evaluate import sensor_names
from experiments.results import ENERGY_METRICS
from experiments.run import load_run_config
from spikefuse.cost.energy import energy, ratio
from spikefuse.cost.stored import counts_of
from spikefuse.errors import ConfigError
from spikefuse.opcounts import OpCounts

_FLOAT_COUNTS = "Counts are those of the float model, as stored."


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
        counts = {name: _stored(run, name, lacking[0]) for name in models}
        for name, entry in models.items():
            for profile in lacking:
                entry["energy"][profile] = _priced(counts[name], profile, entry, config)
        if {"snn", "dense"} <= set(models):
            sensors = sensor_names(tuple(models["snn"]["modalities"]), config.cost)
            ranges |= compare_energy(counts["snn"], counts["dense"], config, list(sensors.values()))
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
            config = _config_at(first, profiles)
            snn, dense = (
                OpCounts.concat(_stored(run, name, "") for run in runs) for name in ("snn", "dense")
            )
            sensors = sensor_names(tuple(result["models"]["snn"]["modalities"]), config.cost)
            result["energy_ranges"] = compare_energy(snn, dense, config, list(sensors.values()))
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


def _stored(run: RunRecord, model: str, profile: str) -> OpCounts:
    """A model's counts."""
    stored = run.result["models"][model]["counts"].get("exact")
    if stored is None:
        raise ConfigError(
            f"--profile must be one of the run's, got {profile!r}: {run.path} holds no counts that "
            "another could price (evaluate it again)"
        )
    return counts_of(stored)


def _priced(
    counts: OpCounts, profile: str, entry: Mapping[str, Any], config: Config
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
    estimate["assumptions"].append(_FLOAT_COUNTS)
    return estimate | {"precision": "fp32", "accuracy": entry["accuracy"]}
