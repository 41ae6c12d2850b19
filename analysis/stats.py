"""Intervals that respect how the samples hang together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from spikefuse._types import FloatArray, Int64Array


def cluster_interval(
    values: np.ndarray[Any, Any],
    clusters: Sequence[Sequence[str]],
    rng: np.random.Generator,
    n_draws: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean under any number of clusterings.

    Each draw resamples the clusters of every kind (vision recordings, speakers) independently and
    with replacement; a sample's weight is the product of its clusters' multiplicities (the
    pigeonhole bootstrap of Owen 2007, doi:10.1214/07-AOAS122).

    Parameters
    ----------
    values : float array [n]
        What is averaged, such as 1 for a right answer.
    clusters : sequences of n cluster names
        A single cluster cannot be resampled: it is then kept, and the interval says nothing about
        other members of that kind (another speaker, say).
    rng : numpy Generator
    n_draws : int
    level : float

    Returns
    -------
    (low, high)

    Raises
    ------
    ValueError
        If lengths differ, nothing is given, or ``level`` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return interval_of(cluster_means(values, clusters, rng, n_draws), level)


def accuracy_interval(
    right: np.ndarray[Any, Any], clusters: Sequence[Sequence[str]]
) -> tuple[float, float]:
    """95 % interval of an accuracy: `cluster_interval`, also where every answer is right, or wrong.

    Draws of such answers are all alike, so the bootstrap would claim certainty. The interval is
    then Wilson's, over as many independent answers as the finest clustering has clusters.

    Parameters
    ----------
    right : array [n]
        1 for a right answer, 0 for a wrong one, or the mean over seeds.
    clusters : sequences of n cluster names
    """
    low, high = cluster_interval(right, clusters, np.random.default_rng(0))
    if low == high and low in (0.0, 1.0):
        n = max(len(set(names)) for names in clusters)
        return wilson_interval(round(low) * n, n)
    return low, high


def interval_of(draws: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def cluster_means(
    values: np.ndarray[Any, Any],
    clusters: Sequence[Sequence[str]],
    rng: np.random.Generator,
    n_draws: int = 2000,
) -> FloatArray:
    """The mean of each draw of the bootstrap above; draws that hold no sample are left out.

    Parameters
    ----------
    values : array [n]
    clusters : sequence of sequences of str
        Of each sample, crossed.
    rng : Generator
    n_draws : int

    Raises
    ------
    ValueError
        If lengths differ or nothing is given.
    """
    samples: FloatArray = np.asarray(values, dtype=np.float64)
    if not len(samples) or not clusters or any(len(names) != len(samples) for names in clusters):
        lengths = [len(names) for names in clusters]
        raise ValueError(
            f"values and clusters must have one common length >= 1, got {len(samples)}, {lengths}"
        )
    weight, cells = cluster_weights(clusters, rng, n_draws)
    sums, counts = np.bincount(cells, samples), np.bincount(cells)
    total = weight @ counts
    drawn = total > 0
    means: FloatArray = (weight[drawn] @ sums) / total[drawn]
    return means


def cluster_weights(
    clusters: Sequence[Sequence[str]], rng: np.random.Generator, n_draws: int
) -> tuple[FloatArray, Int64Array]:
    """Weights of the bootstrap above, of each cell of samples that share all their clusters.

    Returns
    -------
    (float array [n_draws, n_cells], int array [n])
        Weight of each cell in each draw, and the cell of each sample.
    """
    # Kinds that cluster alike (both modalities of one event, say) are one kind, drawn once.
    coded: list[tuple[Int64Array, int]] = []
    for names in clusters:
        codes, n_clusters = _codes(names)
        if not any(np.array_equal(codes, known) for known, _ in coded):
            coded.append((codes, n_clusters))
    # Samples that share all their clusters always weigh the same: they are summed first.
    places, code = np.unique([c for c, _ in coded], axis=1, return_inverse=True)
    weight = np.ones((n_draws, places.shape[1]))
    for (_, n_clusters), place in zip(coded, places, strict=True):
        weight *= _multiplicities(n_clusters, n_draws, rng)[:, place]
    return weight, code.ravel().astype(np.int64)


def paired_difference_interval(
    first: np.ndarray[Any, Any],
    second: np.ndarray[Any, Any],
    rows: Sequence[str],
    columns: Sequence[str],
    rng: np.random.Generator,
    n_draws: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of ``mean(first - second)`` over the same samples, clustered as above.

    Parameters
    ----------
    first, second : array [n]
    rows, columns : sequence of str
        Clusters of each sample, crossed.
    rng : Generator
    n_draws : int
    level : float

    Raises
    ------
    ValueError
        If lengths differ, nothing is given, or ``level`` is not between 0 and 1.
    """
    if len(first) != len(second):
        raise ValueError(
            f"first and second must be of the same samples, got {len(first)} and {len(second)}"
        )
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    return cluster_interval(difference, [rows, columns], rng, n_draws, level)


def wilson_interval(n_right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share of independent samples.

    ``(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)`` with ``p = n_right/n``
    (Wilson 1927, doi:10.1080/01621459.1927.10502953). Samples that share a recording or a speaker
    are not independent: use :func:`cluster_interval` for them.

    Parameters
    ----------
    n_right, n : int
        Right answers among ``n`` samples.
    level : float

    Returns
    -------
    (low, high)

    Raises
    ------
    ValueError
        If not ``0 <= n_right <= n``, ``n < 1``, or ``level`` is not between 0 and 1.
    """
    if n < 1 or not 0 <= n_right <= n:
        raise ValueError(f"n_right must lie between 0 and n >= 1, got {n_right} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = n_right / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _codes(names: Sequence[str]) -> tuple[Int64Array, int]:
    """Cluster number of each sample, and how many clusters there are."""
    unique, codes = np.unique(np.asarray(names), return_inverse=True)
    return codes.astype(np.int64), len(unique)


def _multiplicities(n_clusters: int, n_draws: int, rng: np.random.Generator) -> Int64Array:
    """How often each cluster occurs in each draw, ``[n_draws, n_clusters]``."""
    counts: Int64Array = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), n_draws)
    return counts
