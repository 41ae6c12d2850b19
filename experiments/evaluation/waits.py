"""What the answers of a model wait for on a profile: sensors, work in a queue, layers in a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.config import Config
from experiments.evaluation.charges import Charges
from experiments.evaluation.evaluate import sensor_names
from experiments.evaluation.timeline import Timeline
from experiments.training.learners import Learner
from spikefuse._types import FloatArray, Int64Array
from spikefuse.cost.constants import Bound
from spikefuse.cost.latency import BOUNDS, backlog_ms, finish_ms
from spikefuse.cost.latency import time_ms as time_of
from spikefuse.cost.profile import load_profile, load_sensor

HOST = "host"


@dataclass(frozen=True)
class Setting:
    """A model with what its answers wait for.

    Parameters
    ----------
    learner : Learner
    timeline : Timeline
        Of all seeds.
    config : Config
    compute_ms : float
        Measured on the host for one sample.
    """

    learner: Learner
    timeline: Timeline
    config: Config
    compute_ms: float


@dataclass(frozen=True)
class Work:
    """What a processor has to do for each answer of a timeline.

    Parameters
    ----------
    work_ms : mapping of "low", "value", "high" to float array [K, n]
        Time for each step of a spiking model, for each answer of a dense one.
    closed_ms : float array [K]
        When their events are in.
    ticks : int
        Ticks that an input is under way from layer to layer, besides.
    dt_ms : float
        Length of a tick.
    busiest : str
    """

    work_ms: Mapping[Bound, FloatArray]
    closed_ms: FloatArray
    ticks: int
    dt_ms: float
    busiest: str

    def answered_ms(self, index: Int64Array, bound: Bound) -> FloatArray:
        """When the answers at ``index [..., n]`` are there, from onset.

        Ticks in which no new input is waited for could follow each other at once (the low end);
        on one clock they last dt each, or the step if that is longer.
        """
        work = self.work_ms[bound].astype(np.float64)
        done = finish_ms(work, self.closed_ms)
        tick = work if bound == "low" else np.maximum(work, self.dt_ms)
        found = done + self.ticks * tick
        return np.asarray(found[index, np.arange(found.shape[1])])

    def describe(self, stepped: bool) -> dict[str, Any]:
        """Backlog, and time and load of the steps."""
        value = self.work_ms["value"].astype(np.float64)
        waited = backlog_ms(value, self.closed_ms)
        found: dict[str, Any] = {
            "backlog_ms": {
                "p50": float(np.percentile(waited, 50)),
                "p95": float(np.percentile(waited, 95)),
                "max": float(waited.max()),
            }
        }
        if stepped:
            found["step_us"] = {
                f"{bound}_{q}": float(np.percentile(self.work_ms[bound], q) * 1e3)
                for bound in BOUNDS
                for q in (50, 95)
            } | {"max": float(self.work_ms["high"].max() * 1e3)}
            found |= {"layer_ticks": self.ticks, "busiest": self.busiest}
        return found


def work_of(setting: Setting, profile: str) -> Work | str:
    """What the profile's processor has to do, or why that is not known."""
    learner, timeline = setting.learner, setting.timeline
    n = len(timeline.labels)
    if profile == HOST:
        each = setting.compute_ms / (learner.n_steps if learner.stepped else 1)
        table = np.full((len(timeline.times_ms), n), each)
        return Work(dict.fromkeys(BOUNDS, table), timeline.times_ms, 0, learner.dt_ms, "")
    charges: Charges = timeline.charges[profile]
    if charges.step_us is None:
        return charges.step_reason or f"{profile} publishes no times"
    return Work(
        {bound: charges.step_us[bound] * 1e-3 for bound in BOUNDS},
        timeline.times_ms,
        charges.ticks,
        learner.dt_ms,
        charges.busiest,
    )


def sensing_ms(setting: Setting, reasons: dict[str, str]) -> dict[Bound, float]:
    """Latency of the slowest sensor; those that publish none count as 0, and are named."""
    found: dict[Bound, float] = dict.fromkeys(BOUNDS, 0.0)
    silent: list[str] = []
    named = sensor_names(setting.learner.modalities, setting.config.cost)
    for modality in setting.learner.modalities:
        sensor = load_sensor(named[modality]).profile if modality in named else None
        if sensor is None or not sensor.holds("t_latency"):
            silent.append(modality if sensor is None else sensor.name)
            continue
        for bound in BOUNDS:
            found[bound] = max(found[bound], time_of(sensor, "t_latency", bound))
    if silent:
        reasons["sensing"] = f"no latency is published of {', '.join(silent)}: it counts as 0"
    return found


def fixed_pj(setting: Setting, profile: str) -> FloatArray | None:
    """Static and sensor energy up to each time; None where a sensor is not named."""
    named = sensor_names(setting.learner.modalities, setting.config.cost)
    if len(named) < len(setting.learner.modalities):
        return None
    power_mw = load_profile(profile).static_mw() or 0.0
    power_mw += sum(load_sensor(name).power_mw for name in named.values())
    until = np.minimum(setting.timeline.times_ms, setting.learner.duration_ms)
    return np.asarray(power_mw * until * 1e6)  # mW x ms = 1e6 pJ


def quantiles(latency_ms: FloatArray) -> dict[str, float]:
    """Median and 95th percentile."""
    return {
        "p50_ms": float(np.percentile(latency_ms, 50)),
        "p95_ms": float(np.percentile(latency_ms, 95)),
    }
