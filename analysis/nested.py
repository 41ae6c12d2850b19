"""Nested bootstrap: which recordings were tested, and with which seeds the models were trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.stats import cluster_weights, interval_of
from spikefuse._types import FloatArray


def nested_means(
    right: Sequence[FloatArray],
    clusters: Sequence[Sequence[str]],
    rng: np.random.Generator,
    n_draws: int = 2000,
) -> list[FloatArray]:
    r"""Accuracies of several models in draws of test recordings (outer) and of seeds (inner).

    .. math:: A^*_m = \frac{\sum_s k_{m,s} \sum_i w_i x_{m,s,i}}{S_m \sum_i w_i}

    with the weights w of the clustered bootstrap (see `analysis.stats.cluster_interval`), the same
    for all models, and for each model how often each of its seeds was drawn, k. Models are trained
    apart, so each draws its own seeds.

    Parameters
    ----------
    right : sequence of float array [S, ..., n]
        One entry per model: 1 where the model of a seed answered a sample rightly. Axes between
        are kept, such as the times of an answer; they share the draw.
    clusters : sequences of n cluster names
    rng : numpy Generator
    n_draws : int

    Returns
    -------
    list of float array [d, ...]
        d is ``n_draws`` less the draws that hold no sample.

    Raises
    ------
    ValueError
        If lengths differ or nothing is given.
    """
    n_samples = {array.shape[-1] for array in right} | {len(names) for names in clusters}
    if not clusters or len(n_samples) != 1 or n_samples == {0}:
        raise ValueError(
            f"right and clusters must be of the same samples, got lengths {sorted(n_samples)}"
        )
    weight, cells = cluster_weights(clusters, rng, n_draws)
    total = weight @ np.bincount(cells)
    drawn = total > 0
    share = weight[drawn] / total[drawn, None]
    members = np.zeros((len(cells), share.shape[1]))
    members[np.arange(len(cells)), cells] = 1.0
    found: list[FloatArray] = []
    for array in right:
        n_seeds = len(array)
        seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n_draws)[drawn] / n_seeds
        by_cell = np.asarray(array, dtype=np.float64) @ members  # [S, ..., cells]
        found.append(np.einsum("ds,s...c,dc->d...", seeds, by_cell, share, optimize=True))
    return found


def nested_difference(
    first: FloatArray,
    second: FloatArray,
    clusters: Sequence[Sequence[str]],
    rng: np.random.Generator,
    n_draws: int = 2000,
) -> tuple[float, float]:
    """95 % interval of ``mean(first) - mean(second)``, each ``[S, n]`` on the same samples.

    Parameters
    ----------
    first, second : array [S, n]
        By seed and sample.
    clusters : sequence of sequences of str
        Of each sample, crossed.
    rng : Generator
    n_draws : int
    """
    ours, theirs = nested_means([first, second], clusters, rng, n_draws)
    return interval_of(ours - theirs)
