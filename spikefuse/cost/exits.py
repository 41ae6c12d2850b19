"""Answering as soon as one is sure enough: the same rule for spiking and for dense models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikefuse._types import FloatArray, Int64Array

# From always at once to never before the end; denser where trained models spend their time.
THETAS = (
    *(round(0.1 + 0.05 * i, 2) for i in range(17)),
    0.925,
    0.95,
    0.97,
    0.98,
    0.99,
    0.995,
    0.999,
    1.0,
)


@dataclass(frozen=True)
class Exits:
    """Which answer each sample leaves with, for each threshold.

    Parameters
    ----------
    thetas : float array [H]
    index : int array [H, n]
        Position of the time at which a sample leaves.
    right : bool array [H, n]
    """

    thetas: FloatArray
    index: Int64Array
    right: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

    def at(self, values: FloatArray) -> FloatArray:
        """What holds at the exits of ``values [K, n]``, one row of times per threshold: [H, n]."""
        return np.asarray(values[self.index, np.arange(values.shape[1])])


def confidence(scores: FloatArray, temperature: float = 1.0) -> FloatArray:
    """Largest class probability at each time: scores ``[K, n, C]`` to ``[K, n]``.

    Raises
    ------
    ValueError
        If the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    scaled = np.asarray(scores, dtype=np.float64) / temperature
    return np.asarray(1.0 / np.exp(scaled - scaled.max(2, keepdims=True)).sum(2))


def exits(
    scores: FloatArray,
    labels: Int64Array,
    temperature: float = 1.0,
    thetas: tuple[float, ...] = THETAS,
) -> Exits:
    r"""Leave at the first time at which the largest probability reaches a threshold.

    .. math:: \tau = \min \{ t : \max_c \text{softmax}(z_t / T)_c \ge \theta \}

    or at the last time, if none does. The answer is the one of that time. A threshold of 1 is never
    reached, however the probabilities round.

    Parameters
    ----------
    scores : float array [K, n, C]
        Class scores at each time.
    labels : int array [n]
    temperature : float
    thetas : tuple of float

    References
    ----------
    Li et al., "SEENN: towards temporal spiking early-exit neural networks", NeurIPS 2023 (SEENN-I).
    """
    sure = confidence(scores, temperature)
    answers = scores.argmax(2)
    threshold = np.asarray(thetas, dtype=np.float64)
    reached = (sure[None] >= threshold[:, None, None]) & (threshold < 1)[:, None, None]
    first = np.where(reached.any(1), reached.argmax(1), len(sure) - 1)
    said = answers[first, np.arange(answers.shape[1])]
    return Exits(threshold, first.astype(np.int64), said == labels)


def cheapest_within(found: Exits, full_accuracy: float, tolerance: float = 0.01) -> int:
    """Position of the smallest threshold that keeps the accuracy of the last answer.

    Exits come later, and cost more, as the threshold rises: the smallest one is the cheapest on
    every profile.

    Parameters
    ----------
    found : Exits
        Of validation samples.
    full_accuracy : float
        Of the answers at the last time.
    tolerance : float
        How much accuracy may be lost, 0.01 for a point.
    """
    accuracy = found.right.mean(1)
    kept = np.flatnonzero(accuracy >= full_accuracy - tolerance - 1e-12)
    return int(kept[0]) if len(kept) else len(found.thetas) - 1
