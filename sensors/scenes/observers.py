"""Observers of timed scenes: likelihoods of evoked spikes, scores and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikefuse._types import FloatArray


def jitter_law(sd_ms: float, reach_ms: int) -> FloatArray:
    """Probability of each displacement from ``-reach_ms`` to ``reach_ms``: a cut Gaussian."""
    if not sd_ms > 0:
        raise ValueError(f"sd_ms must be positive, got {sd_ms}")
    x = np.arange(-reach_ms, reach_ms + 1)
    bell = np.exp(-0.5 * (x / sd_ms) ** 2)
    law: FloatArray = bell / bell.sum()
    return law


def displaced(uniforms: FloatArray, law: FloatArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Displacements in steps, drawn from `jitter_law` by inversion."""
    reach = len(law) // 2
    drawn = np.searchsorted(np.cumsum(law)[:-1], uniforms, side="right")
    return drawn.astype(np.int64) - reach


def evoked_ratio(
    train: np.ndarray[Any, Any], law: FloatArray, p_evoke: float, p_noise: float
) -> FloatArray:
    r"""How much likelier a channel's train is if a source event happened at each step.

    A source event evokes at most one spike, with probability :math:`h`, displaced by :math:`j` with
    probability :math:`g_j`; besides, each step holds a noise spike with probability :math:`q`, and
    coinciding spikes are one. Summing over what may have become of the event,

    .. math:: r_t = 1 - h + \frac{h}{q} \sum_j g_j x_{t + j}.

    Exact, and a product over source events if no two of them reach the same step.

    Parameters
    ----------
    train : array [B, T, N]
        0 or 1; what is beyond its ends counts as silent.
    law : float array [2 R + 1]
        From `jitter_law`.
    p_evoke, p_noise : float

    Returns
    -------
    float array [B, T, N]
    """
    reach = len(law) // 2
    padded = np.pad(train.astype(np.float64), ((0, 0), (reach, reach), (0, 0)))
    near = np.zeros(train.shape)
    for j, share in enumerate(law):
        near += share * padded[:, j : j + train.shape[1]]
    ratio: FloatArray = 1 - p_evoke + p_evoke / p_noise * near
    return ratio


def log_sum_exp(values: FloatArray, axis: int | tuple[int, ...]) -> FloatArray:
    """Logarithm of a sum of exponentials, without overflow."""
    top = values.max(axis=axis, keepdims=True)
    total = np.log(np.exp(values - top).sum(axis=axis, keepdims=True)) + top
    return np.asarray(np.squeeze(total, axis=axis))


def accuracy(scores: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """Share of samples whose label scores highest; a tie of ``k`` classes counts ``1 / k``.

    Parameters
    ----------
    scores : array [B, C]
    labels : int array [B]
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if not len(labels):
        raise ValueError("labels must hold at least one sample, got none")
    best = scores == scores.max(axis=1, keepdims=True)
    hit = best[np.arange(len(labels)), labels] / best.sum(axis=1)
    return float(hit.mean())


def accuracy_interval(value: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of an accuracy over ``n`` samples.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat.
    Assoc. 22, 1927.
    """
    from scipy.stats import norm

    z2 = float(norm.ppf(0.5 + level / 2)) ** 2
    middle = (value + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (value * (1 - value) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return float(middle - half), float(middle + half)


def chance_interval(n: int, n_classes: int, level: float = 0.99) -> tuple[float, float]:
    """Central interval of the accuracy of guessing on ``n`` samples (binomial, exact)."""
    from scipy.stats import binom

    low, high = binom.interval(level, n, 1 / n_classes)
    return float(low) / n, float(high) / n


def d_prime(value: float, n_classes: int = 2) -> float:
    r"""Sensitivity of an unbiased observer with this accuracy.

    For two classes :math:`d' = 2 z(\mathrm{accuracy})` (yes or no); for more, the solution of
    :math:`\int \varphi(x - d') \Phi(x)^{C - 1} dx = \mathrm{accuracy}` (choice of one in
    :math:`C`). Chance gives 0, less gives a negative value.

    References
    ----------
    Macmillan and Creelman, "Detection theory: a user's guide", 2nd ed., 2005.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    if not 0 < value < 1:
        return float("inf") if value >= 1 else float("-inf")
    if n_classes == 2:
        return 2 * float(norm.ppf(value))
    x = np.linspace(-9, 15, 4801)
    below = norm.cdf(x) ** (n_classes - 1)

    def excess(d: float) -> float:
        return float((norm.pdf(x - d) * below).sum() * (x[1] - x[0])) - value

    return float(brentq(excess, -6.0, 8.0))
