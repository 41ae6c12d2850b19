"""The stress suite of a run directory: frozen models, changed test inputs, ``stress.json``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.config import Config
from experiments.evaluation.evaluate import sensor_names
from experiments.evaluation.foreign import foreign_learners
from experiments.evaluation.missing import energy_without
from experiments.files import write_json
from experiments.loading.data import load_data
from experiments.run import Reporter, load_run_config
from experiments.stress.conditions import FAMILIES, INCONGRUENT_DROP, Condition
from experiments.stress.result import measures
from experiments.stress.rows import N_DRAWS, Means, means_of, right
from experiments.stress.run import Response, Stressed, load_learners, run_conditions
from experiments.training.foreign import Foreign
from experiments.training.learners import Learner
from spikefuse.cost import energy
from spikefuse.errors import ConfigError

SCHEMA = 2
FILE = "stress.json"


def run_stress(
    folder: Path,
    reporter: Reporter,
    models: Sequence[str] = (),
    only: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    own: Foreign | None = None,
) -> dict[str, Any]:
    """Test the trained models of a run under stress and write ``stress.json``.

    Parameters
    ----------
    folder : Path
        A run directory whose training has ended.
    reporter : Reporter
    models : sequence of str
        Of the run; all by default.
    only : sequence of str
        Families of measures; all by default.
    limit : int, optional
        Test pairs, the first ones; all by default.
    seed : int
        Of the changes to the inputs, and of the bootstrap.
    own : Foreign, optional
        A network of one's own beside the models.

    Returns
    -------
    dict
        The content of ``stress.json``; docs/stress.md says what it holds.

    Raises
    ------
    ConfigError
        If a family or a model is not there, or ``limit`` is below 1.
    DataError
        If a model is not trained.
    """
    families = families_of(only)
    config = load_run_config(folder)
    chosen = [Chosen(folder, name) for name in models or config.models]
    started = time.perf_counter()
    tested = run_models(chosen, reporter, families, limit, seed, own)
    reporter.stage("intervals")
    found = describe(tested.stressed, config, families, tested.n_classes, seed)
    found |= tested.facts
    found["seconds"] = round(time.perf_counter() - started, 1)
    write_json(folder / FILE, found)
    return found


@dataclass(frozen=True)
class Chosen:
    """A model of a run directory, and what the suite calls it (its name in the run if empty)."""

    run: Path
    model: str
    called: str = ""


@dataclass(frozen=True)
class Suite:
    """What models answered, and facts of the data for ``stress.json``."""

    stressed: Stressed
    config: Config
    n_classes: int
    facts: Mapping[str, Any]


def run_models(
    chosen: Sequence[Chosen],
    reporter: Reporter,
    families: Sequence[str],
    limit: int | None = None,
    seed: int = 0,
    network: Foreign | None = None,
) -> Suite:
    """Models of one run, or of several runs on the same data, under every condition.

    A ``network`` of one's own joins those of the first run.

    Raises
    ------
    ConfigError
        If ``limit`` is below 1, a model is not of its run, or runs differ in data or prices.
    DataError
        If a model is not trained.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit must be at least 1, got {limit}")
    configs = {item.run: load_run_config(item.run) for item in chosen}
    config = configs[chosen[0].run]
    for item in chosen:
        own = configs[item.run]
        if item.model not in own.models:
            raise ConfigError(f"--models must be of {list(own.models)}, got {item.model!r}")
        if (own.data, own.cost) != (config.data, config.cost):
            raise ConfigError(
                f"runs of one suite must have the same [data] and [cost], got others in {item.run}"
            )
    torch.set_num_threads(config.train.threads)
    reporter.stage(f"data: {config.data.source}")
    data = load_data(config.data, lambda done, total: reporter.progress(done, total, "encoding"))
    learners: dict[str, list[Learner]] = {
        item.called or item.model: load_learners(item.run, configs[item.run], data, item.model)
        for item in chosen
    }
    if network is not None:
        if network.name in learners:
            raise ConfigError(f"--name must not be one of {list(learners)}, got {network.name!r}")
        learners[network.name] = [*foreign_learners(chosen[0].run, network, config, data)]
    reporter.stage("stress")
    stressed = run_conditions(learners, data, config, families, seed, limit, reporter.progress)
    facts = {
        "of_test_pairs": len(data.fixed_pairs["test"]),
        "synthetic_speech": data.synthetic_speech,
    }
    return Suite(stressed, config, len(data.classes), facts)


def describe(
    tested: Stressed, config: Config, families: Sequence[str], n_classes: int, seed: int
) -> dict[str, Any]:
    """Conditions with what they cost, and measures, of what was tested."""
    means = means_of(tested, seed)
    several = any(len(found) > 1 for found in tested.learners.values())
    measured = measures(tested, means, families, n_classes)
    return {
        "schema": SCHEMA,
        "name": config.name,
        "seed": seed,
        "seeds": list(config.seeds),
        "n_pairs": len(tested.labels),
        "n_classes": n_classes,
        "families": list(families),
        "interval": f"95 %, {N_DRAWS} draws of the groups of every modality"
        + (" and of the seeds" if several else ""),
        "models": {
            name: {
                "kind": found[0].kind,
                "modalities": list(found[0].modalities),
            }
            for name, found in tested.learners.items()
        },
        "notes": _notes(tested, any("consistency" in found for found in measured.values())),
        "conditions": {
            name: {
                "touched": list(condition.touched),
                "models": {
                    model: _described(tested, means[model], model, condition, config)
                    for model, found in tested.learners.items()
                    if _touches(condition, found[0])
                },
            }
            for name, condition in tested.conditions.items()
        },
        "measures": measured,
    }


def families_of(only: Sequence[str]) -> tuple[str, ...]:
    """The named families in the suite's order."""
    unknown = [name for name in only if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"--only must be of {', '.join(FAMILIES)}, got {unknown[0]!r}")
    return tuple(name for name in FAMILIES if not only or name in only)


def _touches(condition: Condition, learner: Learner) -> bool:
    """Whether a condition changes what a model reads; the clean one is everyone's."""
    return not condition.touched or bool(set(condition.touched) & set(learner.modalities))


def _described(
    tested: Stressed, means: Means, model: str, condition: Condition, config: Config
) -> dict[str, Any]:
    """Accuracy, evidence time, operations and energy of one model under one condition."""
    response: Response = tested.responses[model][condition.name]
    learner = tested.learners[model][0]
    correct = response.final == tested.labels
    evidence = response.evidence_ms
    return {
        "accuracy": means.mean(right(condition.name)),
        "accuracy_by_seed": correct.mean(axis=1).tolist(),
        "evidence_p50_ms": float(np.percentile(evidence, 50)),
        "evidence_p95_ms": float(np.percentile(evidence, 95)),
        "counts": {
            "effective_acs": response.counts.effective_acs,
            "effective_macs": response.counts.effective_macs,
        },
        "energy": _energy(response, learner, condition, config),
    }


def _energy(
    response: Response, learner: Learner, condition: Condition, config: Config
) -> dict[str, dict[str, Any]]:
    """Modelled energy under every profile; without a modality, its sensor on and off."""
    window_s = config.data.duration_ms * 1e-3
    gone = condition.name.partition("missing/")[2]
    if gone and "+" not in gone:
        return energy_without(response.counts, config.cost, learner.modalities, gone, window_s)
    sensors = sensor_names(learner.modalities, config.cost)
    found: dict[str, dict[str, Any]] = {}
    for profile in config.cost.profiles:
        estimate = energy(
            response.counts,
            profile,
            wall_time_s=window_s,
            sensors=list(sensors.values()),
            reuse=config.cost.reuse,
            frontend_profile=config.cost.frontend_profile,
        )
        named = all(name in sensors for name in learner.modalities)
        found[profile] = {
            "dynamic_pj": estimate.dynamic_pj,
            "with_sensors_pj": estimate.with_sensors_pj if named else None,
            "reason": estimate.reason,
        }
    return found


def _notes(tested: Stressed, incongruent: bool) -> list[str]:
    """What the figures do not say by themselves; ``incongruent`` pairs where there are some."""
    lonely = [
        name
        for name, groups in tested.clusters.items()
        if len(set(groups)) == 1 and set(groups) != {""}
    ]
    weakened = (
        f"A weakened modality of an incongruent pair has lost {INCONGRUENT_DROP:.0%} of its events."
    )
    return [
        "Counts, energy and accuracy are those of the float models, whatever a profile prices.",
        "Counts are those of the first seed.",
        "Latency is evidence time in the stimulus, compute not included; a dense model answers at "
        "its windows only.",
        *([weakened] if incongruent else []),
        *(
            f"With one test group of {name} the intervals say nothing about other groups of it."
            for name in lonely
        ),
    ]
