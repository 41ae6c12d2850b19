"""Clustered intervals."""

import numpy as np
import pytest

from analysis.stats import (
    accuracy_interval,
    cluster_interval,
    paired_difference_interval,
    wilson_interval,
)


def test_independent_samples_give_the_binomial_interval(rng) -> None:
    values = (np.arange(400) < 300).astype(float)
    rows = [str(i) for i in range(400)]
    low, high = cluster_interval(values, [rows, ["one"] * 400], rng)
    width = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - width, abs=0.01)
    assert high == pytest.approx(0.75 + width, abs=0.01)


def test_clusters_widen_the_interval(rng) -> None:
    values = np.repeat(rng.random(20) < 0.7, 20).astype(float)
    rows = [str(i) for i in range(400)]
    clusters = [str(i // 20) for i in range(400)]
    alone = cluster_interval(values, [rows, ["one"] * 400], np.random.default_rng(0))
    together = cluster_interval(values, [rows, clusters], np.random.default_rng(0))
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_equal_models_differ_by_nothing(rng) -> None:
    values = rng.random(50) < 0.5
    names = [str(i) for i in range(50)]
    assert paired_difference_interval(values, values, names, names, rng) == (0.0, 0.0)


def test_lengths_must_agree(rng) -> None:
    with pytest.raises(ValueError, match=r"one common length >= 1, got 2, \[1, 2\]"):
        cluster_interval(np.ones(2), [["a"], ["a", "b"]], rng)


def test_few_speakers_are_resampled_as_whole_clusters() -> None:
    """Two speakers, one always right: draws are 0, 1/2 and 1 with 1/4, 1/2, 1/4."""
    values = np.repeat([0.0, 1.0], 50)
    speakers = np.repeat(["a", "b"], 50).tolist()
    interval = cluster_interval(values, [["one"] * 100, speakers], np.random.default_rng(0))
    assert interval == (0.0, 1.0)
    narrow = cluster_interval(
        values, [["one"] * 100, speakers], np.random.default_rng(0), level=0.4
    )
    assert narrow == (0.5, 0.5)


def test_pairing_takes_out_what_samples_share(rng) -> None:
    hard = rng.random(400) < 0.5
    first = np.where(hard, 0.0, 1.0)
    second = first.copy()
    second[:4] = 1 - second[:4]
    rows = [str(i) for i in range(400)]
    low, high = paired_difference_interval(first, second, rows, ["one"] * 400, rng)
    assert high - low < 0.04  # unpaired, 400 fair coins a side give 0.14


def test_paired_lengths_must_agree(rng) -> None:
    with pytest.raises(ValueError, match="same samples, got 2 and 3"):
        paired_difference_interval(np.ones(2), np.ones(3), ["a"] * 2, ["a"] * 2, rng)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_level_is_a_share(rng, level) -> None:
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        cluster_interval(np.ones(2), [["a"] * 2, ["b"] * 2], rng, level=level)
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        wilson_interval(1, 2, level)


@pytest.mark.parametrize(("n_right", "n"), [(0, 10), (3, 10), (10, 10), (81, 263), (1, 29)])
def test_wilson_agrees_with_scipy(n_right, n) -> None:
    from scipy.stats import binomtest

    expected = binomtest(n_right, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(n_right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_newcombe_1998() -> None:
    """Table I of Newcombe, Statist. Med. 17 (1998): 81 of 263 gives 0.2553 to 0.3662."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("n_right", "n"), [(1, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_impossible_counts(n_right, n) -> None:
    with pytest.raises(ValueError, match="n_right must lie between 0 and n >= 1"):
        wilson_interval(n_right, n)


def test_any_number_of_clusterings() -> None:
    rng = np.random.default_rng(3)
    values = rng.random(60)
    rows, columns = [f"r{i % 12}" for i in range(60)], [f"c{i // 12}" for i in range(60)]
    two = cluster_interval(values, [rows, columns], np.random.default_rng(0))
    # Sample by sample, in the order in which clusters are drawn.
    drawn = np.random.default_rng(0)
    place = np.unique(rows, return_inverse=True)[1]
    row = drawn.multinomial(12, np.full(12, 1 / 12), 2000)[:, place]
    column = drawn.multinomial(5, np.full(5, 1 / 5), 2000)[:, [i // 12 for i in range(60)]]
    weight = row * column
    weight = weight[weight.sum(1) > 0]
    means = (weight * values).sum(1) / weight.sum(1)
    assert two == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    # One cluster of all samples cannot be resampled: it changes nothing. A real third one widens.
    one = cluster_interval(values, [rows, columns, ["x"] * 60], np.random.default_rng(0))
    assert one == pytest.approx(two)
    thirds = [f"t{i % 2}" for i in range(60)]
    values = np.array([i % 2 for i in range(60)], dtype=float)
    low, high = cluster_interval(values, [rows, thirds], np.random.default_rng(0))
    assert (low, high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="one common length"):
        cluster_interval(values, [rows[:5]], rng)


def test_all_right_is_not_certain(rng) -> None:
    recordings, speakers = [str(k) for k in range(1000)], [str(k % 4) for k in range(1000)]
    for clusters in ([recordings], [recordings, speakers]):
        assert accuracy_interval(np.ones(1000), clusters) == wilson_interval(1000, 1000)
        assert accuracy_interval(np.zeros(1000), clusters) == wilson_interval(0, 1000)
    some = (rng.random(1000) < 0.9).astype(float)
    expected = cluster_interval(some, [recordings], np.random.default_rng(0))
    assert accuracy_interval(some, [recordings]) == expected


def test_modalities_of_one_event_are_one_clustering() -> None:
    values = np.random.default_rng(3).integers(0, 2, 60).astype(np.float64)
    names = [f"event{i}" for i in range(60)]
    once = cluster_interval(values, [names], np.random.default_rng(0))
    assert cluster_interval(values, [names, list(names)], np.random.default_rng(0)) == once
