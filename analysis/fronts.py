"""Fronts of accuracy, energy and latency: what is not dominated, and what an accuracy costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikefuse._types import FloatArray, Int64Array


@dataclass(frozen=True)
class Point:
    """One way to run a model: after some time, at an exit threshold, or another size of it.

    Parameters
    ----------
    accuracy : float
    energy_pj : float or None
        Mean per sample, modelled; None where it has no price.
    latency_ms : float or None
    source : str
        What the point is, such as "after 100 ms".
    """

    accuracy: float
    energy_pj: float | None
    latency_ms: float | None
    source: str


@dataclass(frozen=True)
class Mixture:
    """Two points of a front, the second one used for a share of the samples.

    Parameters
    ----------
    low, high : int
        Positions of the points; equal where one point alone is used.
    share : float
        Share of the second point, 0 to 1.
    """

    low: int
    high: int
    share: float

    def of(self, values: Sequence[float] | FloatArray) -> float:
        """Mean of what the two points cost."""
        return (1 - self.share) * float(values[self.low]) + self.share * float(values[self.high])


def non_dominated(costs: FloatArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    r"""Which points no other point dominates.

    .. math:: a \prec b \iff a_k \le b_k \text{ for all } k \text{ and } a_k < b_k
              \text{ for some } k

    Parameters
    ----------
    costs : float array [n, k]
        All to be minimised: give the accuracy negated.

    Returns
    -------
    bool array [n]
        Equal points are all kept.
    """
    points = np.asarray(costs, dtype=np.float64)
    no_worse = (points[:, None] <= points[None]).all(2)
    better = (points[:, None] < points[None]).any(2)
    return np.asarray(~(no_worse & better).any(0))


def monotone_front(accuracies: Sequence[float], costs: Sequence[float]) -> Int64Array:
    """Positions of the points that are worth their cost, by rising accuracy and cost.

    A point stays if no other one is at least as accurate and costs no more; of equal points the
    first stays.
    """
    accuracy, cost = np.asarray(accuracies, float), np.asarray(costs, float)
    kept: list[int] = []
    # Cheapest first, the most accurate of equally cheap ones before the others.
    for i in np.lexsort((np.arange(len(cost)), -accuracy, cost)):
        if not kept or accuracy[i] > accuracy[kept[-1]]:
            kept.append(int(i))
    return np.asarray(kept, dtype=np.int64)


def at_accuracy(
    accuracies: Sequence[float], costs: Sequence[float], target: float
) -> Mixture | None:
    r"""How a model reaches an accuracy at the least cost, along its front.

    .. math:: c(A) = c_i + \frac{A - A_i}{A_{i+1} - A_i} (c_{i+1} - c_i), \quad
              A_i < A \le A_{i+1}

    between neighbours of `monotone_front`. It is what answering a random share of the samples at
    point i + 1 and the others at point i costs and reaches, in the mean.

    Parameters
    ----------
    accuracies, costs : sequence of float [n]
    target : float

    Returns
    -------
    Mixture or None
        None if no point is that accurate: not reached, nothing is extrapolated. The cheapest point
        alone where that one is more accurate already.
    """
    if len(accuracies) != len(costs):
        raise ValueError(
            f"accuracies and costs must be of the same points, got {len(accuracies)} and "
            f"{len(costs)}"
        )
    front = monotone_front(accuracies, costs)
    reached = [int(i) for i in front if accuracies[i] >= target]
    if not reached:
        return None
    high = reached[0]
    before = [int(i) for i in front if accuracies[i] < target]
    if not before:
        return Mixture(high, high, 0.0)
    low = before[-1]
    share = (target - accuracies[low]) / (accuracies[high] - accuracies[low])
    return Mixture(low, high, share)


def cost_at(accuracies: Sequence[float], costs: Sequence[float], target: float) -> float | None:
    """Least cost of an accuracy along the front; None where it is not reached."""
    mixture = at_accuracy(accuracies, costs, target)
    return None if mixture is None else mixture.of(costs)


def dominates(first: FloatArray, second: FloatArray) -> bool:
    """Whether one front is better than another: every point of the other has a match in it.

    Parameters
    ----------
    first, second : float array [n, k], [m, k]
        Costs, all to be minimised.

    Returns
    -------
    bool
        Every point of ``second`` is weakly dominated by a point of ``first``, and not the reverse.

    References
    ----------
    Zitzler et al., Performance assessment of multiobjective optimizers, IEEE TEVC 7(2), 2003: the
    relation "better" between sets of points.
    """
    return _covers(first, second) and not _covers(second, first)


def hypervolume(
    accuracies: Sequence[float], costs: Sequence[float], worst_cost: float, floor: float
) -> float:
    r"""Area under a front: accuracy above a floor, over decades of cost up to the worst one.

    .. math:: V = \int_{\log_{10} c_{min}}^{\log_{10} c_{worst}}
              \max(0, \max_{c_i \le c} A_i - A_{floor}) \, d \log_{10} c

    A secondary figure: it depends on ``worst_cost`` and ``floor``, and a front may have more of it
    without dominating the other.

    Parameters
    ----------
    accuracies, costs : sequence of float
        Of each point.
    worst_cost, floor : float

    Raises
    ------
    ValueError
        If a cost is not positive.
    """
    if not all(cost > 0 for cost in (*costs, worst_cost)):
        raise ValueError(f"costs must be positive, got {[*costs, worst_cost]}")
    front = [i for i in monotone_front(accuracies, costs) if costs[i] < worst_cost]
    ends = [*(costs[i] for i in front[1:]), worst_cost]
    return math.fsum(
        max(0.0, accuracies[i] - floor) * math.log10(end / costs[i])
        for i, end in zip(front, ends, strict=False)
    )


def _covers(first: FloatArray, second: FloatArray) -> bool:
    """Whether every point of the second is weakly dominated by a point of the first."""
    return bool((first[:, None] <= second[None]).all(2).any(0).all())
