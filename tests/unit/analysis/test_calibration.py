"""Calibration and risk-coverage against hand counts."""

import itertools

import numpy as np
import pytest

from analysis.calibration import (
    at_temperature,
    aurc,
    brier,
    describe_calibration,
    ece,
    ece_if_calibrated,
    nll,
    reliability,
    risk_coverage,
)


def answers(confidences, right) -> tuple[np.ndarray, np.ndarray]:
    """Two classes; the first is answered with each confidence, and is the truth where right."""
    p = np.array(confidences)
    return np.log(np.stack([p, 1 - p], 1)), np.where(right, 0, 1)


def test_nll_and_brier_by_hand() -> None:
    log_probs = np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])
    labels = np.array([0, 1])
    assert nll(log_probs, labels) == pytest.approx(-(np.log(0.7) + np.log(0.25)) / 2)
    by_hand = (0.3**2 + 0.2**2 + 0.1**2 + 0.25**2 + 0.75**2 + 0.5**2) / 2
    assert brier(log_probs, labels) == pytest.approx(by_hand)


def test_scores_agree_with_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss, log_loss

    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.99, 200)
    labels = rng.integers(0, 2, 200)
    log_probs = np.log(np.stack([1 - p, p], 1))
    assert nll(log_probs, labels) == pytest.approx(log_loss(labels, p))
    assert brier(log_probs, labels) == pytest.approx(2 * brier_score_loss(labels, p))


def test_ece_by_hand() -> None:
    # Bins of a fifth: 0.7 and 0.8 share ((3/5, 4/5]); 0.9 and 1 share the last one.
    log_probs, labels = answers([0.7, 0.8, 0.9, 0.99], [True, False, True, True])
    found = reliability(log_probs, labels, 5)
    assert found.count.tolist() == [0, 0, 0, 2, 2]
    np.testing.assert_allclose(found.confidence[3:], [0.75, 0.945])
    np.testing.assert_allclose(found.accuracy[3:], [0.5, 1.0])
    assert ece(log_probs, labels, 5) == pytest.approx(0.5 * 0.25 + 0.5 * 0.055)


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    log_probs = np.array([[0.0, -np.inf], [0.0, -np.inf]])
    assert reliability(log_probs, np.array([0, 1])).count.tolist() == [0] * 14 + [2]
    assert ece(log_probs, np.array([0, 1])) == pytest.approx(0.5)


def test_few_samples_bias_ece_upwards() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.5, 1, 20_000)
    log_probs, labels = answers(p, rng.random(len(p)) < p)
    assert ece(log_probs, labels) < 0.01
    few = np.mean([ece(log_probs[i::400], labels[i::400]) for i in range(100)])
    expected = ece_if_calibrated(log_probs[:50], np.random.default_rng(0))
    assert few > 0.05
    assert expected == pytest.approx(few, rel=0.15)


def test_risk_coverage_by_hand() -> None:
    log_probs, labels = answers([0.6, 0.9, 0.8, 0.7], [False, True, False, True])
    coverage, risk = risk_coverage(log_probs, labels)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 1 / 2, 1 / 3, 2 / 4])
    assert aurc(log_probs, labels) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_ties_are_the_mean_over_all_orders() -> None:
    right = np.array([True, False, True, True, False])
    confidence = np.array([0.9, 0.7, 0.7, 0.7, 0.6])
    k = np.arange(1, 6)
    by_order = []
    for middle in itertools.permutations([1, 2, 3]):
        wrong = ~right[[0, *middle, 4]]
        by_order.append(np.cumsum(wrong) / k)
    risk = risk_coverage(*answers(confidence, right))[1]
    np.testing.assert_allclose(risk, np.mean(by_order, 0))


def test_knowing_nothing_scores_the_error_rate() -> None:
    log_probs, labels = answers(np.full(10, 0.6), [True] * 7 + [False] * 3)
    assert aurc(log_probs, labels) == pytest.approx(0.3)


def test_temperature_changes_confidence_and_no_answer() -> None:
    log_probs = np.log([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
    hotter = at_temperature(log_probs, 2.0)
    roots = np.sqrt([0.7, 0.2, 0.1])
    np.testing.assert_allclose(np.exp(hotter[0]), roots / roots.sum())
    assert hotter.argmax(1).tolist() == [0, 1]
    np.testing.assert_allclose(at_temperature(log_probs, 1.0), log_probs)
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        at_temperature(log_probs, 0.0)


def test_a_description_holds_every_score() -> None:
    log_probs, labels = answers([0.9, 0.8], [True, True])
    found = describe_calibration(log_probs, labels)
    assert found["nll"] == nll(log_probs, labels)
    assert set(found) == {"nll", "brier", "ece", "ece_if_calibrated", "aurc"}


def test_what_is_no_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match="do not sum to 1"):
        nll(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(3,\)"):
        ece(np.full((2, 3), -np.log(3)), np.zeros(3))
    with pytest.raises(ValueError, match="n_bins must be at least 1, got 0"):
        ece(np.full((1, 3), -np.log(3)), np.zeros(1), 0)
