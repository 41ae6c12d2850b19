"""The nested bootstrap: clusters outside, seeds inside, one draw of recordings for all models."""

import numpy as np
import pytest

from analysis.nested import nested_difference, nested_means
from analysis.stats import cluster_means, interval_of

RNG = np.random.default_rng(5)
NAMES = [f"v{i % 9}" for i in range(60)]
SPEAKERS = [f"a{i % 4}" for i in range(60)]


def test_one_seed_is_the_clustered_bootstrap() -> None:
    right = (RNG.random((1, 60)) < 0.7).astype(float)
    (found,) = nested_means([right], [NAMES, SPEAKERS], np.random.default_rng(0), 500)
    expected = cluster_means(right[0], [NAMES, SPEAKERS], np.random.default_rng(0), 500)
    assert found == pytest.approx(expected)


def test_equal_seeds_add_nothing() -> None:
    right = np.tile((RNG.random(60) < 0.7).astype(float), (5, 1))
    (found,) = nested_means([right], [NAMES], np.random.default_rng(0), 500)
    expected = cluster_means(right[0], [NAMES], np.random.default_rng(0), 500)
    assert found == pytest.approx(expected)


def test_with_one_cluster_the_variance_is_that_of_the_seeds() -> None:
    # Seed means 0, 1/4 .. 1: the bootstrap variance of their mean is their variance / 5.
    right = np.stack([np.full(60, level) for level in (0.0, 0.25, 0.5, 0.75, 1.0)])
    (found,) = nested_means([right], [["one"] * 60], np.random.default_rng(0), 40_000)
    assert found.mean() == pytest.approx(0.5, abs=0.005)
    assert found.var() == pytest.approx(0.125 / 5, rel=0.03)


def test_seeds_widen_the_interval_of_recordings() -> None:
    base = (RNG.random(60) < 0.7).astype(float)
    seeds = np.stack([base * (RNG.random(60) < keep) for keep in (0.5, 0.75, 1.0)])
    draws = [
        nested_means([array], [NAMES], np.random.default_rng(0), 4000)[0]
        for array in (seeds.mean(0, keepdims=True), seeds)
    ]
    assert draws[1].std() > 1.2 * draws[0].std()


def test_models_share_the_draw_of_recordings() -> None:
    right = (RNG.random((1, 60)) < 0.7).astype(float)
    assert nested_difference(right, right, [NAMES], np.random.default_rng(0)) == (0.0, 0.0)


def test_times_are_kept_and_equal_the_times_alone() -> None:
    by_time = (RNG.random((2, 3, 60)) < 0.6).astype(float)
    (found,) = nested_means([by_time], [NAMES], np.random.default_rng(1), 300)
    assert found.shape == (300, 3)
    (last,) = nested_means([by_time[:, 2]], [NAMES], np.random.default_rng(1), 300)
    assert found[:, 2] == pytest.approx(last)


def test_interval_is_between_quantiles() -> None:
    assert interval_of(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="same samples"):
        nested_means([np.ones((1, 3))], [["a"] * 4], RNG)
    with pytest.raises(ValueError, match="same samples"):
        nested_means([np.ones((1, 3))], [], RNG)
