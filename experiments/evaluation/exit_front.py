"""Exits by confidence: a front of time, accuracy and energy, and the point chosen before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from experiments.evaluation.scores import bounded_temperature
from experiments.evaluation.timeline import Timeline, Traced
from experiments.evaluation.waits import HOST, Setting, fixed_pj, quantiles, sensing_ms, work_of
from spikefuse._types import BoolArray, FloatArray, Int64Array
from spikefuse.cost.exits import THETAS, Exits, cheapest_within, exits
from spikefuse.cost.latency import in_time

TOLERANCE = 0.01


def describe_exit(setting: Setting, traced: Sequence[Traced]) -> dict[str, Any]:
    """Front over the thresholds on the test pairs, and the threshold chosen on validation.

    Temperatures are fitted, and thresholds chosen, on each seed's validation pairs; figures are
    means over seeds and samples. Energies are those of the precision that a profile prices, at the
    exits of the float model.
    """
    temperatures = [_temperature(t.validation) for t in traced]
    before = [
        exits(t.validation.scores, t.validation.labels, temperature)
        for t, temperature in zip(traced, temperatures, strict=True)
    ]
    found = [
        exits(t.test.scores, t.test.labels, temperature)
        for t, temperature in zip(traced, temperatures, strict=True)
    ]
    chosen = [cheapest_within(e, float(e.right[-1].mean()), TOLERANCE) for e in before]
    every = Exits(
        found[0].thetas,
        np.concatenate([e.index for e in found], axis=1),
        np.concatenate([e.right for e in found], axis=1),
    )
    times = setting.timeline.times_ms
    picked = np.concatenate([e.index[c] for e, c in zip(found, chosen, strict=True)])
    right = np.concatenate([e.right[c] for e, c in zip(found, chosen, strict=True)])
    left_ms = times[every.index]
    return {
        "rule": "leave at the first answer whose calibrated probability reaches the threshold",
        "charged": "every answer up to the exit",
        "temperature_by_seed": temperatures,
        "thetas": list(THETAS),
        "mean_ms": left_ms.mean(1).tolist(),
        "p50_ms": np.percentile(left_ms, 50, axis=1).tolist(),
        "p95_ms": np.percentile(left_ms, 95, axis=1).tolist(),
        "accuracy": every.right.mean(1).tolist(),
        "energy": {
            profile: _energies(setting, profile, every.index)
            for profile in setting.timeline.charges
        },
        "latency": _latencies(setting, every.index),
        "validation": {
            "mean_ms": np.mean([times[e.index].mean(1) for e in before], axis=0).tolist(),
            "accuracy": np.mean([e.right.mean(1) for e in before], axis=0).tolist(),
        },
        "chosen": {
            "tolerance": TOLERANCE,
            "theta_by_seed": [THETAS[c] for c in chosen],
            "mean_ms": float(times[picked].mean()),
            "p50_ms": float(np.percentile(times[picked], 50)),
            "p95_ms": float(np.percentile(times[picked], 95)),
            "accuracy": float(right.mean()),
            "full_accuracy": float(every.right[-1].mean()),
            "energy": {p: _chosen_energy(setting, p, picked) for p in setting.timeline.charges},
            "latency": _chosen_latencies(setting, picked, right),
        },
    }


def _temperature(timeline: Timeline) -> float:
    """Temperature of the last answers of the validation pairs."""
    return bounded_temperature(
        torch.from_numpy(timeline.scores[-1]).double(), torch.from_numpy(timeline.labels)
    )


def _energies(setting: Setting, profile: str, index: Int64Array) -> dict[str, Any]:
    """Mean energy to the exits ``index [H, n]``, dynamic and with sensors, of each way to pay."""
    charges, fixed = setting.timeline.charges[profile], fixed_pj(setting, profile)
    found: dict[str, Any] = {"reason": charges.reason}
    for name, table in (("", charges.energy_pj), ("delta_", charges.delta_pj)):
        if table is None:
            if not name:
                found |= {"dynamic_pj": None, "with_sensors_pj": None}
            continue
        spent = _at(table, index).mean(1)
        found[f"{name}dynamic_pj"] = spent.tolist()
        found[f"{name}with_sensors_pj"] = (
            None if fixed is None else (spent + fixed[index].mean(1)).tolist()
        )
    return found


def _chosen_energy(setting: Setting, profile: str, index: Int64Array) -> dict[str, Any]:
    """Mean energy to the chosen exits, and of the answer at the end alone."""
    found = {
        name: value[0] if isinstance(value, list) else value
        for name, value in _energies(setting, profile, index[None]).items()
    }
    single = setting.timeline.charges[profile].single_pj
    found["full_dynamic_pj"] = None if single is None else float(single[-1].mean())
    return found


def _latencies(setting: Setting, index: Int64Array) -> dict[str, Any]:
    """Mean latency of the exits ``index [H, n]`` by profile, sensing and compute included."""
    found: dict[str, Any] = {}
    sensing = sensing_ms(setting, {})["value"]
    for profile in (*setting.timeline.charges, HOST):
        work = work_of(setting, profile)
        found[profile] = (
            None
            if isinstance(work, str)
            else (work.answered_ms(index, "value").mean(1) + sensing).tolist()
        )
    return found


def _chosen_latencies(setting: Setting, index: Int64Array, right: BoolArray) -> dict[str, Any]:
    """Latency of the chosen exits by profile, and how many come in time."""
    deadlines = setting.config.cost.deadlines_ms
    sensing = sensing_ms(setting, {})["value"]
    evidence = setting.timeline.times_ms[index]
    found: dict[str, Any] = {
        "stimulus_time": {
            **quantiles(evidence),
            "mean_ms": float(evidence.mean()),
            "deadlines": in_time(evidence, right, deadlines),
        }
    }
    for profile in (*setting.timeline.charges, HOST):
        work = work_of(setting, profile)
        if isinstance(work, str):
            found[profile] = {"p50_ms": None, "p95_ms": None, "mean_ms": None, "reason": work}
            continue
        latency = work.answered_ms(index, "value") + sensing
        found[profile] = {
            **quantiles(latency),
            "mean_ms": float(latency.mean()),
            "deadlines": in_time(latency, right, deadlines),
        }
    return found


def _at(table: FloatArray, index: Int64Array) -> FloatArray:
    """Values of a table ``[K, n]`` at ``index [H, n]``."""
    return np.asarray(table[index, np.arange(table.shape[1])])
