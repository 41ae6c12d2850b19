"""Retrieval across modalities: mean average precision by class, recall by instance, and chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.stats import cluster_interval
from spikefuse._types import BoolArray, FloatArray, Int64Array

Array = np.ndarray[Any, Any]


def average_precision(scores: Array, relevant: Array) -> FloatArray:
    r"""Average precision of each query, the expectation over random orders of tied candidates.

    Without ties, with ranks :math:`r_1 < \dots < r_m` of the relevant candidates,
    :math:`\text{AP} = \frac{1}{m} \sum_i i / r_i`. A run of n tied candidates, ρ of them relevant,
    behind s others with R relevant, adds

    .. math:: \frac{1}{m} \frac{\rho}{n} \sum_{j=1}^n
              \frac{R + 1 + (j - 1) (\rho - 1) / (n - 1)}{s + j}.

    Scores that say nothing so get what chance gives (`chance_average_precision`), no more.
    scikit-learn's ``average_precision_score`` gives every member of a run the precision at the
    run's end instead; without ties the two agree.

    Parameters
    ----------
    scores : array [Q, N]
        Of every candidate for each query; higher is nearer.
    relevant : bool array [Q, N]

    Returns
    -------
    float array [Q]

    Raises
    ------
    ValueError
        If shapes differ, a score is not a number, or a query has no relevant candidate.

    References
    ----------
    McSherry and Najork, "Computing information retrieval performance measures efficiently in the
    presence of tied scores", ECIR 2008.
    """
    scores = _checked(scores)
    wanted: BoolArray = np.asarray(relevant, dtype=np.bool_)
    if wanted.shape != scores.shape:
        raise ValueError(
            f"relevant must be of the scores' shape {scores.shape}, got {wanted.shape}"
        )
    if not wanted.any(axis=1).all():
        query = int(np.flatnonzero(~wanted.any(axis=1))[0])
        raise ValueError(f"relevant must hold one or more of each query, got none of query {query}")
    return np.array([_one_query(*row) for row in zip(scores, wanted, strict=True)])


def _one_query(scores: FloatArray, wanted: BoolArray) -> float:
    """`average_precision` of one query."""
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], wanted[order].astype(np.float64)
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    sizes = np.diff(np.r_[starts, len(ranked)])
    own = np.add.reduceat(hit, starts)
    before = np.cumsum(own) - own
    run = np.repeat(np.arange(len(starts)), sizes)
    within = np.arange(len(ranked)) - starts[run]  # j - 1
    others = within * np.maximum(own - 1, 0)[run] / np.maximum(sizes - 1, 1)[run]
    precision = (before[run] + 1 + others) / (np.arange(len(ranked)) + 1)
    return float(((own / sizes)[run] * precision).sum() / wanted.sum())


def class_precision(scores: Array, queries: Array, candidates: Array) -> FloatArray:
    """Average precision of each query, [Q]; a candidate is relevant if its class is the query's.

    Parameters
    ----------
    scores : array [Q, N]
    queries, candidates : int arrays [Q], [N]
        Classes.
    """
    return average_precision(scores, np.asarray(queries)[:, None] == np.asarray(candidates)[None])


def chance_average_precision(n_relevant: Array | int, n: int) -> FloatArray:
    r"""Expected average precision of a random order of n candidates, m of them relevant.

    A relevant candidate is at each rank k with probability 1 / n and then has
    :math:`(k - 1) \frac{m - 1}{n - 1}` others before it on average, so

    .. math:: \mathbb{E}[\text{AP}] = \frac{H_n}{n} + \frac{m - 1}{n - 1}
              \left(1 - \frac{H_n}{n}\right), \quad H_n = \sum_{k \le n} \frac{1}{k}.

    It is above the share of relevant candidates m / n.

    Parameters
    ----------
    n_relevant : int array or int
    n : int

    Returns
    -------
    float array of the shape of ``n_relevant``

    Raises
    ------
    ValueError
        If not ``1 <= n_relevant <= n``.
    """
    m: Int64Array = np.asarray(n_relevant, dtype=np.int64)
    if n < 1 or m.min() < 1 or m.max() > n:
        raise ValueError(f"n_relevant must lie between 1 and n, got {n_relevant} of {n}")
    first = float((1 / np.arange(1, n + 1)).sum() / n)
    chance: FloatArray = first + (m - 1) / max(n - 1, 1) * (1 - first)
    return chance


def chance_class_precision(queries: Array, candidates: Array) -> float:
    """Mean over the queries of `chance_average_precision`, for these class counts."""
    found = np.asarray(candidates)
    n_relevant = (np.asarray(queries)[:, None] == found[None]).sum(axis=1)
    return float(chance_average_precision(n_relevant, len(found)).mean())


def recall_at(scores: Array, targets: Array, k: int) -> FloatArray:
    """Whether each query's own candidate is among the first k; chance is k / N.

    A target tied with others counts the probability that a random order of them puts it there.

    Parameters
    ----------
    scores : array [Q, N]
    targets : int array [Q]
        Candidate that shares the query's source.
    k : int

    Returns
    -------
    float array [Q]

    Raises
    ------
    ValueError
        If shapes differ, a score is not a number, or not ``1 <= k <= N``.
    """
    scores = _checked(scores)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k must lie between 1 and {scores.shape[1]}, got {k}")
    targets = np.asarray(targets)
    if targets.shape != scores.shape[:1]:
        raise ValueError(f"targets must be [{len(scores)}], got {targets.shape}")
    own = scores[np.arange(len(scores)), targets][:, None]
    ahead, tied = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    found: FloatArray = np.clip((k - ahead) / tied, 0.0, 1.0)
    return found


def mean_interval(
    values: Array, groups: Sequence[str], rng: np.random.Generator, level: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of a mean over queries, resampling whole groups of them.

    It holds for other queries of these kinds against the same candidates.

    Parameters
    ----------
    values : float array [Q]
    groups : sequence of Q names
        What queries hang together by: a speaker, a gallery.
    rng : numpy Generator
    level : float

    Returns
    -------
    (low, high)
    """
    return cluster_interval(values, [groups], rng, level=level)


def _checked(scores: Array) -> FloatArray:
    """Scores as float64 ``[Q, N]`` without a NaN."""
    checked: FloatArray = np.asarray(scores, dtype=np.float64)
    if checked.ndim != 2 or not checked.size:
        raise ValueError(f"scores must be [Q, N] with one or more of each, got {checked.shape}")
    if np.isnan(checked).any():
        raise ValueError("scores must be numbers, got a NaN")
    return checked
