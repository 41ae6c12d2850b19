"""Clustered intervals."""

import numpy as np
import pytest

from analysis.stats import paired_difference_interval, two_way_cluster_interval


def test_independent_samples_give_the_binomial_interval(rng) -> None:
    values = (np.arange(400) < 300).astype(float)
    rows = [str(i) for i in range(400)]
    low, high = two_way_cluster_interval(values, rows, ["one"] * 400, rng)
    width = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - width, abs=0.01)
    assert high == pytest.approx(0.75 + width, abs=0.01)


def test_clusters_widen_the_interval(rng) -> None:
    values = np.repeat(rng.random(20) < 0.7, 20).astype(float)
    rows = [str(i) for i in range(400)]
    clusters = [str(i // 20) for i in range(400)]
    alone = two_way_cluster_interval(values, rows, ["one"] * 400, np.random.default_rng(0))
    together = two_way_cluster_interval(values, rows, clusters, np.random.default_rng(0))
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_equal_models_differ_by_nothing(rng) -> None:
    values = rng.random(50) < 0.5
    names = [str(i) for i in range(50)]
    assert paired_difference_interval(values, values, names, names, rng) == (0.0, 0.0)


def test_lengths_must_agree(rng) -> None:
    with pytest.raises(ValueError, match="one common length >= 1, got 2, 1, 2"):
        two_way_cluster_interval(np.ones(2), ["a"], ["a", "b"], rng)
