"""Is a model at most a margin worse than a reference? Several at once, with Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.stats import cluster_means, interval_of
from spikefuse._types import FloatArray


@dataclass(frozen=True)
class Comparison:
    """One model against the reference.

    Parameters
    ----------
    difference : float
        Mean of model minus reference.
    interval : (low, high)
        95 % interval of it, not corrected for the number of models.
    p_value : float
        Of the hypothesis that the model is worse by the margin or more, Holm-adjusted.
    verdict : str
        ``non-inferior``, ``inferior`` or ``unresolved``.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    verdict: str


def compare_all(
    differences: Mapping[str, FloatArray],
    rows: Sequence[str],
    columns: Sequence[str],
    rng: np.random.Generator,
    margin: float = 0.02,
    alpha: float = 0.05,
    n_draws: int = 9999,
) -> dict[str, Comparison]:
    """Every model against one reference on the same samples.

    Two one-sided tests per model, each family Holm-adjusted over the models: "worse by the margin
    or more" rejected means non-inferior; "worse by less than the margin" rejected means inferior;
    neither means unresolved. P-values invert the percentile bootstrap over two-way clusters:
    ``(1 + draws on the wrong side of the margin) / (1 + draws)``.

    Parameters
    ----------
    differences : mapping of model to float [n]
        Model minus reference, sample by sample.
    rows, columns : sequences of n cluster names
    rng : numpy Generator
        Every model sees the same draws.
    margin : float
        Positive, in the unit of the differences.
    alpha : float
    n_draws : int

    Raises
    ------
    ValueError
        If ``margin`` or ``alpha`` is out of range, or lengths differ.
    """
    if not margin > 0 or not 0 < alpha < 1:
        raise ValueError(f"margin must be > 0 and alpha in (0, 1), got {margin} and {alpha}")
    seed = int(rng.integers(2**63))
    means = {
        name: cluster_means(values, [rows, columns], np.random.default_rng(seed), n_draws)
        for name, values in differences.items()
    }
    worse = holm([_share(draws <= -margin) for draws in means.values()])
    better = holm([_share(draws >= -margin) for draws in means.values()])
    found: dict[str, Comparison] = {}
    for (name, draws), p_worse, p_better in zip(means.items(), worse, better, strict=True):
        if p_worse < alpha:
            verdict = "non-inferior"
        else:
            verdict = "inferior" if p_better < alpha else "unresolved"
        mean = float(np.mean(differences[name]))
        found[name] = Comparison(mean, interval_of(draws), p_worse, verdict)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the given order: reject where one is below the family's level.

    The k-th smallest of m becomes ``max over j <= k of min(1, (m - j + 1) p_(j))``.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6(2), 1979.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def two_sided_p(draws: FloatArray) -> float:
    """P-value of a mean of 0, by a bootstrap's draws: twice the smaller share on a side of 0.

    Parameters
    ----------
    draws : float array [n]
        Means, such as of `analysis.stats.cluster_means`.
    """
    return min(1.0, 2 * min(_share(draws <= 0), _share(draws >= 0)))


def _share(hits: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    """A bootstrap p-value, never 0."""
    return float((1 + hits.sum()) / (1 + len(hits)))
