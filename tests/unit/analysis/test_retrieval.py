"""Retrieval measures against scikit-learn, enumeration of tie orders and Monte Carlo."""

import itertools

import numpy as np
import pytest

from analysis.retrieval import (
    average_precision,
    chance_average_precision,
    chance_class_precision,
    class_precision,
    mean_interval,
    recall_at,
)


def test_without_ties_it_is_scikit_learns(rng) -> None:
    from sklearn.metrics import average_precision_score

    scores, relevant = rng.normal(size=(30, 40)), rng.random((30, 40)) < 0.2
    relevant[:, 0] = True
    expected = [average_precision_score(r, s) for r, s in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(average_precision(scores, relevant), expected, rtol=1e-12)


def test_tied_candidates_count_as_the_mean_over_their_orders() -> None:
    scores = np.array([2.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    relevant = np.array([0, 1, 0, 1, 1, 0], dtype=bool)
    found = []
    for order in itertools.permutations(range(6)):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            hits = np.flatnonzero(relevant[list(order)])
            found.append(np.mean([(i + 1) / (rank + 1) for i, rank in enumerate(hits)]))
    assert len(found) == 6 * 2
    assert average_precision(scores[None], relevant[None])[0] == pytest.approx(np.mean(found))


def test_scores_that_are_all_equal_get_chance_and_no_more(rng) -> None:
    queries, candidates = rng.integers(0, 4, 20), rng.integers(0, 4, 50)
    equal = class_precision(np.zeros((20, 50)), queries, candidates).mean()
    assert equal == pytest.approx(chance_class_precision(queries, candidates), rel=1e-12)


@pytest.mark.parametrize(("m", "n"), [(1, 7), (3, 20), (20, 20), (1, 1)])
def test_chance_is_the_mean_over_random_orders(m, n, rng) -> None:
    relevant = np.broadcast_to(np.arange(n) < m, (4000, n))
    found = average_precision(rng.random((4000, n)), relevant)
    error = 4 * found.std() / np.sqrt(4000) + 1e-12
    assert chance_average_precision(m, n) == pytest.approx(found.mean(), abs=error)


def test_chance_follows_the_class_counts(rng) -> None:
    queries, candidates = np.array([0, 0, 1]), np.repeat([0, 1], [30, 5])
    expected = (2 * chance_average_precision(30, 35) + chance_average_precision(5, 35)) / 3
    assert chance_class_precision(queries, candidates) == pytest.approx(float(expected))
    drawn = [class_precision(rng.random((3, 35)), queries, candidates).mean() for _ in range(800)]
    assert np.mean(drawn) == pytest.approx(float(expected), abs=0.02)


def test_recall_counts_targets_among_the_first(rng) -> None:
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    targets = np.array([0, 1, 0])
    np.testing.assert_array_equal(recall_at(scores, targets, 1), [1, 0, 0])
    np.testing.assert_array_equal(recall_at(scores, targets, 2), [1, 1, 0])
    np.testing.assert_array_equal(recall_at(scores, targets, 3), [1, 1, 1])


def test_tied_targets_count_their_probability() -> None:
    scores = np.array([[5.0, 2.0, 2.0, 2.0, 0.0]])
    found = [float(recall_at(scores, np.array([2]), k)[0]) for k in range(1, 6)]
    assert found == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert recall_at(np.zeros((1, 50)), np.array([3]), 5)[0] == pytest.approx(5 / 50)


def test_groups_widen_the_interval_of_a_mean() -> None:
    values = np.repeat(np.random.default_rng(0).random(20), 20)
    groups = [str(i // 20) for i in range(400)]
    alone = [str(i) for i in range(400)]
    wide = mean_interval(values, groups, np.random.default_rng(1))
    narrow = mean_interval(values, alone, np.random.default_rng(1))
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])
    assert wide[0] < values.mean() < wide[1]


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="got none of query 1"):
        average_precision(np.zeros((2, 3)), np.array([[1, 0, 0], [0, 0, 0]]))
    with pytest.raises(ValueError, match=r"relevant must be of the scores' shape \(2, 3\)"):
        average_precision(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="scores must be numbers, got a NaN"):
        recall_at(np.array([[np.nan, 1.0]]), np.array([0]), 1)
    with pytest.raises(ValueError, match="k must lie between 1 and 3, got 4"):
        recall_at(np.zeros((2, 3)), np.zeros(2, dtype=int), 4)
    with pytest.raises(ValueError, match="targets must be"):
        recall_at(np.zeros((2, 3)), np.zeros(3, dtype=int), 1)
    with pytest.raises(ValueError, match="n_relevant must lie between 1 and n, got 4 of 3"):
        chance_average_precision(4, 3)
