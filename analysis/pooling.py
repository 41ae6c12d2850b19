r"""What two modalities that know nothing of each other are worth together.

The log-opinion pool adds the unimodal models' calibrated log-probabilities,
:math:`\log p(c | v, a) = \log p(c | v) + \log p(c | a) + \text{const}`: Bayes' rule if modalities
are independent given the class, classes are equally likely and the posteriors are true (Genest and
Zidek, Statistical Science 1(1), 1986).

The independence bound is the accuracy of that rule over *all* label-matched pairs of test
recordings, not only those that were paired: pairs drawn anew within a class are independent given
the class by construction. Fusion learned from label-paired data has nothing else to learn; it can
exceed the bound only by better features, or by answers better calibrated than the unimodal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.calibration import at_temperature, normalised
from spikefuse._types import FloatArray, Int64Array


@dataclass(frozen=True)
class Recordings:
    """A unimodal model's word on each test recording of its modality.

    Parameters
    ----------
    log_probs : float [n, C]
    labels : int [n]
    groups : sequence of n str
        Clusters: recordings of vision, speakers.
    """

    log_probs: FloatArray
    labels: Int64Array
    groups: Sequence[str]


def log_opinion_pool(parts: Sequence[FloatArray], temperatures: Sequence[float]) -> FloatArray:
    """Normalised sum of log-probabilities ``[n, C]``, each at its temperature.

    Raises
    ------
    ValueError
        If nothing is given, or the numbers of parts and temperatures differ.
    """
    if not parts or len(parts) != len(temperatures):
        raise ValueError(
            f"parts must be one or more, each with a temperature, got {len(parts)} and "
            f"{len(temperatures)}"
        )
    votes = [at_temperature(p, t) for p, t in zip(parts, temperatures, strict=True)]
    return normalised(np.sum(votes, axis=0))


def recordings_of(
    log_probs: FloatArray, labels: Int64Array, index: Int64Array, groups: Sequence[str]
) -> Recordings:
    """One row per recording of a table of pairs, where ``index`` [n] names each pair's recording.

    A unimodal model says the same of a recording in every pair, so the first pair stands for it.

    Parameters
    ----------
    log_probs : array [n, C]
    labels, index : array [n]
    groups : sequence of str
        Of each pair.
    """
    _, first = np.unique(index, return_index=True)
    return Recordings(log_probs[first], labels[first], [groups[int(i)] for i in first])


def matched_accuracy(
    first: Recordings, second: Recordings
) -> tuple[FloatArray, list[str], list[str]]:
    """Right or wrong of the pool for every label-matched pair, and the pair's two clusters.

    Returns
    -------
    right : float [n]
        1 where the pool of a pair names its class; pairs class by class.
    rows, columns : lists of n str
    """
    right: list[FloatArray] = []
    rows: list[str] = []
    columns: list[str] = []
    for label in np.unique(first.labels):
        mine, other = (np.flatnonzero(side.labels == label) for side in (first, second))
        pooled = first.log_probs[mine][:, None] + second.log_probs[other][None]
        right.append((pooled.argmax(2) == label).astype(np.float64).ravel())
        rows += [first.groups[int(i)] for i in mine for _ in other]
        columns += [second.groups[int(j)] for _ in mine for j in other]
    return np.concatenate(right), rows, columns
