"""Right answers of a run by model, seed and sample, and how they cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.nested import nested_difference
from analysis.records import RunRecord
from spikefuse._types import FloatArray, Int64Array
from spikefuse.errors import DataError

Predictions = Mapping[str, np.ndarray[Any, Any]]
_GROUP = "_group"


def right_by_seed(predictions: Predictions, model: str) -> tuple[Int64Array, FloatArray]:
    """Samples of a model, ascending [n], and whether each seed answered each rightly [S, n].

    Raises
    ------
    DataError
        If the seeds were not all tested once on the same samples.
    """
    lines = predictions["model"] == model
    samples, place = np.unique(predictions["sample"][lines], return_inverse=True)
    seeds, row = np.unique(predictions["seed"][lines], return_inverse=True)
    if len(place) != len(samples) * len(seeds) or len(np.unique(row * len(samples) + place)) != len(
        place
    ):
        raise DataError(
            f"predictions of {model} must hold each of {len(samples)} samples once for each of "
            f"{len(seeds)} seeds, got {len(place)} lines"
        )
    right = np.zeros((len(seeds), len(samples)))
    right[row, place] = (predictions["label"] == predictions["prediction"])[lines]
    return samples.astype(np.int64), right


def right_by_sample(predictions: Predictions, model: str) -> tuple[Int64Array, FloatArray]:
    """Samples of a model, ascending, and the share of seeds that answered each rightly."""
    samples, right = right_by_seed(predictions, model)
    return samples, right.mean(axis=0) if len(right) else np.zeros(0)


def modalities_of(predictions: Predictions) -> list[str]:
    """Modalities whose groups are known, those of other runs than this one included."""
    return [name.removesuffix(_GROUP) for name in predictions if name.endswith(_GROUP)]


def clusters_of(
    predictions: Predictions, samples: Int64Array, modalities: Sequence[str] | None = None
) -> list[list[str]]:
    """Group of each sample by modality (recording, speaker); "" where there is no such modality."""
    first = {int(sample): i for i, sample in enumerate(predictions["sample"])}
    lines = [first[int(sample)] for sample in samples]
    named = modalities_of(predictions) if modalities is None else modalities
    return [
        predictions[m + _GROUP][lines].tolist() if m + _GROUP in predictions else [""] * len(lines)
        for m in named
    ]


def lonely_groups(run: RunRecord) -> list[str]:
    """Modalities of which all test samples share one group: it cannot be resampled."""
    if run.predictions is None:
        return []
    found = {m: set(run.predictions[m + _GROUP].tolist()) for m in modalities_of(run.predictions)}
    return [m for m, groups in found.items() if len(groups) == 1 and groups != {""}]


def accuracy_difference(
    run: RunRecord, first: str, second: str
) -> tuple[float, tuple[float, float]] | None:
    """Mean of ``first - second`` in accuracy and its paired 95 % interval.

    Nested bootstrap: the groups of every modality (recordings, speakers) are resampled, the same
    for both models, and within each draw the seeds of either model. None where the run holds no
    predictions of both models.

    Raises
    ------
    DataError
        If the two models were not tested on the same samples.
    """
    if run.predictions is None:
        return None
    sides = [right_by_seed(run.predictions, model) for model in (first, second)]
    if not all(len(samples) for samples, _ in sides):
        return None
    (samples, right), (others, other_right) = sides
    if not np.array_equal(samples, others):
        raise DataError(
            f"predictions of {first} and {second} must be of the same samples, got "
            f"{len(samples)} and {len(others)} samples"
        )
    interval = nested_difference(
        right, other_right, clusters_of(run.predictions, samples), np.random.default_rng(0)
    )
    return float(right.mean() - other_right.mean()), interval
