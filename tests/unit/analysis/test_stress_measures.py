"""Measures under stress against closed forms and hand-made answers."""

import numpy as np
import pytest
from scipy.stats import norm

from analysis.stress_measures import (
    area,
    d_prime_of,
    jensen_shannon,
    slope,
    tolerance,
    utilisation,
)
from sensors.scenes.observers import d_prime


def test_area_is_the_mean_of_a_line_and_keeps_leading_axes() -> None:
    # 0.9 to 0.5 linear over any spacing: mean 0.7.
    at = [0.0, 1.0, 4.0]
    line = np.array([0.9, 0.8, 0.5])
    assert area(line, at) == pytest.approx(0.7)
    # By hand: (1 * 0.85 + 3 * 0.65) / 4.
    assert area(np.stack([line, line - 0.1]), at) == pytest.approx([0.7, 0.6])
    with pytest.raises(ValueError, match="severity must ascend"):
        area(line, [0.0, 2.0, 1.0])
    with pytest.raises(ValueError, match="severity must ascend"):
        area(line, [0.0, 1.0])


def test_tolerance_of_a_triangle_is_where_it_crosses() -> None:
    at = [-100.0, 0.0, 100.0]
    # Falls from 1 at 0 to 0.5 at -100 and 0 at 100: 0.95 at -10 and 5.
    left, right, censored = tolerance(np.array([0.5, 1.0, 0.0]), at)
    assert (left, right, censored) == (pytest.approx(-10.0), pytest.approx(5.0), False)


def test_tolerance_beyond_the_levels_is_marked() -> None:
    left, right, censored = tolerance(np.array([0.9, 0.9, 0.5]), [-10.0, 0.0, 10.0])
    assert left == -10.0
    assert censored
    assert right == pytest.approx(10 * 0.05 * 0.9 / 0.4)


def test_utilisation_is_the_share_lost() -> None:
    assert utilisation(np.array(0.8), np.array(0.6)) == pytest.approx(0.25)


def test_d_prime_of_two_classes_is_the_closed_form() -> None:
    accuracy = norm.cdf(np.array([-0.5, 0.0, 0.4, 1.2]))
    found = d_prime_of(accuracy, 2, 10**6)
    np.testing.assert_allclose(found, [-1.0, 0.0, 0.8, 2.4], atol=1e-4)


@pytest.mark.parametrize("n_classes", [3, 10])
def test_d_prime_of_many_classes_is_the_solution_of_the_integral(n_classes: int) -> None:
    for value in (1 / n_classes, 0.5, 0.9, 0.99):
        assert d_prime_of(np.array(value), n_classes, 10**6) == pytest.approx(
            d_prime(value, n_classes), abs=2e-4
        )


def test_d_prime_of_a_simulated_observer_is_what_it_was_given(rng: np.random.Generator) -> None:
    evidence = rng.standard_normal((200_000, 10))
    evidence[:, 0] += 1.5
    accuracy = np.mean(evidence.argmax(1) == 0)
    assert d_prime_of(np.array(accuracy), 10, 200_000) == pytest.approx(1.5, abs=0.02)


def test_d_prime_of_all_right_is_that_of_half_an_error() -> None:
    assert d_prime_of(np.array(1.0), 2, 50) == pytest.approx(2 * norm.ppf(0.99), abs=1e-4)


def test_two_independent_readings_add_up_in_d_prime(rng: np.random.Generator) -> None:
    # Summed evidence of d' 1 and 2, each weighed by its d': the root of the sum of squares.
    first, second = rng.standard_normal((2, 200_000, 4))
    first[:, 0] += 1.0
    second[:, 0] += 2.0
    both = np.mean((first + 2 * second).argmax(1) == 0)
    assert d_prime_of(np.array(both), 4, 200_000) == pytest.approx(np.sqrt(5), abs=0.03)


def test_slope_of_a_line_and_of_nothing() -> None:
    x = np.array([[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]])
    found = slope(x, np.array([[5.0, 4.5, 3.5], [1.0, 2.0, 3.0]]))
    assert found[0] == pytest.approx(-0.5)
    assert np.isnan(found[1])


def test_jensen_shannon_of_the_same_the_opposite_and_half_way() -> None:
    with np.errstate(divide="ignore"):
        logs = np.log(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    assert jensen_shannon(logs, logs) == pytest.approx([0.0, 0.0, 0.0])
    # Half way: H(3/4, 1/4) - 1/2.
    half = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)) - 0.5
    assert jensen_shannon(logs[[0, 0]], logs[[1, 2]]) == pytest.approx([1.0, half])
