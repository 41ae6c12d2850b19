"""Whether stated probabilities are true: NLL, Brier score, calibration error, risk and coverage.

Everything takes natural-log class probabilities ``[n, C]`` of the final decision and the labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikefuse._types import BoolArray, FloatArray, Int64Array

N_BINS = 15
_N_DRAWS = 200


@dataclass(frozen=True)
class Reliability:
    """Samples by confidence, in equal-width bins ``((m - 1) / M, m / M]``.

    Parameters
    ----------
    count : int [M]
    confidence, accuracy : float [M]
        Means of each bin; 0 where it is empty.
    """

    count: Int64Array
    confidence: FloatArray
    accuracy: FloatArray

    @property
    def ece(self) -> float:
        """Mean distance of accuracy and confidence, weighted by the bins' counts."""
        gap = np.abs(self.accuracy - self.confidence)
        return float((self.count * gap).sum() / self.count.sum())


def nll(log_probs: FloatArray, labels: Int64Array) -> float:
    """Mean negative log-likelihood in nats, ``-mean(log p[label])``.

    Raises
    ------
    ValueError
        If shapes do not fit, or a row is no distribution.
    """
    logs, truth = _checked(log_probs, labels)
    return float(-logs[np.arange(len(truth)), truth].mean())


def brier(log_probs: FloatArray, labels: Int64Array) -> float:
    """Mean squared distance to the true class, ``mean(sum_c (p_c - [c = label])^2)``: 0 to 2.

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review
    78(1), 1950.
    """
    logs, truth = _checked(log_probs, labels)
    distance = np.exp(logs)
    distance[np.arange(len(truth)), truth] -= 1
    return float((distance**2).sum(1).mean())


def reliability(log_probs: FloatArray, labels: Int64Array, n_bins: int = N_BINS) -> Reliability:
    """Accuracy of the most probable class against its probability (the confidence).

    Raises
    ------
    ValueError
        As of `nll`, or if ``n_bins`` is under 1.
    """
    confidence, right = _decisions(log_probs, labels)
    return _binned(confidence, right, n_bins)


def ece(log_probs: FloatArray, labels: Int64Array, n_bins: int = N_BINS) -> float:
    r"""Expected calibration error of the decision, :math:`\sum_m \frac{n_m}{n} |acc_m - conf_m|`.

    With few samples it is biased upwards: a perfectly calibrated model does not score 0. Compare
    it with `ece_if_calibrated`. It sees the decided class only.

    References
    ----------
    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; Guo
    et al., "On calibration of modern neural networks", ICML 2017, arXiv:1706.04599 (15 bins). On
    the bias: Roelofs et al., AISTATS 2022, arXiv:2012.08668.
    """
    return reliability(log_probs, labels, n_bins).ece


def ece_if_calibrated(
    log_probs: FloatArray, rng: np.random.Generator, n_bins: int = N_BINS, n_draws: int = _N_DRAWS
) -> float:
    """Mean ECE of the same confidences if they were true: answers right with that probability.

    The resampling of Bröcker and Smith, "Increasing the reliability of reliability diagrams",
    Weather and Forecasting 22(3), 2007: what the number of samples alone brings about.

    Parameters
    ----------
    log_probs : array [n, C]
    rng : Generator
    n_bins, n_draws : int
    """
    confidence = np.exp(np.asarray(log_probs, dtype=np.float64).max(1))
    draws = rng.random((n_draws, len(confidence))) < confidence
    return float(np.mean([_binned(confidence, right, n_bins).ece for right in draws]))


def risk_coverage(log_probs: FloatArray, labels: Int64Array) -> tuple[FloatArray, FloatArray]:
    """Share of wrong answers among the k most confident samples, for every k.

    Samples of equal confidence have no order: within such a group the errors count as spread
    evenly, which is the mean over all orders.

    Returns
    -------
    coverage, risk : float [n]
        ``k / n`` and the risk there, k = 1 to n.

    References
    ----------
    Geifman and El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017,
    arXiv:1705.08500.
    """
    confidence, right = _decisions(log_probs, labels)
    order = np.argsort(-confidence, kind="stable")
    _, group = np.unique(-confidence[order], return_inverse=True)
    wrong_of_group = np.bincount(group, ~right[order]) / np.bincount(group)
    k = np.arange(1, len(right) + 1)
    return k / len(right), np.cumsum(wrong_of_group[group]) / k


def aurc(log_probs: FloatArray, labels: Int64Array) -> float:
    """Area under the risk-coverage curve: the mean of its n risks, 0 if nothing is wrong.

    A model that is wrong in a share e of samples and knows nothing of it scores e.

    References
    ----------
    Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers",
    ICLR 2019, arXiv:1805.08206.
    """
    return float(risk_coverage(log_probs, labels)[1].mean())


def describe_calibration(log_probs: FloatArray, labels: Int64Array) -> dict[str, float]:
    """The scores above by name: ``nll``, ``brier``, ``ece``, ``ece_if_calibrated``, ``aurc``."""
    return {
        "nll": nll(log_probs, labels),
        "brier": brier(log_probs, labels),
        "ece": ece(log_probs, labels),
        "ece_if_calibrated": ece_if_calibrated(log_probs, np.random.default_rng(0)),
        "aurc": aurc(log_probs, labels),
    }


def at_temperature(log_probs: FloatArray, temperature: float) -> FloatArray:
    """Log-probabilities at a temperature: ``log softmax(log p / T)``; the answer stays the same.

    Raises
    ------
    ValueError
        If ``temperature`` is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return normalised(np.asarray(log_probs, dtype=np.float64) / temperature)


def normalised(scores: FloatArray) -> FloatArray:
    """Log-softmax over the last axis."""
    shifted: FloatArray = scores - scores.max(-1, keepdims=True)
    total: FloatArray = np.exp(shifted).sum(-1, keepdims=True)
    return shifted - np.log(total)


def _decisions(log_probs: FloatArray, labels: Int64Array) -> tuple[FloatArray, BoolArray]:
    """Confidence of each answer and whether it is right, ``[n]``."""
    logs, truth = _checked(log_probs, labels)
    return np.exp(logs.max(1)), logs.argmax(1) == truth


def _binned(confidence: FloatArray, right: BoolArray, n_bins: int) -> Reliability:
    """Means by bin."""
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    place = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    count = np.bincount(place, minlength=n_bins)
    least = np.maximum(count, 1)
    sums = [np.bincount(place, values, n_bins) / least for values in (confidence, right)]
    return Reliability(count, sums[0], sums[1])


def _checked(log_probs: FloatArray, labels: Int64Array) -> tuple[FloatArray, Int64Array]:
    """Both as arrays of their type, if they are what they should be."""
    logs: FloatArray = np.array(log_probs, dtype=np.float64)
    truth: Int64Array = np.asarray(labels, dtype=np.int64)
    if logs.ndim != 2 or not len(logs) or truth.shape != logs.shape[:1]:
        raise ValueError(
            "log_probs must be [n, C] with a label for each of one or more samples, got "
            f"{logs.shape} and {truth.shape}"
        )
    if not np.allclose(np.exp(logs).sum(1), 1, atol=1e-4):
        raise ValueError("log_probs must be logs of distributions, got rows that do not sum to 1")
    return logs, truth
