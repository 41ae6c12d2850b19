"""Information in bits from what decoders say: lower bounds, and what they use of a dependence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.answers import clusters_of
from analysis.calibration import at_temperature
from analysis.records import RunRecord
from analysis.stats import cluster_interval, cluster_weights, interval_of
from spikefuse._types import FloatArray, Int64Array
from spikefuse.errors import DataError

_LN2 = float(np.log(2))


@dataclass(frozen=True)
class InformationBound:
    """A lower bound on I(X; Y).

    Parameters
    ----------
    bits : float
        ``entropy_bits`` less the cross-entropy. Below 0 the decoder is worse than the shares of the
        classes; information itself never is.
    interval : (float, float)
        95 % of it, over clusters of test samples; the decoders stay as they are.
    entropy_bits : float
        H(Y) of the test labels, and so the most there can be.
    by_seed : tuple of float
        The bound of each decoder; ``bits`` is their mean.
    """

    bits: float
    interval: tuple[float, float]
    entropy_bits: float
    by_seed: tuple[float, ...]


def entropy_bits(labels: Int64Array) -> float:
    """Entropy of the shares of the labels. From few samples it is low by (C - 1) / (2 n ln 2)."""
    shares = np.bincount(np.asarray(labels, np.int64)) / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def pointwise_bits(log_probs: FloatArray, labels: Int64Array) -> FloatArray:
    r"""Bits that each answer tells of its label, :math:`\log_2 q(y | x) - \log_2 p(y)`.

    Parameters
    ----------
    log_probs : float array [..., n, C]
        Natural-log class probabilities.
    labels : int [n]
        ``p`` are their shares.

    Returns
    -------
    float array [..., n]

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    logs, truth = np.asarray(log_probs, np.float64), np.asarray(labels, np.int64)
    if not len(truth) or logs.shape[-2:-1] != truth.shape:
        raise ValueError(
            "log_probs must hold a row for each of one or more labels, got "
            f"{logs.shape} for {len(truth)}"
        )
    shares = np.bincount(truth) / len(truth)
    bits: FloatArray = (logs[..., np.arange(len(truth)), truth] - np.log(shares[truth])) / _LN2
    return bits


def information_bound(
    log_probs: FloatArray, labels: Int64Array, clusters: Sequence[Sequence[str]], seed: int = 0
) -> InformationBound:
    r"""What a decoder's probabilities on held-out samples prove of I(X; Y).

    .. math:: I(X; Y) = H(Y) - H(Y | X) \ge H(Y) + E[\log_2 q(Y | X)]

    for every decoder q that has not seen the samples; the gap is the mean of
    :math:`KL(p(y | x) \| q(y | x))`. So the bias goes one way: a weak, untrained or miscalibrated
    decoder proves less, never too much. A difference of two bounds is a bound on nothing.

    Parameters
    ----------
    log_probs : float array [S, n, C]
        Natural-log class probabilities of each seed's decoder.
    labels : int [n]
    clusters : sequences of n cluster names
        As of `analysis.stats.cluster_interval`.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ValueError
        If shapes do not fit.

    References
    ----------
    Barber and Agakov, "The IM algorithm", NIPS 2003. On spike trains: Quian Quiroga and Panzeri,
    Nature Reviews Neuroscience 10, 2009.
    """
    by_seed = pointwise_bits(log_probs, labels)
    mean = by_seed.mean(0)
    interval = cluster_interval(mean, clusters, np.random.default_rng(seed))
    each = tuple(float(bits) for bits in by_seed.mean(1))
    return InformationBound(float(mean.mean()), interval, entropy_bits(labels), each)


@dataclass(frozen=True)
class DependenceInUse:
    """What goes when a modality is exchanged for that of another sample of the same class.

    Parameters
    ----------
    bits : float
        Lower bound on I(V; A | Y), see `dependence_in_use`.
    interval : (float, float)
        95 % of it, over clusters of samples.
    accuracy_lost : float
        Share of right answers before, less that after.
    lost_interval : (float, float)
    cross_entropy_lost : float
        Bits that an answer tells less of its label afterwards.
    """

    bits: float
    interval: tuple[float, float]
    accuracy_lost: float
    lost_interval: tuple[float, float]
    cross_entropy_lost: float


def dependence_in_use(
    intact: FloatArray,
    exchanged: FloatArray,
    labels: Int64Array,
    clusters: Sequence[Sequence[str]],
    seed: int = 0,
    n_draws: int = 1000,
) -> DependenceInUse:
    r"""What each modality tells of the other given the label, as far as a decoder uses it.

    The decoder's probability of the true class is the critic of Donsker and Varadhan's bound on
    the divergence of true pairs from pairs exchanged within the class:

    .. math:: I(V; A | Y) \ge \sum_y p(y) \big( E_y[\log_2 q(y | v, a)]
              - \log_2 E_y[q(y | v, a')] \big)

    with a' from another sample of class y. Data that are paired by label alone have
    I(V; A | Y) = 0, and the bound is then 0 or below. The logarithm of a mean over few samples is
    low in the mean, which biases the bound up by about var(q) / (2 n E[q]^2 ln 2) of each class's
    n exchanged pairs; everything else biases it down.

    Parameters
    ----------
    intact : float array [n, C]
        Natural-log class probabilities of true pairs.
    exchanged : float array [K, n, C]
        The same with the other modality of K other samples of the class.
    labels : int [n]
    clusters : sequences of n cluster names
    seed, n_draws : int
        Of the bootstrap.

    Raises
    ------
    ValueError
        If shapes do not fit.

    References
    ----------
    Donsker and Varadhan, Comm. Pure Appl. Math. 28, 1975; as an estimate from a trained critic:
    Belghazi et al., "Mutual information neural estimation", ICML 2018, arXiv:1801.04062.
    """
    truth = np.asarray(labels, np.int64)
    if exchanged.ndim != 3 or intact.shape != exchanged.shape[1:] or len(intact) != len(truth):
        raise ValueError(
            "intact must be [n, C], exchanged [K, n, C] and labels [n], got "
            f"{intact.shape}, {exchanged.shape}, {truth.shape}"
        )
    rows = np.arange(len(truth))
    log_true = np.asarray(intact, np.float64)[rows, truth]
    critic = np.exp(np.asarray(exchanged, np.float64)[:, rows, truth]).mean(0)
    classes = np.eye(truth.max() + 1)[truth]  # [n, C]
    rng = np.random.default_rng(seed)
    weight, cells = cluster_weights(clusters, rng, n_draws)
    drawn = _dependence(weight[:, cells], log_true, critic, classes)
    whole = _dependence(np.ones((1, len(truth))), log_true, critic, classes)
    right = (np.argmax(intact, 1) == truth).astype(np.float64)
    lost = right - (np.argmax(exchanged, 2) == truth).mean(0)
    return DependenceInUse(
        float(whole[0]),
        interval_of(drawn[np.isfinite(drawn)]),
        float(lost.mean()),
        cluster_interval(lost, clusters, rng),
        float((log_true - np.asarray(exchanged, np.float64)[:, rows, truth].mean(0)).mean() / _LN2),
    )


def _dependence(
    weight: FloatArray, log_true: FloatArray, critic: FloatArray, classes: FloatArray
) -> FloatArray:
    """The bound in bits for each row of weights ``[D, n]``; classes that a draw lacks are left."""
    of_class = weight @ classes  # [D, C]
    first = weight @ (classes * log_true[:, None])
    second = weight @ (classes * critic[:, None])
    there = of_class > 0
    n = np.where(there, of_class, 1.0)
    gap = np.where(there, first / n - np.log(np.where(there, second / n, 1.0)), 0.0)
    bits: FloatArray = (of_class * gap).sum(1) / of_class.sum(1) / _LN2
    return bits


def run_bounds(run: RunRecord) -> dict[str, InformationBound]:
    """`information_bound` of every model of a run, decoders calibrated on validation pairs.

    Raises
    ------
    DataError
        If the run holds no ``scores.npz`` or ``predictions.csv``.
    """
    if run.scores is None or run.predictions is None:
        raise DataError(f"RUN must hold scores.npz and predictions.csv, got not both in {run.path}")
    labels = run.scores["test.labels"].astype(np.int64)
    clusters = clusters_of(run.predictions, np.arange(len(labels)))
    found: dict[str, InformationBound] = {}
    for model in run.result["models"]:
        log_probs = calibrated(run, model)
        if log_probs is not None:
            found[model] = information_bound(log_probs, labels, clusters)
    return found


def calibrated(run: RunRecord, model: str) -> FloatArray | None:
    """Test log-probabilities [S, n, C] of a model at the temperatures found on validation."""
    scores: dict[str, Any] = run.scores or {}
    entry = run.result["models"][model]
    temperatures = entry["calibration"]["temperature_by_seed"]
    names = [f"test.{model}.seed{seed}" for seed in run.result["seeds"]]
    if not all(name in scores for name in names):
        return None
    return np.stack(
        [at_temperature(scores[n], t) for n, t in zip(names, temperatures, strict=True)]
    )
