"""Several runs as one: the folds and speakers of a protocol, pooled over all their test samples."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.answers import clusters_of, modalities_of, right_by_sample
from analysis.energy_verdict import SEEDS_FOR_A_VERDICT
from analysis.naming import model_name
from analysis.records import RunRecord
from analysis.stats import accuracy_interval, cluster_interval
from spikefuse._types import FloatArray
from spikefuse.errors import DataError

Samples = tuple[FloatArray, list[list[str]]]
NON_INFERIORITY_MARGIN = 0.02
# What may differ between the folds of one recipe.
_FOLD_KEYS = ("fold", "test_speaker", "validation_speaker", "pairing_seed", "root", "test_root")


def runs_by_recipe(runs: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Runs whose configurations differ in nothing but name, seeds and fold, together."""
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        config = copy.deepcopy(run.config)
        for key in ("name", "seeds"):
            config.pop(key, None)
        for key in _FOLD_KEYS:
            config.get("data", {}).pop(key, None)
        groups.setdefault(json.dumps(config, sort_keys=True, default=str), []).append(run)
    return list(groups.values())


def pool_runs(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Accuracy of every model that all runs hold, and what the fused SNN gains on each other one.

    The groups of every modality (recordings, speakers) are the clusters, across runs: a speaker
    that tests in several runs is one cluster. Seeds are averaged per sample within a run and given
    as points, the mean over the runs that used them.

    Returns
    -------
    dict
        ``n_runs``, ``n_samples``, ``seeds``, ``models`` (accuracy, interval, accuracy_by_seed,
        mean dynamic energy by profile, median evidence time), ``differences`` (SNN minus the other,
        paired), ``sentences``.

    Raises
    ------
    DataError
        If a run has no ``predictions.csv``, or two models of a run differ in their test samples.
    """
    shared = [m for m in runs[0].result["models"] if all(m in r.result["models"] for r in runs)]
    samples = {model: pooled_samples(runs, model) for model in shared}
    pooled: dict[str, Any] = {
        "n_runs": len(runs),
        "n_samples": len(next(iter(samples.values()))[0]) if shared else 0,
        "seeds": sorted({int(seed) for run in runs for seed in run.result["seeds"]}),
        "models": {model: _describe(runs, model, samples[model]) for model in shared},
        "differences": [
            _difference(samples, other) for other in shared if "snn" in shared and other != "snn"
        ],
    }
    return {**pooled, "sentences": pooled_sentences(pooled)}


def pooled_sentences(pooled: Mapping[str, Any]) -> list[str]:
    """The comparison with the dense twin in words, with its margin, and what fusion gained."""
    lines: list[str] = []
    n_seeds = len(pooled["seeds"])
    if n_seeds < SEEDS_FOR_A_VERDICT:
        lines.append(
            f"No verdict: it needs {SEEDS_FOR_A_VERDICT} seeds, these runs have {n_seeds}."
        )
    for row in pooled["differences"]:
        low, high = row["interval"]
        text = (
            f"SNN fusion - {model_name(row['second'])}: {100 * row['difference']:+.1f} points, "
            f"paired 95 % interval [{100 * low:+.1f}, {100 * high:+.1f}]"
        )
        if row["second"] == "dense":
            text += (
                f": {_against_dense(low, high)} (margin {100 * NON_INFERIORITY_MARGIN:g} points)"
            )
        lines.append(f"{text}; {pooled['n_runs']} runs, {n_seeds} seeds.")
    return lines


def _against_dense(low: float, high: float) -> str:
    """What an interval of SNN minus dense says, beside the margin of non-inferiority."""
    if low > 0:
        return "the SNN is more accurate"
    if low >= -NON_INFERIORITY_MARGIN:
        return "the SNN is not inferior"
    if high >= 0:
        return "not told apart"
    if high >= -NON_INFERIORITY_MARGIN:
        return "the dense twin is more accurate, by how much is open"
    return "the SNN is inferior"


def pooled_samples(runs: Sequence[RunRecord], model: str) -> Samples:
    """Share of right answers of every test sample of every run, and its clusters by modality.

    A modality that a run does not have is one group there, named "".
    """
    right: list[float] = []
    tables = []
    for run in runs:
        if run.predictions is None:
            raise DataError(f"RUN must hold predictions.csv to be pooled, got none in {run.path}")
        tables.append(run.predictions)
    modalities = list(dict.fromkeys(m for table in tables for m in modalities_of(table)))
    clusters: list[list[str]] = [[] for _ in modalities]
    for table in tables:
        samples, values = right_by_sample(table, model)
        right += values.tolist()
        for names, found in zip(clusters, clusters_of(table, samples, modalities), strict=True):
            names += found
    return np.asarray(right), clusters


def _describe(runs: Sequence[RunRecord], model: str, samples: Samples) -> dict[str, Any]:
    """One model over all runs."""
    by_seed: dict[int, list[float]] = {}
    entries = [run.result["models"][model] for run in runs]
    for run, entry in zip(runs, entries, strict=True):
        for seed, accuracy in zip(run.result["seeds"], entry["accuracy_by_seed"], strict=True):
            by_seed.setdefault(int(seed), []).append(accuracy)
    right, clusters = samples
    profiles = [p for p in entries[0]["energy"] if all(p in e["energy"] for e in entries)]
    dynamic = {p: [e["energy"][p]["dynamic_pj"] for e in entries] for p in profiles}
    return {
        "accuracy": float(np.mean(right)),
        "interval": list(accuracy_interval(right, clusters)),
        "accuracy_by_seed": {str(s): float(np.mean(by_seed[s])) for s in sorted(by_seed)},
        "dynamic_pj": {
            p: None if None in values else float(np.mean(values)) for p, values in dynamic.items()
        },
        "evidence_ms": float(np.median([e["latency"]["evidence_ms"] for e in entries])),
    }


def _difference(samples: Mapping[str, Samples], other: str) -> dict[str, Any]:
    """SNN minus another model, paired by sample."""
    right, clusters = samples["snn"]
    others, other_clusters = samples[other]
    if clusters != other_clusters:
        raise DataError(
            f"predictions of snn and {other} must be of the same samples to be compared, got "
            f"{len(right)} and {len(others)} that differ"
        )
    interval = cluster_interval(right - others, clusters, np.random.default_rng(0))
    return {
        "first": "snn",
        "second": other,
        "difference": float(np.mean(right - others)),
        "interval": list(interval),
    }
