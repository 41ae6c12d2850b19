"""The log-opinion pool and the independence bound against closed forms."""

import numpy as np
import pytest

from analysis.calibration import normalised
from analysis.pooling import Recordings, log_opinion_pool, matched_accuracy, recordings_of


def test_the_pool_is_bayes_rule_of_independent_modalities() -> None:
    vision, audio = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.5, 0.3])
    pooled = log_opinion_pool([np.log(vision)[None], np.log(audio)[None]], [1.0, 1.0])
    np.testing.assert_allclose(np.exp(pooled[0]), vision * audio / (vision * audio).sum())


def test_a_hot_modality_counts_for_less() -> None:
    sure, unsure = np.log([[0.99, 0.01]]), np.log([[0.3, 0.7]])
    assert log_opinion_pool([sure, unsure], [1.0, 1.0]).argmax() == 0
    assert log_opinion_pool([sure, unsure], [10.0, 1.0]).argmax() == 1
    with pytest.raises(ValueError, match="got 2 and 1"):
        log_opinion_pool([sure, unsure], [1.0])


def test_every_recording_stands_once() -> None:
    log_probs = np.log([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]])
    found = recordings_of(log_probs, np.array([0, 1, 0]), np.array([5, 2, 5]), ["a", "b", "a"])
    assert found.labels.tolist() == [1, 0]
    assert list(found.groups) == ["b", "a"]
    np.testing.assert_allclose(found.log_probs, log_probs[[1, 0]])


def test_matched_pairs_by_hand() -> None:
    # Class 0: vision says 0 by 2 nats or 1 by 1 nat; audio says 0 by 3 nats or 1 by 1 nat.
    vision = Recordings(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), ["v0", "v1"])
    audio = Recordings(np.array([[3.0, 0.0], [0.0, 1.5]]), np.array([0, 0]), ["s", "t"])
    right, rows, columns = matched_accuracy(vision, audio)
    assert right.tolist() == [1, 1, 1, 0]
    assert rows == ["v0", "v0", "v1", "v1"]
    assert columns == ["s", "t", "s", "t"]


def test_the_bound_is_the_accuracy_of_independent_gaussian_evidence() -> None:
    # Two classes, a unit-variance cue at +-d/2 in each modality: log odds are d x, and the best use
    # of both has d'^2 = d_v^2 + d_a^2, so accuracy is Phi(d' / 2).
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 1000)

    def cue(d: float) -> Recordings:
        x = rng.standard_normal(2000) + d * (labels - 0.5)
        scores = np.stack([-d * x / 2, d * x / 2], 1)
        return Recordings(normalised(scores), labels, [str(i) for i in range(2000)])

    vision, audio = cue(1.5), cue(1.0)
    right, _, _ = matched_accuracy(vision, audio)
    assert len(right) == 2 * 1000 * 1000
    assert right.mean() == pytest.approx(norm.cdf(np.hypot(1.5, 1.0) / 2), abs=0.012)
    alone = (vision.log_probs.argmax(1) == labels).mean()
    assert alone == pytest.approx(norm.cdf(0.75), abs=0.025)
    assert right.mean() > alone
