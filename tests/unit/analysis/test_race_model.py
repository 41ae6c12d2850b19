"""Race-model inequality against closed forms and simulated races."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.race_model import decision_times_ms, race_model


def _exponential(rng: np.random.Generator, mean_ms: float, n: int = 4000) -> np.ndarray:
    return rng.exponential(mean_ms, n)


def test_an_independent_race_keeps_the_bound() -> None:
    rng = np.random.default_rng(1)
    first, second = _exponential(rng, 100), _exponential(rng, 60)
    both = np.minimum(_exponential(rng, 100), _exponential(rng, 60))
    found = race_model(both, first, second, n_draws=200)
    assert found.violation < 0.02
    assert found.p_value > 0.05


def test_both_distribution_is_that_of_the_minimum_of_two_exponentials() -> None:
    rng = np.random.default_rng(2)
    both = np.minimum(_exponential(rng, 100), _exponential(rng, 60))
    found = race_model(both, _exponential(rng, 100), _exponential(rng, 60), n_draws=10)
    assert found.both == pytest.approx(1 - np.exp(-found.times_ms * (1 / 100 + 1 / 60)), abs=0.03)
    bound = np.minimum(1, 2 - np.exp(-found.times_ms / 100) - np.exp(-found.times_ms / 60))
    assert found.bound == pytest.approx(bound, abs=0.03)


def test_a_negatively_dependent_race_meets_the_bound_exactly() -> None:
    # T_A = F^-1(u), T_V = F^-1(1 - u): the events {T_A <= t}, {T_V <= t} are disjoint below the
    # median, so that the race has the bound itself as its distribution.
    u = (np.arange(4000) + 0.5) / 4000
    first, second = -100 * np.log(1 - u), -100 * np.log(u)
    found = race_model(np.minimum(first, second), first, second, n_draws=200)
    assert abs(found.violation) < 1e-3
    assert found.p_value > 0.05


def test_coactivation_breaks_the_bound() -> None:
    # Twice the rate of two exponentials' race: at small t the density is 4/100 against 2/100.
    rng = np.random.default_rng(3)
    found = race_model(
        _exponential(rng, 25), _exponential(rng, 100), _exponential(rng, 100), n_draws=200
    )
    t = found.times_ms
    expected = (1 - np.exp(-t / 25) - np.minimum(1, 2 - 2 * np.exp(-t / 100))).max()
    assert found.violation == pytest.approx(expected, abs=0.03)
    assert found.interval[0] > 0
    assert found.p_value < 0.01


def test_area_is_the_integral_of_the_excess() -> None:
    # Both at 10 ms, either alone at 30 ms: the excess is 1 for 20 ms.
    found = race_model(np.full(9, 10.0), np.full(9, 30.0), np.full(9, 30.0), n_draws=10)
    assert found.area_ms == pytest.approx(20.0)
    assert found.violation == 1.0


def test_undecided_samples_stay_in_the_denominator() -> None:
    both = np.array([10.0, 10.0, np.inf, np.nan])
    found = race_model(both, np.full(4, 50.0), np.full(4, 50.0), n_draws=10)
    assert found.both[-1] == 0.5


@pytest.mark.parametrize("both", [np.zeros(0), np.full(3, np.inf)])
def test_no_decision_is_refused(both: np.ndarray) -> None:
    with pytest.raises(ValueError, match="both_ms must hold"):
        race_model(both, np.ones(3), np.ones(3))


def test_a_decision_stands_when_the_answer_is_right_and_stays_so() -> None:
    answers = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]])
    times = np.array([10.0, 20.0, 30.0])
    assert decision_times_ms(answers, np.array([1, 0, 1, 1]), times).tolist() == [
        30.0,
        10.0,
        np.inf,
        20.0,
    ]
