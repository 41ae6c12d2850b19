"""Exits by confidence: against a loop over samples, and in the limits."""

import numpy as np
import pytest

from spikefuse.cost.exits import THETAS, cheapest_within, confidence, exits


def scores_of(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, n)
    scores = rng.normal(size=(9, n, 4)).cumsum(0)
    scores[:, np.arange(n), labels] += 0.5 * np.arange(1, 10)[:, None]
    return scores, labels


def test_the_confidence_is_the_largest_softmax() -> None:
    scores, _ = scores_of()
    power = np.exp(scores / 2.0)
    assert confidence(scores, 2.0) == pytest.approx((power / power.sum(2, keepdims=True)).max(2))
    with pytest.raises(ValueError, match="temperature must be positive"):
        confidence(scores, 0.0)


def test_each_sample_leaves_when_it_is_first_sure_enough() -> None:
    scores, labels = scores_of()
    found = exits(scores, labels)
    sure = confidence(scores)
    for h, theta in enumerate(THETAS):
        for i in range(len(labels)):
            times = [t for t in range(len(scores)) if sure[t, i] >= theta < 1]
            expected = times[0] if times else len(scores) - 1
            assert found.index[h, i] == expected
            assert found.right[h, i] == (scores[expected, i].argmax() == labels[i])


def test_a_higher_threshold_never_leaves_earlier() -> None:
    scores, labels = scores_of()
    found = exits(scores, labels)
    assert (np.diff(found.index, axis=0) >= 0).all()
    assert not found.index[0].any()  # ten percent is always reached among four classes
    spent = np.arange(1.0, 10.0)[:, None].repeat(len(labels), 1)
    assert (np.diff(found.at(spent).mean(1)) >= 0).all()


def test_the_last_threshold_waits_for_the_end() -> None:
    scores, labels = scores_of()
    found = exits(1e3 * scores, labels)  # probabilities of exactly 1
    assert (found.index[-1] == len(scores) - 1).all()
    assert found.right[-1].mean() == (scores[-1].argmax(1) == labels).mean()


def test_the_cheapest_exit_loses_no_more_than_is_allowed() -> None:
    scores, labels = scores_of()
    found = exits(np.tanh(scores), labels)
    full = float(found.right[-1].mean())
    chosen = cheapest_within(found, full, 0.05)
    accuracy = found.right.mean(1)
    assert accuracy[chosen] >= full - 0.05
    assert (accuracy[:chosen] < full - 0.05).all()
    assert cheapest_within(found, 2.0) == len(THETAS) - 1
