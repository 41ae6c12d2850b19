"""stream.json: what a stream did and cost, in one versioned file."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.config import Config
from experiments.evaluation.evaluate import sensor_names
from experiments.streaming.session import Session, percentiles, rates_hz
from spikefuse.cost import energy
from spikefuse.runtime.policies import ConfidenceExit

SCHEMA = 1
FILE = "stream.json"


def stream_energy(session: Session, config: Config, profile: str) -> dict[str, Any]:
    """Modelled energy of the stream so far: network and sensors, by wall time of the stream.

    The cochlea's and other front ends' operations are not in it: a stream of events does not say
    what made them.
    """
    runner, cost = session.runner, config.cost
    seconds = runner.n_steps * runner.model.spec.dt_ms * 1e-3
    found = energy(
        runner.counts(),
        profile,
        wall_time_s=seconds,
        sensors=list(sensor_names(runner.model.modalities, cost).values()),
        reuse=cost.reuse,
        frontend_profile=cost.frontend_profile,
    ).to_dict()
    kept = ("dynamic_pj", "with_static_pj", "with_sensors_pj", "reasons", "assumptions")
    return {name: found[name] for name in kept if name in found} | {"stream_s": seconds}


def describe_stream(session: Session, config: Config, host_s: float) -> dict[str, Any]:
    """Everything about a stream that has ended."""
    runner, tally, gate = session.runner, session.tally, session.gate
    last = session.last
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "name": config.name,
        "classes": list(session.classes),
        "stream_s": max(runner.clocks_us.values()) * 1e-6,
        "host_s": host_s,
        "modalities": {
            name: {
                "events": tally.n_events.get(name, 0),
                "to_network": tally.n_admitted.get(name, 0),
                "rate_hz": rates_hz(session)[name],
                "awake_share": 1.0 if gate is None else gate.awake_share(name),
                "absent": name in session.buffer.absent,
            }
            for name in session.buffer.sizes
        },
        "outcomes": session.buffer.outcomes.by_modality(),
        "n_decisions": tally.n_decisions,
        "decision": None
        if last is None
        else session.describe(last) | {"probabilities": session.probabilities(last).tolist()},
        "latency": {
            "host": percentiles(tally.host_ms),
            "behind_stream": percentiles(tally.behind_ms),
            "buffer_ms": session.buffer.params.latency_ms,
            "step_ms": runner.model.spec.dt_ms,
        },
        "energy": None,
        "clocks": None
        if session.estimate is None
        else {k: _plain(v) for k, v in vars(session.estimate).items()},
    }
    policy = runner.policy
    if isinstance(policy, ConfidenceExit):
        answers = list(policy.answers)
        found["answers"] = {
            "n": policy.n_answers,
            "early": policy.n_early,
            "theta": policy.theta,
            "last": [vars(a) for a in answers[-100:]],
        }
    try:
        found["energy"] = {p: stream_energy(session, config, p) for p in config.cost.profiles}
    except ValueError as error:
        found["energy_reason"] = str(error)
    return found


def _plain(value: Any) -> Any:
    """A number as JSON takes it."""
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return bool(value) if isinstance(value, np.bool_) else value
