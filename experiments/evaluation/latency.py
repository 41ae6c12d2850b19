"""Latency of a model's answers by profile, part by part, and the energy spent until they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.config import Config
from experiments.evaluation.evaluate import first_final
from experiments.evaluation.exit_front import describe_exit
from experiments.evaluation.timeline import Timeline, Traced, pooled
from experiments.evaluation.waits import (
    HOST,
    Setting,
    Work,
    fixed_pj,
    quantiles,
    sensing_ms,
    work_of,
)
from experiments.training.learners import Learner
from spikefuse._types import BoolArray, FloatArray, Int64Array
from spikefuse.cost.latency import BOUNDS, in_time, quantile_with_phase

_CDF = np.linspace(0.0, 1.0, 41)


def add_latency(
    model: dict[str, Any], learner: Learner, traced: Sequence[Traced], config: Config
) -> None:
    """Add latency by profile, energy by time and exits to a model's entry of ``result.json``.

    Parameters
    ----------
    model : dict
        With ``latency``, ``anytime`` and ``accuracy``.
    learner : Learner
        Of any seed.
    traced : sequence of Traced
        One per seed.
    config : Config
    """
    timeline = pooled([t.test for t in traced])
    setting = Setting(learner, timeline, config, float(model["latency"]["compute_ms"]))
    index = first_final(timeline.answers)
    model["latency"]["by_profile"] = {
        name: describe_profile(setting, name, index) for name in (*timeline.charges, HOST)
    }
    model["latency"]["rule"] = (
        "the answer that is never changed again, which is known only afterwards; see exit for a "
        "rule that does not look ahead"
    )
    model["anytime"]["energy"] = describe_energy_by_time(setting)
    model["exit"] = describe_exit(setting, traced)


def describe_profile(setting: Setting, profile: str, index: Int64Array) -> dict[str, Any]:
    """Latency of the answers at times ``index [n]``, in parts and as a whole, on one profile.

    Parts are means over samples and add up to ``mean_ms``; ``low`` and ``high`` are the ends of the
    bracket. What is not published is not guessed: then ``without_compute`` holds the rest.
    """
    timeline = setting.timeline
    reasons: dict[str, str] = {}
    sensing = sensing_ms(setting, reasons)
    evidence = timeline.times_ms[index]
    window = float(timeline.times_ms[0])
    reasons["preprocessing"] = (
        "event times hold the delays of pixels' filters and cochlea; binning is the window"
        if setting.learner.spiking
        else "frames are complete with their window; building them is inside the host's compute"
    )
    parts: dict[str, Any] = {
        "sensing_ms": sensing,
        "window_ms": window,
        "preprocessing_ms": 0.0,
        "compute_ms": None,
        "decision_ms": float(evidence.mean()) - window,
    }
    described: dict[str, Any] = {
        "components": parts,
        "mean_ms": None,
        "p50_ms": None,
        "p95_ms": None,
        "reasons": reasons,
        "without_compute": quantiles(evidence + sensing["value"]),
    }
    work = work_of(setting, profile)
    if isinstance(work, str):
        reasons["compute"] = work
        return described | _energy_of(setting, profile, index, None)
    answered = {bound: work.answered_ms(index, bound) + sensing[bound] for bound in BOUNDS}
    parts["compute_ms"] = {
        bound: float((answered[bound] - sensing[bound] - evidence).mean()) for bound in BOUNDS
    }
    latency, right = answered["value"], _right(timeline, index)
    return (
        described
        | {"mean_ms": float(latency.mean()), **quantiles(latency)}
        | {bound: quantiles(answered[bound]) for bound in ("low", "high")}
        | work.describe(setting.learner.stepped)
        | _after_onsets(setting, latency)
        | {
            "free_running": free_running(setting, latency, work),
            "deadlines": in_time(latency, right, setting.config.cost.deadlines_ms),
            "cdf": {
                "share": _CDF.tolist(),
                "ms": np.quantile(latency, _CDF, method="inverted_cdf").tolist(),
            },
        }
        | _energy_of(setting, profile, index, latency)
    )


def free_running(setting: Setting, latency: FloatArray, work: Work) -> dict[str, Any]:
    """The same where the onset comes at any phase of the system's own clock.

    A spiking model waits for the edge of a step, U(0, dt). A dense model on full windows waits for
    the edge of one and then for the next, U(0, W) + W, or U(0, h) + W with a window every hop.
    """
    learner = setting.learner
    if learner.stepped:
        return {"step": _with_phase(latency, learner.dt_ms)}
    window = learner.duration_ms
    hop = learner.dt_ms if learner.spiking else max(learner.frame_ms.values())
    answer = window + sensing_ms(setting, {})["value"] + work.work_ms["value"][-1]
    return {
        "tumbling": _with_phase(answer, window),
        "sliding": _with_phase(answer, hop),
    }


def describe_energy_by_time(setting: Setting) -> dict[str, dict[str, Any]]:
    """Energy spent until the answer at each time is given, mean over samples, by profile.

    Every answer up to then is paid for (``dynamic_pj``); ``single_dynamic_pj`` is for that answer
    alone, and ``delta_dynamic_pj`` for all of them by a dense model that is driven by changes.
    """
    found: dict[str, dict[str, Any]] = {}
    for profile, charges in setting.timeline.charges.items():
        fixed = fixed_pj(setting, profile)
        entry: dict[str, Any] = {"reason": charges.reason}
        for name, table in (
            ("", charges.energy_pj),
            ("single_", charges.single_pj),
            ("delta_", charges.delta_pj),
        ):
            mean = None if table is None else table.mean(1)
            if name and mean is None:
                continue
            entry[f"{name}dynamic_pj"] = None if mean is None else mean.tolist()
            entry[f"{name}with_sensors_pj"] = (
                None if mean is None or fixed is None else (mean + fixed).tolist()
            )
        found[profile] = entry
    return found


def _with_phase(latency_ms: FloatArray, span_ms: float) -> dict[str, float]:
    """Quantiles with an onset at any phase."""
    return {
        "phase_ms": span_ms,
        "p50_ms": quantile_with_phase(latency_ms, span_ms, 0.5),
        "p95_ms": quantile_with_phase(latency_ms, span_ms, 0.95),
    }


def _after_onsets(setting: Setting, latency: FloatArray) -> dict[str, Any]:
    """Decision time from the first event of the modality that comes later."""
    onset = setting.timeline.onset_ms
    if onset.shape[1] < 2:
        return {}
    both = ~np.isnan(onset).any(axis=1)
    if not both.any():
        return {}
    later = latency[both] - onset[both].max(1)
    return {
        "from_later_onset": {
            **quantiles(later),
            "share_before": float((later < 0).mean()),
            "n": int(both.sum()),
        }
    }


def _energy_of(
    setting: Setting, profile: str, index: Int64Array, latency: FloatArray | None
) -> dict[str, Any]:
    """Energy to the answer, per right answer, and times its latency; secondary figures."""
    charges = setting.timeline.charges.get(profile)
    if charges is None or charges.energy_pj is None:
        return {}
    spent = charges.energy_pj[index, np.arange(len(index))]
    right = float(_right(setting.timeline, index).mean())
    return {
        "energy_to_decision_pj": float(spent.mean()),
        "energy_per_correct_pj": float(spent.mean()) / right if right else None,
        "edp_pj_ms": None if latency is None else float((spent * latency).mean()),
    }


def _right(timeline: Timeline, index: Int64Array) -> BoolArray:
    """Whether the answers at ``index`` are right."""
    answers = timeline.answers[index, np.arange(len(index))]
    return np.asarray(answers == timeline.labels)
