"""Decoder bounds on channels whose information is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.calibration import normalised
from analysis.information import dependence_in_use, entropy_bits, information_bound, pointwise_bits
from spikefuse._types import FloatArray, Int64Array

N = 20_000


def _own(n: int) -> list[list[str]]:
    """Independent samples in 100 clusters, or as many as there are: quick, and no less right."""
    return [[str(i % 100) for i in range(n)]]


def _h(p: float) -> float:
    return float(-p * np.log2(p) - (1 - p) * np.log2(1 - p))


def _log_probs(p_one: FloatArray) -> FloatArray:
    return np.log(np.stack([1 - p_one, p_one], -1))


def _binary(flip: float, rng: np.random.Generator, n: int = N) -> tuple[Int64Array, Int64Array]:
    y = rng.integers(0, 2, n)
    return y, y ^ (rng.random(n) < flip)


@pytest.mark.parametrize("flip", [0.02, 0.11, 0.4])
def test_true_decoder_of_a_binary_symmetric_channel_gives_its_capacity(flip: float) -> None:
    y, x = _binary(flip, np.random.default_rng(0))
    found = information_bound(_log_probs(np.where(x == 1, 1 - flip, flip))[None], y, _own(N))
    error = np.sqrt(flip * (1 - flip) / N) * np.log2((1 - flip) / flip)
    assert abs(found.bits - (1 - _h(flip))) < 3 * error
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.96 * error, rel=0.25)


def test_true_decoder_of_a_gaussian_channel_gives_its_information() -> None:
    # y = +-1 with even chances, x = y + noise of deviation 1: the integral is exact.
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, N)
    x = 2 * y - 1 + rng.normal(size=N)
    found = information_bound(_log_probs(1 / (1 + np.exp(-2 * x)))[None], y, _own(N))
    grid = np.linspace(-10, 10, 20_001)
    density = np.exp(-0.5 * (grid - 1) ** 2) / np.sqrt(2 * np.pi)
    loss = (density * np.log2(1 + np.exp(-2 * grid))).sum() * (grid[1] - grid[0])
    assert found.bits == pytest.approx(1 - loss, abs=0.015)


def test_wrong_decoder_proves_less_by_its_divergence() -> None:
    # Probabilities too sure of themselves: q(right) = 0.99 where it is 0.8.
    y, x = _binary(0.2, np.random.default_rng(2))
    found = information_bound(_log_probs(np.where(x == 1, 0.99, 0.01))[None], y, _own(N)).bits
    gap = 0.8 * np.log2(0.8 / 0.99) + 0.2 * np.log2(0.2 / 0.01)
    assert found == pytest.approx(1 - _h(0.2) - gap, abs=0.03)
    assert found < 1 - _h(0.2)


def test_uniform_answers_prove_nothing_and_certainty_all() -> None:
    y = np.arange(400) % 4
    uniform = np.full((1, 400, 4), np.log(0.25))
    assert information_bound(uniform, y, _own(400)).bits == pytest.approx(0, abs=1e-12)
    with np.errstate(divide="ignore"):
        certain = np.log(np.eye(4)[y])[None]
    assert information_bound(certain, y, _own(400)).bits == pytest.approx(2)
    assert entropy_bits(y) == pytest.approx(2)


def test_bound_is_the_mean_over_decoders() -> None:
    y = np.array([0, 1, 0, 1])
    half, sure = np.full((4, 2), np.log(0.5)), np.log(np.eye(2)[y] * 0.98 + 0.01)
    found = information_bound(np.stack([half, sure]), y, _own(4))
    assert found.by_seed == pytest.approx((0, 1 + np.log2(0.99)))
    assert found.bits == pytest.approx(np.mean(found.by_seed))


def test_interval_is_wider_where_samples_hang_together() -> None:
    y, x = _binary(0.1, np.random.default_rng(3), 100)
    once = _log_probs(np.where(x == 1, 0.9, 0.1))[None]
    many, labels = np.repeat(once, 20, axis=1), np.repeat(y, 20)
    names = [str(i) for i in range(100) for _ in range(20)]
    apart = information_bound(many, labels, _own(2000)).interval
    together = information_bound(many, labels, [names]).interval
    assert together[1] - together[0] > 3 * (apart[1] - apart[0])


def _exclusive_or(
    sure: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, Int64Array]:
    """A decoder of y = v xor a on true pairs, and with a from another sample of the class."""
    v, a = rng.integers(0, 2, (2, 4000))
    y = v ^ a

    def answers(other: Int64Array) -> FloatArray:
        return _log_probs(np.where(v ^ other == 1, sure, 1 - sure))

    exchanged = []
    for _ in range(3):
        other = a.copy()
        for label in (0, 1):
            rows = np.flatnonzero(y == label)
            other[rows] = a[rng.permutation(rows)]
        exchanged.append(answers(other))
    return answers(a), np.stack(exchanged), y


def test_dependence_of_exclusive_or_is_one_bit() -> None:
    intact, exchanged, y = _exclusive_or(1 - 1e-6, np.random.default_rng(4))
    found = dependence_in_use(intact, exchanged, y, _own(len(y)), n_draws=200)
    assert found.bits == pytest.approx(1, abs=0.03)
    assert found.interval[0] < 1 < found.interval[1] + 0.02
    assert found.accuracy_lost == pytest.approx(0.5, abs=0.03)


def test_unsure_decoder_proves_less_dependence() -> None:
    intact, exchanged, y = _exclusive_or(0.8, np.random.default_rng(5))
    found = dependence_in_use(intact, exchanged, y, _own(len(y)), n_draws=50)
    # E[log2 q] = log2 0.8 for true pairs; half of the exchanged ones have q = 0.8, half 0.2.
    assert found.bits == pytest.approx(np.log2(0.8) - np.log2(0.5), abs=0.02)
    assert found.cross_entropy_lost == pytest.approx(0.5 * np.log2(0.8 / 0.2), abs=0.05)


def test_no_dependence_is_found_between_parts_that_only_share_the_class() -> None:
    rng = np.random.default_rng(6)
    y = rng.integers(0, 3, 3000)
    means = np.eye(3)[y]

    def logits(a: FloatArray) -> FloatArray:
        scores = v + a
        return normalised(scores)

    v, a = 3 * means + rng.normal(size=means.shape), 2 * means + rng.normal(size=means.shape)
    again = [2 * means + rng.normal(size=means.shape) for _ in range(3)]
    exchanged = np.stack([logits(x) for x in again])
    found = dependence_in_use(logits(a), exchanged, y, _own(3000), n_draws=200)
    assert found.bits <= 0.01
    assert abs(found.accuracy_lost) < 0.02
    assert found.lost_interval[0] < 0 < found.lost_interval[1]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="log_probs must hold a row"):
        pointwise_bits(np.zeros((1, 3, 2)), np.zeros(4, np.int64))
    with pytest.raises(ValueError, match=r"exchanged \[K, n, C\]"):
        dependence_in_use(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros(3, np.int64), _own(3))
