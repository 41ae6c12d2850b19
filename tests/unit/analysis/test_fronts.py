"""Fronts against brute force on random points and against closed forms."""

import itertools
import math

import numpy as np
import pytest

from analysis.fronts import (
    at_accuracy,
    cost_at,
    dominates,
    hypervolume,
    monotone_front,
    non_dominated,
)


def random_points(seed: int, n: int = 30, k: int = 3) -> np.ndarray:
    """Points on a coarse grid, so that ties and equal points occur."""
    return np.random.default_rng(seed).integers(0, 8, (n, k)).astype(float)


def beats(a: np.ndarray, b: np.ndarray) -> bool:
    """Dominance, written out."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(
        x < y for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("seed", range(5))
def test_non_dominated_equals_brute_force(seed: int) -> None:
    points = random_points(seed)
    expected = [not any(beats(a, b) for a in points) for b in points]
    assert non_dominated(points).tolist() == expected


@pytest.mark.parametrize("seed", range(5))
def test_the_monotone_front_is_the_non_dominated_set_sorted(seed: int) -> None:
    points = random_points(seed, k=2)
    accuracy, cost = points[:, 0], points[:, 1]
    front = monotone_front(accuracy, cost)
    kept = non_dominated(np.stack([-accuracy, cost], axis=1))
    assert {tuple(points[i]) for i in front} == {tuple(p) for p in points[kept]}
    assert (np.diff(accuracy[front]) > 0).all()
    assert (np.diff(cost[front]) > 0).all()


def test_between_two_points_the_cost_is_linear_in_accuracy() -> None:
    # A quarter of the way from 0.6 to 0.8; the point of 0.7 at a cost of 90 is not worth it.
    accuracies, costs = [0.6, 0.7, 0.8], [10.0, 90.0, 50.0]
    assert cost_at(accuracies, costs, 0.65) == pytest.approx(20.0)
    mixture = at_accuracy(accuracies, costs, 0.65)
    assert mixture is not None
    assert (mixture.low, mixture.high) == (0, 2)
    assert mixture.share == pytest.approx(0.25)
    assert mixture.of(accuracies) == pytest.approx(0.65)


def test_nothing_is_extrapolated() -> None:
    accuracies, costs = [0.6, 0.8], [10.0, 50.0]
    assert at_accuracy(accuracies, costs, 0.81) is None
    assert cost_at(accuracies, costs, 0.8) == 50.0
    assert cost_at(accuracies, costs, 0.3) == 10.0  # the cheapest there is does better already
    assert cost_at([], [], 0.5) is None


@pytest.mark.parametrize("seed", range(5))
def test_no_mixture_of_two_front_neighbours_is_cheaper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    accuracy, cost = rng.random(12), rng.random(12)
    target = float(rng.uniform(accuracy.min(), accuracy.max()))
    kept = np.flatnonzero(non_dominated(np.stack([-accuracy, cost], axis=1)))
    kept = kept[np.argsort(accuracy[kept])]
    if accuracy[kept[0]] >= target:
        expected = cost[kept[0]]
    else:
        expected = np.interp(target, accuracy[kept], cost[kept])
    assert cost_at(accuracy.tolist(), cost.tolist(), target) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(20))
def test_dominance_between_fronts_equals_brute_force(seed: int) -> None:
    first, second = random_points(seed, 4, 2), random_points(seed + 100, 3, 2)
    first[:, 0] -= seed % 4  # without a head start it is hardly ever true

    def covers(a: np.ndarray, b: np.ndarray) -> bool:
        return all(any((p <= q).all() for p in a) for q in b)

    assert dominates(first, second) == (covers(first, second) and not covers(second, first))


def test_a_front_does_not_dominate_itself_and_dominance_happens() -> None:
    points = random_points(3, 5, 2)
    assert not dominates(points, points)
    assert dominates(points - [0.0, 1.0], points)
    assert not dominates(points, points - [0.0, 1.0])


def test_hypervolume_of_steps_in_closed_form() -> None:
    # 0.5 above the floor over one decade, 0.7 above it over two.
    volume = hypervolume([0.6, 0.8, 0.7], [1.0, 10.0, 500.0], worst_cost=1000.0, floor=0.1)
    assert volume == pytest.approx(0.5 * 1 + 0.7 * 2)


def test_hypervolume_equals_a_fine_sum() -> None:
    rng = np.random.default_rng(0)
    accuracy, cost = rng.random(10), 10 ** rng.uniform(0, 3, 10)
    levels = np.linspace(math.log10(cost.min()), 3, 20_001)
    best = [max(a for a, c in zip(accuracy, cost, strict=True) if math.log10(c) <= level + 1e-12)
            for level in levels[:-1]]  # fmt: skip
    expected = np.maximum(np.array(best) - 0.2, 0).mean() * (levels[-1] - levels[0])
    found = hypervolume(accuracy.tolist(), cost.tolist(), 1000.0, 0.2)
    assert found == pytest.approx(expected, rel=1e-3)


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="same points, got 2 and 1"):
        at_accuracy([0.1, 0.2], [1.0], 0.1)
    with pytest.raises(ValueError, match="costs must be positive"):
        hypervolume([0.5], [0.0], 1.0, 0.0)


def test_order_of_points_makes_no_difference() -> None:
    accuracy, cost = [0.5, 0.7, 0.6], [1.0, 4.0, 2.0]
    for order in itertools.permutations(range(3)):
        found = cost_at([accuracy[i] for i in order], [cost[i] for i in order], 0.65)
        assert found == pytest.approx(3.0)
