"""The race-model inequality: are answers to both modalities quicker than any race allows?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.stats import interval_of
from spikefuse._types import FloatArray

QUANTILES = np.arange(0.05, 1.0, 0.05)


@dataclass(frozen=True)
class RaceTest:
    r"""Distributions of decision times, and by how much they break the bound of a race.

    Parameters
    ----------
    times_ms : float array [Q]
        Where distributions are compared: quantiles of the redundant decision times.
    both, bound : float array [Q]
        :math:`P(T_{AV} \le t)` and :math:`\min(1, P(T_A \le t) + P(T_V \le t))`.
    violation : float
        Largest excess of ``both`` over ``bound`` at these times; negative if there is none.
    interval : (float, float)
        95 % of it over bootstrap draws of samples.
    p_value : float
        Share of draws under the bound whose largest excess is as large: see `race_model`.
    area_ms : float
        Integral of the positive part of the excess.
    """

    times_ms: FloatArray
    both: FloatArray
    bound: FloatArray
    violation: float
    interval: tuple[float, float]
    p_value: float
    area_ms: float


def race_model(
    both_ms: FloatArray,
    first_ms: FloatArray,
    second_ms: FloatArray,
    n_draws: int = 2000,
    seed: int = 0,
) -> RaceTest:
    r"""Miller's inequality on decision times.

    If the answer to both modalities is the earlier of two answers, each given as to its modality
    alone,

    .. math:: P(T_{AV} \le t) \le P(T_A \le t) + P(T_V \le t) \quad \text{for all } t,

    whatever the dependence of the two. A violation rules out every such race; no violation rules
    out nothing.

    Parameters
    ----------
    both_ms, first_ms, second_ms : float array [n], [n_1], [n_2]
        Times of right decisions with both modalities, and with one; ``inf`` (or nan) where a
        sample is never decided rightly. It stays in the denominator, so that distributions end
        below 1 and a model that answers rarely is not quick.
    n_draws, seed : int
        Bootstrap over samples, the three sets apart. For the p-value ``both`` is redrawn from the
        bound itself, the least favourable race.

    Raises
    ------
    ValueError
        If a set is empty, or ``both_ms`` holds no decision.

    References
    ----------
    Miller, "Divided attention: evidence for coactivation with redundant signals", Cognitive
    Psychology 14, 1982. Test by quantiles: Ulrich, Miller and Schröter, Behav. Res. Methods 39,
    2007.
    """
    sets = [_decided(np.asarray(x, np.float64)) for x in (both_ms, first_ms, second_ms)]
    names = ("both_ms", "first_ms", "second_ms")
    for name, values in zip(names, sets, strict=True):
        if not len(values):
            raise ValueError(f"{name} must hold at least one sample, got none")
    finite = sets[0][np.isfinite(sets[0])]
    if not len(finite):
        raise ValueError("both_ms must hold at least one decision, got none")
    times = np.unique(np.quantile(finite, QUANTILES))
    both = _share(sets[0], times)
    bound = np.minimum(1.0, _share(sets[1], times) + _share(sets[2], times))
    excess = both - bound
    rng = np.random.default_rng(seed)
    drawn, null = np.empty(n_draws), np.empty(n_draws)
    for i in range(n_draws):
        again = [rng.choice(values, len(values)) for values in sets]
        limit = np.minimum(1.0, _share(again[1], times) + _share(again[2], times))
        drawn[i] = (_share(again[0], times) - limit).max()
        null[i] = (_of_bound(bound, len(sets[0]), rng) - limit).max()
    violation = float(excess.max())
    everywhere = np.unique(np.concatenate([values[np.isfinite(values)] for values in sets]))
    limit = np.minimum(1.0, _share(sets[1], everywhere) + _share(sets[2], everywhere))
    positive = np.maximum(_share(sets[0], everywhere) - limit, 0)
    area = float((positive[:-1] * np.diff(everywhere)).sum())
    p_value = float((1 + (null >= violation).sum()) / (n_draws + 1))
    return RaceTest(times, both, bound, violation, interval_of(drawn), p_value, area)


def decision_times_ms(
    answers: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], times_ms: FloatArray
) -> FloatArray:
    """When a running answer is right and stays so; inf where the last answer is wrong.

    Parameters
    ----------
    answers : int array [K, n]
        Answer at each time.
    labels : int array [n]
    times_ms : float array [K]
        Increasing.

    Returns
    -------
    float array [n]
    """
    wrong = np.asarray(answers) != np.asarray(labels)
    last_wrong = np.where(wrong.any(0), len(wrong) - 1 - wrong[::-1].argmax(0), -1)
    padded = np.append(np.asarray(times_ms, np.float64), np.inf)
    found: FloatArray = padded[last_wrong + 1]
    return found


def _decided(values: FloatArray) -> FloatArray:
    """A sample that is never decided is decided at no finite time."""
    return np.where(np.isnan(values), np.inf, values)


def _share(values: FloatArray, times: FloatArray) -> FloatArray:
    """Share of values up to each time."""
    found: FloatArray = np.searchsorted(np.sort(values), times, side="right") / len(values)
    return found


def _of_bound(bound: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """Distribution function of ``n`` draws of a variable whose own is ``bound``, at its points."""
    steps = np.diff(np.concatenate([[0.0], bound, [1.0]])).clip(0)
    found: FloatArray = rng.multinomial(n, steps / steps.sum())[:-1].cumsum() / n
    return found
