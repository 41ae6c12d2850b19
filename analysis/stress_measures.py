"""Measures of a model under stress, from accuracies and answers: closed forms, no model is run.

Functions of accuracies take arrays whose last axis is the level and keep the others, so that the
draws of a bootstrap go through as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from spikefuse._types import FloatArray

_GRID = np.linspace(-6.0, 12.0, 1801)


def area(accuracy: FloatArray, severity: Sequence[float]) -> FloatArray:
    r"""Area under accuracy over severity, by trapezoids, as the mean over the range of severities.

    .. math:: \bar A = \frac{1}{s_L - s_0} \sum_{l=1}^{L} (s_l - s_{l-1}) \frac{A_l + A_{l-1}}{2}

    Relative robustness of MultiBench (Liang et al., arXiv 2107.07502), kept in units of accuracy
    rather than scaled against a table of other models.

    Parameters
    ----------
    accuracy : float array [..., L]
    severity : sequence of float [L]
        Ascending, at least two.

    Returns
    -------
    float array [...]

    Raises
    ------
    ValueError
        If severities do not ascend, or are not as many as the accuracies.
    """
    at = np.asarray(severity, dtype=np.float64)
    if len(at) < 2 or (np.diff(at) <= 0).any() or accuracy.shape[-1] != len(at):
        raise ValueError(
            f"severity must ascend and hold one value for each of {accuracy.shape[-1]} accuracies, "
            f"at least two, got {list(severity)}"
        )
    return np.asarray(np.trapezoid(accuracy, at, axis=-1) / (at[-1] - at[0]))


def tolerance(
    accuracy: FloatArray, offset: Sequence[float], share: float = 0.95
) -> tuple[float, float, bool]:
    """Where accuracy falls below a share of its peak, on either side of the peak.

    Linear between neighbours; where the curve never falls, the end of the offsets is returned: the
    true width is larger.

    Parameters
    ----------
    accuracy : float array [L]
    offset : sequence of float [L]
        Ascending.
    share : float
        Of the peak, the highest accuracy (the one nearest to 0 of equal ones).

    Returns
    -------
    (left, right, censored)
        In the unit of ``offset``. Half-width is ``(right - left) / 2``, asymmetry
        ``(right + left) / 2``.
    """
    at = np.asarray(offset, dtype=np.float64)
    best = np.flatnonzero(accuracy == accuracy.max())
    peak = int(best[np.argmin(np.abs(at[best]))])
    bound = share * float(accuracy[peak])
    left = _fall(accuracy[peak::-1], at[peak::-1], bound)
    right = _fall(accuracy[peak:], at[peak:], bound)
    ends = (float(at[0]), float(at[-1]))
    return (
        ends[0] if left is None else left,
        ends[1] if right is None else right,
        left is None or right is None,
    )


def _fall(accuracy: FloatArray, at: FloatArray, bound: float) -> float | None:
    """Where a curve first goes below a bound, linear between points."""
    below = np.flatnonzero(accuracy < bound)
    if not len(below):
        return None
    i = int(below[0])  # never 0: the peak is above its share
    part = (accuracy[i - 1] - bound) / (accuracy[i - 1] - accuracy[i])
    return float(at[i - 1] + part * (at[i] - at[i - 1]))


def utilisation(full: FloatArray, without: FloatArray) -> FloatArray:
    r"""How much of the accuracy a modality adds to the others.

    .. math:: u(m \mid \bar m) = \frac{A_{full} - A_{without\ m}}{A_{full}}

    Conditional utilisation rate of Wu et al., ICML 2022 (arXiv 2202.05306); NaN where nothing is
    right.
    """
    return np.asarray(np.where(full > 0, (full - without) / np.maximum(full, 1e-12), np.nan))


def d_prime_of(accuracy: FloatArray, n_classes: int, n: int) -> FloatArray:
    r"""Sensitivity of an unbiased observer that picks the largest of ``m`` evidences.

    .. math:: A = \int \varphi(x - d') \, \Phi(x)^{m-1} \, dx

    and for two classes :math:`d' = 2 \Phi^{-1}(A)`, yes or no to one stimulus (Macmillan and
    Creelman, "Detection theory: a user's guide", 2nd ed., 2005).
    Accuracies are first kept half an answer of ``n`` away from 0 and 1, where d' is infinite
    (Macmillan and Kaplan, Psychol. Bull. 98, 1985, doi:10.1037/0033-2909.98.1.185).

    Parameters
    ----------
    accuracy : float array
    n_classes : int
    n : int
        Answers that the accuracy is a mean of.

    Returns
    -------
    float array
        0 at chance, negative below it.
    """
    kept = np.clip(accuracy, 0.5 / n, 1 - 0.5 / n)
    return np.asarray(np.interp(kept, _share_right(n_classes), _GRID))


@lru_cache(maxsize=8)
def _share_right(n_classes: int) -> FloatArray:
    """Accuracy at each d' of the grid."""
    from scipy.special import ndtr

    if n_classes == 2:
        return np.asarray(ndtr(_GRID / 2))
    x = np.linspace(-9.0, 21.0, 6001)
    below = ndtr(x) ** (n_classes - 1)
    density = np.exp(-0.5 * (x - _GRID[:, None]) ** 2) / np.sqrt(2 * np.pi)
    return np.asarray(np.trapezoid(density * below, x, axis=1))


def slope(x: FloatArray, y: FloatArray) -> FloatArray:
    """Least-squares slope of ``y [..., L]`` over ``x [..., L]``; NaN where x does not vary."""
    dx = x - x.mean(axis=-1, keepdims=True)
    spread = (dx**2).sum(axis=-1)
    rise = (dx * (y - y.mean(axis=-1, keepdims=True))).sum(axis=-1)
    return np.asarray(np.where(spread > 1e-12, rise / np.maximum(spread, 1e-12), np.nan))


def jensen_shannon(first: FloatArray, second: FloatArray) -> FloatArray:
    r"""Jensen-Shannon divergence of two stated distributions per sample, in bits (0 to 1).

    .. math:: J(P, Q) = H\left(\tfrac{P + Q}{2}\right) - \tfrac{H(P) + H(Q)}{2}

    (Lin, IEEE Trans. Inf. Theory 37(1), 1991, doi:10.1109/18.61115.)

    Parameters
    ----------
    first, second : float array [n, C]
        Natural logarithms of probabilities.

    Returns
    -------
    float array [n]
    """
    p, q = np.exp(first), np.exp(second)
    found = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return np.asarray(np.clip(found, 0.0, 1.0))


def _entropy(p: FloatArray) -> FloatArray:
    """Entropy of each row in bits."""
    safe = np.where(p > 0, p, 1.0)
    return np.asarray(-(p * np.log2(safe)).sum(axis=-1))
