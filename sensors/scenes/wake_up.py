"""S6's use: vision says when to listen, so that hearing may sleep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensors.scenes.impact import ImpactParams, ImpactScene
from sensors.scenes.observers import log_sum_exp
from spikefuse._types import FloatArray


@dataclass(frozen=True, eq=False)
class WakeCurve:
    """What a threshold costs, one entry a threshold or half-width.

    Parameters
    ----------
    asleep : float array [K]
        Share of the sample's time in which hearing is off.
    missed : float array [K]
        Share of impact sounds whose time falls into it.
    """

    asleep: FloatArray
    missed: FloatArray


def closed_form(
    scene: ImpactScene, half_widths_ms: Sequence[float], known_ratio: bool = False
) -> WakeCurve:
    r"""A window of half-width :math:`h` around a Gaussian estimate of contact.

    It misses :math:`2 \Phi(-h / \sigma)` of the sounds, with :math:`\sigma` the bound of
    `ImpactScene.contact_sd_ms`, and sleeps for all but :math:`2 h` of the sample. No prior on
    contact and no noise spikes are in it, and the window may open before vision has seen its last
    ring: it is an approximation; see `causal`.
    """
    from scipy.stats import norm

    half = np.asarray(half_widths_ms, dtype=np.float64)
    if not (half >= 0).all():
        raise ValueError(f"half_widths_ms must be >= 0, got {half_widths_ms}")
    missed = 2 * norm.cdf(-half / scene.contact_sd_ms(known_ratio))
    return WakeCurve(np.maximum(1 - 2 * half / scene.duration_ms, 0), missed)


def causal(
    scene: ImpactScene,
    thresholds: Sequence[float],
    seed: int,
    n: int,
    guard_ms: int = 5,
    step_ms: int = 5,
) -> WakeCurve:
    """Hearing is on while vision's spikes so far make contact likely enough just now.

    In each block of ``step_ms`` steps, hearing is on if the posterior chance, from the spikes
    before the block, that contact falls into the block or within ``guard_ms`` of it reaches the
    threshold. Simulated on ``n`` samples of bare trains; the sounds are on time.

    Parameters
    ----------
    scene : ImpactScene
    thresholds : sequence of float
        In [0, 1]; 0 never sleeps.
    seed, n, guard_ms, step_ms : int

    Returns
    -------
    WakeCurve
    """
    p = scene.params
    if n < 1 or step_ms < 1 or guard_ms < 0:
        raise ValueError(
            f"n, step_ms and guard_ms must be >= 1, 1 and 0, got {n}, {step_ms} and {guard_ms}"
        )
    drawn = scene.generate(scene.uniforms(seed, range(n), scene.n_uniforms))
    vision, contact = drawn.trains()["vision"], drawn.latent["contact"]
    asleep, missed = np.zeros(len(thresholds)), np.zeros(len(thresholds))
    blocks = range(0, scene.duration_ms, step_ms)
    for start in blocks:
        length = min(step_ms, scene.duration_ms - start)
        low = max(start - guard_ms - p.first_ms, 0)
        high = min(start + length + guard_ms - p.first_ms, p.span_ms)
        near = np.zeros(n)
        if high > low:
            scores = log_sum_exp(scene.contact_log_likelihood(vision, start), 1)
            near = np.exp(log_sum_exp(scores[:, low:high], 1) - log_sum_exp(scores, 1))
        here = (contact + p.first_ms >= start) & (contact + p.first_ms < start + length)
        for k, threshold in enumerate(thresholds):
            off = near < threshold
            asleep[k] += off.mean() * length / scene.duration_ms
            missed[k] += (off & here).mean()
    return WakeCurve(asleep, missed)


def without_vision(scene: ImpactScene, shares_on: Sequence[float]) -> WakeCurve:
    """Hearing is on for a share of the span in which contact is possible, chosen blindly."""
    on = np.asarray(shares_on, dtype=np.float64)
    return WakeCurve(1 - on * scene.params.span_ms / scene.duration_ms, 1 - on)


def default_scene() -> ImpactScene:
    """S6 with its default parameters, in which every impact sounds on time or not at all."""
    return ImpactScene(ImpactParams(task="presence"))
