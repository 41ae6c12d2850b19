"""Quantities per sample of a stress suite, and their means in shared draws of the test pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.nested import nested_means
from analysis.stats import interval_of
from analysis.stress_measures import jensen_shannon
from experiments.stress.conditions import CLEAN, missing
from experiments.stress.plan import only
from experiments.stress.run import Response, Stressed
from spikefuse._types import FloatArray

N_DRAWS = 1000
Figure = dict[str, Any]


@dataclass(frozen=True)
class Means:
    """Means of one model's quantities, over all samples and in every draw of the bootstrap.

    Parameters
    ----------
    value : mapping of quantity to float
    draws : mapping of quantity to float [d]
        The draws of test pairs are the same for all models.
    """

    value: Mapping[str, float]
    draws: Mapping[str, FloatArray]

    def figure(
        self, measure: Callable[[FloatArray], FloatArray | float], names: Sequence[str]
    ) -> Figure:
        """A measure of some quantities and its 95 % interval.

        Parameters
        ----------
        measure : callable
            Of an array [..., len(names)]; NaN says that there is no value.
        names : sequence of str
        """
        value = float(measure(np.array([self.value[name] for name in names])))
        drawn = np.asarray(measure(self.stacked(names)))
        return figure_of(value, drawn)

    def mean(self, name: str) -> Figure:
        """One quantity's mean."""
        return figure_of(self.value[name], self.draws[name])

    def stacked(self, names: Sequence[str]) -> FloatArray:
        """Draws of some quantities, [d, len(names)]."""
        return np.stack([self.draws[name] for name in names], axis=-1)


def figure_of(value: float, drawn: FloatArray) -> Figure:
    """``value`` and ``interval``; None where there is none."""
    known = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(known):
        return {"value": None, "interval": None}
    return {"value": value, "interval": list(interval_of(known))}


def right(condition: str) -> str:
    """Name of the accuracy under a condition."""
    return f"right {condition}"


def foreign_class(condition: str) -> str:
    """Name of the share of answers that are the class of the foreign modality."""
    return f"foreign {condition}"


def right_at(condition: str, index: int) -> str:
    """Name of the accuracy under a condition of the answer after one of the times."""
    return f"right {condition} at {index}"


def agreement(first: str, second: str) -> str:
    """Name of how often two readings answer alike: a modality alone, or "all"."""
    return f"agree {first} {second}"


def divergence(first: str, second: str) -> str:
    """Name of the mean Jensen-Shannon divergence of two readings."""
    return f"js {first} {second}"


def means_of(tested: Stressed, seed: int) -> dict[str, Means]:
    """Means of all quantities of every model; groups and seeds are resampled."""
    rows = {model: rows_of(tested, model) for model in tested.responses}
    tables = [np.stack(list(found.values()), axis=1) for found in rows.values()]
    clusters = list(tested.clusters.values())
    drawn = nested_means(tables, clusters, np.random.default_rng(seed), N_DRAWS)
    return {
        model: Means(
            {name: float(values.mean()) for name, values in found.items()},
            {name: draws[:, i] for i, name in enumerate(found)},
        )
        for (model, found), draws in zip(rows.items(), drawn, strict=True)
    }


def rows_of(tested: Stressed, model: str) -> dict[str, FloatArray]:
    """Every quantity of one model by seed and sample, ``[S, n]``."""
    found: dict[str, FloatArray] = {}
    responses = tested.responses[model]
    for name, response in responses.items():
        found[right(name)] = (response.final == tested.labels).astype(np.float64)
        modality = _foreign(name)
        if modality is not None:
            other = tested.foreign[modality]
            found[foreign_class(name)] = (response.final == other).astype(np.float64)
    modalities = tested.learners[model][0].modalities
    readings = {m: responses.get(only(m, modalities).name) for m in modalities}
    if len(modalities) > 1:
        for name in (CLEAN, *(missing([m]).name for m in modalities)):
            if name in responses:
                by_time = responses[name].answers == tested.labels
                found |= {right_at(name, i): by_time[:, i] * 1.0 for i in range(by_time.shape[1])}
        known = {m: r for m, r in readings.items() if r is not None} | {"all": responses[CLEAN]}
        for i, (first, a) in enumerate(known.items()):
            for second, b in list(known.items())[i + 1 :]:
                found[agreement(first, second)] = (a.final == b.final).astype(np.float64)
                found[divergence(first, second)] = _divergences(a, b)
    return found


def _foreign(condition: str) -> str | None:
    """The modality that is of another class under a condition."""
    parts = condition.split("/")
    swapped = parts[0] == "incongruent" or (parts[0] == "swap" and parts[2] == "other")
    return parts[1] if swapped else None


def _divergences(a: Response, b: Response) -> FloatArray:
    """Jensen-Shannon divergences [S, n]."""
    return np.stack([jensen_shannon(x, y) for x, y in zip(a.log_probs, b.log_probs, strict=True)])
