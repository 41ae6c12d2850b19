"""result.json: everything a run found, in one versioned file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import spikefuse
from analysis.calibration import at_temperature, describe_calibration
from analysis.stats import accuracy_interval
from experiments.config import Config
from experiments.evaluation.energy_comparison import compare_energy
from experiments.evaluation.equal_accuracy import energies_at_equal_accuracy
from experiments.evaluation.evaluate import (
    Evaluation,
    describe_energy,
    describe_latency,
    priced,
    sensor_names,
)
from experiments.evaluation.latency import add_latency
from experiments.evaluation.precision import FLOAT, AtPrecision
from experiments.evaluation.scores import FinalScores
from experiments.evaluation.system_energy import System, add_to
from experiments.evaluation.timeline import Traced
from experiments.loading.data import PairedData
from experiments.training.learners import Learner
from spikefuse.cost.energy import ratio
from spikefuse.cost.stored import stored_counts
from spikefuse.opcounts import COUNT_FIELDS, OpCounts

SCHEMA = 1
ENERGY_METRICS = ("dynamic_pj", "with_static_pj", "with_sensors_pj")


def build_result(
    config: Config,
    data: PairedData,
    learners: Mapping[str, Learner],
    evaluations: Mapping[str, Sequence[Evaluation]],
    validation: Mapping[str, Sequence[FinalScores]],
    environment: Mapping[str, Any],
    traced: Mapping[str, Sequence[Traced]] | None = None,
) -> dict[str, Any]:
    """The content of ``result.json``.

    Parameters
    ----------
    config : Config
    data : PairedData
    learners : mapping of model name to one of its trained models
    evaluations : mapping of model name to one Evaluation per seed
    validation : mapping of model name to its validation scores per seed
    environment : mapping
    traced : mapping of model name to one Traced per seed, optional
        Without it there is no latency by profile, no energy by time and no exit.
    """
    models = {
        name: describe_model(
            learners[name], evaluations[name], validation[name], config, data, environment
        )
        for name in evaluations
    }
    for name, of_seeds in (traced or {}).items():
        add_latency(models[name], learners[name], of_seeds, config)
    comparison = _compare(models, chance=1 / len(data.classes))
    same = comparison.get("at_equal_accuracy", {})
    if {"snn", "dense"} <= set(traced or {}) and "reason" not in same:
        sensors = list(sensor_names(learners["snn"].modalities, config.cost).values())
        same["energy"] = energies_at_equal_accuracy(traced or {}, config, sensors)
    return {
        "schema": SCHEMA,
        "name": config.name,
        "spikefuse_version": spikefuse.__version__,
        "seeds": list(config.seeds),
        "data": _describe_data(config, data),
        "models": models,
        "comparison": comparison,
        "ratios": _ratios(models, comparison, config),
        "energy_ranges": _energy_ranges(learners, evaluations, config),
        "environment": dict(environment),
    }


def describe_model(
    learner: Learner,
    evaluations: Sequence[Evaluation],
    validation: Sequence[FinalScores],
    config: Config,
    data: PairedData,
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """One model's entry; counts, energy and latency are those of all seeds together."""
    by_seed = [e.accuracy for e in evaluations]
    counts = OpCounts.concat(e.counts for e in evaluations)
    pooled = _pooled(evaluations, counts)
    by_precision = _describe_precisions(evaluations, data)
    estimates = describe_energy(learner, pooled, config)
    for estimate in estimates.values():
        at = by_precision[estimate["precision"]]
        estimate |= {"accuracy": at["accuracy"], "accuracy_interval": at["interval"]}
    return {
        "kind": learner.kind,
        "modalities": list(learner.modalities),
        "accuracy": float(np.mean(by_seed)),
        "accuracy_by_seed": by_seed,
        "accuracy_interval": _interval(evaluations, data),
        "accuracy_by_precision": by_precision,
        "val_accuracy": float(np.mean([scores.accuracy for scores in validation])),
        "calibration": _describe_calibration(evaluations, validation),
        "params": sum(p.numel() for p in learner.model.parameters()),
        "counts": {
            "total": {name: getattr(counts, name) for name in COUNT_FIELDS},
            "by_path": counts.per_sample(),
            "exact": stored_counts(counts),
            "exact_at": {
                name: stored_counts(at.counts)
                for name, at in pooled.by_precision.items()
                if at.counts is not None
            },
        },
        "energy": add_to(
            estimates, lambda profile: system_of(learner, priced(pooled, profile)[1], config)
        ),
        "latency": describe_latency(learner, pooled, int(environment["threads"])),
        "anytime": {
            "time_ms": pooled.times_ms.tolist(),
            "accuracy": pooled.accuracy_by_time.tolist(),
        },
    }


def system_of(learner: Learner, counts: OpCounts, config: Config) -> System:
    """A model with its sensors and its window."""
    return System(
        counts,
        config.cost,
        tuple(sensor_names(learner.modalities, config.cost).values()),
        config.data.duration_ms * 1e-3,
        learner.n_steps if learner.spiking else None,
    )


def _describe_precisions(
    evaluations: Sequence[Evaluation], data: PairedData
) -> dict[str, dict[str, Any]]:
    """Accuracy in float and in whole numbers; None with the reason where a model has no twin."""
    found: dict[str, dict[str, Any]] = {}
    for name in (FLOAT, *evaluations[0].by_precision):
        at = list(evaluations) if name == FLOAT else [_answering(e, name) for e in evaluations]
        known = [e for e in at if e is not None]
        if len(known) < len(at):
            reason = evaluations[0].by_precision[name].reason
            found[name] = {"accuracy": None, "by_seed": None, "interval": None, "reason": reason}
            continue
        by_seed = [e.accuracy for e in known]
        found[name] = {
            "accuracy": float(np.mean(by_seed)),
            "by_seed": by_seed,
            "interval": _interval(known, data),
        }
    return found


def _answering(evaluation: Evaluation, precision: str) -> Evaluation | None:
    """The evaluation with the answers in whole numbers; None if there are none."""
    predictions = evaluation.by_precision[precision].predictions
    return None if predictions is None else replace(evaluation, predictions=predictions)


def _describe_calibration(
    evaluations: Sequence[Evaluation], validation: Sequence[FinalScores]
) -> dict[str, Any]:
    """Scores of the stated probabilities, mean over seeds, at temperature 1 and at the fitted one.

    The temperature of each seed is fitted on the validation pairs and used on the test pairs.
    """
    temperatures = [scores.temperature for scores in validation]
    described: dict[str, Any] = {
        "temperature": float(np.exp(np.mean(np.log(temperatures)))),
        "temperature_by_seed": temperatures,
    }
    for key, used in (("before", [1.0] * len(temperatures)), ("after", temperatures)):
        by_seed = [
            describe_calibration(at_temperature(e.scores.log_probs, t), e.scores.labels)
            for e, t in zip(evaluations, used, strict=True)
        ]
        described[key] = {
            name: float(np.mean([found[name] for found in by_seed])) for name in by_seed[0]
        }
    return described


def _pooled(evaluations: Sequence[Evaluation], counts: OpCounts) -> Evaluation:
    """All seeds' evaluations as one."""
    return Evaluation(
        np.concatenate([e.labels for e in evaluations]),
        np.concatenate([e.predictions for e in evaluations]),
        np.concatenate([e.evidence_ms for e in evaluations]),
        evaluations[0].times_ms,
        np.mean([e.accuracy_by_time for e in evaluations], axis=0),
        np.concatenate([e.answers for e in evaluations], axis=1),
        counts,
        FinalScores(
            np.concatenate([e.scores.log_probs for e in evaluations]),
            np.concatenate([e.labels for e in evaluations]),
        ),
        float(np.median([e.compute_ms for e in evaluations])),
        {name: _pooled_at(evaluations, name) for name in evaluations[0].by_precision},
    )


def _pooled_at(evaluations: Sequence[Evaluation], precision: str) -> AtPrecision:
    """All seeds' counts at a precision as one."""
    counts = [e.by_precision[precision].counts for e in evaluations]
    known = [c for c in counts if c is not None]
    if len(known) < len(counts):
        return evaluations[0].by_precision[precision]
    return AtPrecision(counts=OpCounts.concat(known))


def _interval(evaluations: Sequence[Evaluation], data: PairedData) -> list[float]:
    """95 % interval of the accuracy over the groups of each modality, seeds averaged first."""
    correct = np.mean([e.labels == e.predictions for e in evaluations], axis=0)
    return list(accuracy_interval(correct, list(groups(data).values())))


def groups(data: PairedData) -> dict[str, list[str]]:
    """Group of every test pair by modality; one empty name where vision or audio is absent."""
    parts = data.splits["test"]
    pairs = data.fixed_pairs["test"]
    found = {
        name: [parts[name][p[column]].group for p in pairs] for column, name in enumerate(parts)
    }
    absent = [""] * len(pairs)
    return {"vision": absent, "audio": absent, **found}


def _describe_data(config: Config, data: PairedData) -> dict[str, Any]:
    """Counts, provenance and what to know about the pairing."""
    splits = {
        split: {
            name: {
                "recordings": len(items),
                "groups": len({r.group for r in items}),
                "mean_events": float(np.mean([len(r.stream) for r in items])),
            }
            for name, items in parts.items()
        }
        for split, parts in data.splits.items()
    }
    return {
        "name": config.data.source,
        "synthetic_speech": data.synthetic_speech,
        "n_classes": len(data.classes),
        "classes": list(data.classes),
        "n_train": len(next(iter(data.splits["train"].values()))),
        "n_validation": len(data.fixed_pairs["validation"]),
        "n_test": len(data.fixed_pairs["test"]),
        "counts": splits,
        "manifest_sha256": data.manifest["sha256"],
        "duration_ms": config.data.duration_ms,
        "dt_ms": config.data.dt_ms,
        "notes": list(data.notes),
        "attribution": list(data.attribution),
        **(
            {}
            if data.scene is None
            else {"scene": data.scene["name"], "ideal": data.scene["ideal"]}
        ),
    }


def _ratios(
    models: Mapping[str, Any], comparison: Mapping[str, Any], config: Config
) -> dict[str, Any]:
    """dense / snn of energies, and of evidence time at equal accuracy; None where unknown."""
    if "dense" not in models or "snn" not in models:
        return {}
    dense, snn = models["dense"], models["snn"]
    ratios: dict[str, Any] = {
        metric: {
            profile: ratio(dense["energy"][profile][metric], snn["energy"][profile][metric])
            for profile in config.cost.profiles
        }
        for metric in ENERGY_METRICS
    }
    # Latency is compared at equal accuracy only.
    same = comparison["at_equal_accuracy"]
    ratios["evidence_ms_at_equal_accuracy"] = {
        "stimulus_time": ratio(same["dense_ms"], same["snn_ms"])
    }
    return ratios


def _energy_ranges(
    learners: Mapping[str, Learner],
    evaluations: Mapping[str, Sequence[Evaluation]],
    config: Config,
) -> dict[str, Any]:
    """Ranges and break-even of dense against spiking energy; empty without both models."""
    if "dense" not in evaluations or "snn" not in evaluations:
        return {}
    sensors = list(sensor_names(learners["snn"].modalities, config.cost).values())
    found: dict[str, Any] = {}
    for profile in config.cost.profiles:
        snn, dense = (
            OpCounts.concat(priced(e, profile)[1] for e in evaluations[name])
            for name in ("snn", "dense")
        )
        alone = replace(config, cost=replace(config.cost, profiles=(profile,)))
        found |= compare_energy(snn, dense, alone, sensors)
    return found


def _compare(models: Mapping[str, Any], chance: float) -> dict[str, Any]:
    """Latency at equal accuracy, and whether fusion beat each modality alone, seed by seed."""
    comparison: dict[str, Any] = {}
    if "dense" in models and "snn" in models:
        guessing = [n for n in ("snn", "dense") if models[n]["accuracy_interval"][0] <= chance]
        comparison["at_equal_accuracy"] = (
            none_above_chance(guessing, chance)
            if guessing
            else at_equal_accuracy(models["snn"]["anytime"], models["dense"]["anytime"])
        )
    alone = [name for name in models if name.startswith("snn_") and name != "snn_late"]
    if "snn" in models and alone:
        fused = models["snn"]["accuracy_by_seed"]
        best = np.max([models[name]["accuracy_by_seed"] for name in alone], axis=0)
        comparison["fused_beats_unimodal"] = {
            "by_seed": [bool(f > b) for f, b in zip(fused, best, strict=True)],
            "margin_by_seed": [float(f - b) for f, b in zip(fused, best, strict=True)],
        }
    return comparison


def at_equal_accuracy(snn: Mapping[str, Any], dense: Mapping[str, Any]) -> dict[str, Any]:
    """Stimulus time each side needs for the same accuracy: the lower of the two best.

    Interpolated between each side's own measured times, never extrapolated.
    """
    target = min(max(snn["accuracy"]), max(dense["accuracy"]))
    return {
        "accuracy": target,
        "snn_ms": time_to_accuracy(snn, target),
        "dense_ms": time_to_accuracy(dense, target),
        "note": "evidence time in the stimulus, without compute; the target is the lower of the "
        "two best accuracies on the test pairs",
    }


def none_above_chance(guessing: Sequence[str], chance: float) -> dict[str, Any]:
    """`at_equal_accuracy` where a model may be guessing: a guess costs nothing, so nothing is said.

    Parameters
    ----------
    guessing : sequence of str
        Models whose interval of accuracy reaches down to chance.
    chance : float
    """
    named = " and ".join({"snn": "the SNN", "dense": "the dense twin"}[name] for name in guessing)
    return {
        "accuracy": None,
        "snn_ms": None,
        "dense_ms": None,
        "reason": f"{named} may be at chance ({chance:.3g}): its interval reaches that far down",
    }


def time_to_accuracy(curve: Mapping[str, Any], target: float) -> float | None:
    """First time at which a curve reaches the target, linear between points; None if never."""
    times, values = curve["time_ms"], curve["accuracy"]
    for i, value in enumerate(values):
        if value >= target:
            if i == 0 or value == values[i - 1]:
                return float(times[i])
            share = (target - values[i - 1]) / (value - values[i - 1])
            return float(times[i - 1] + share * (times[i] - times[i - 1]))
    return None
