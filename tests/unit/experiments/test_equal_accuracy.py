"""Energy at equal accuracy: mixtures of answers by hand, and what is not reached."""

import numpy as np
import pytest

from experiments.config import load_config
from experiments.evaluation.charges import Charges
from experiments.evaluation.equal_accuracy import (
    Answers,
    compare_at_accuracy,
    energies_at_equal_accuracy,
)
from experiments.evaluation.timeline import Timeline, Traced
from spikefuse.opcounts import OpCounts, PathCounts

CONFIG = load_config("demo", ["cost.profiles=horowitz_45nm_int8,loihi1_davies2018"])
INT8, LOIHI = "horowitz_45nm_int8", "loihi1_davies2018"


def adds(n: int) -> OpCounts:
    """A model of n accumulates of 0.1 pJ."""
    return OpCounts({"fusion.readout": PathCounts(effective_acs=n)}, 1)


def macs(n: int) -> OpCounts:
    """A model of n multiply-accumulates of 0.3 pJ."""
    return OpCounts({"fusion.readout": PathCounts(effective_macs=n, kind="dense")}, 1)


SNN = Answers([0.5, 0.7, 0.9], [adds(100), adds(200), adds(400)])
DENSE = Answers([0.6, 0.8], [macs(100), macs(300)])


def test_at_the_lower_best_accuracy_each_pays_along_its_front() -> None:
    entry = compare_at_accuracy(SNN, DENSE, CONFIG, [])[INT8]["ideal"]
    assert entry["accuracy"] == 0.8
    # SNN halfway from 200 to 400 adds: 30 pJ; dense twin 90 pJ.
    assert entry["dynamic"]["nominal"] == pytest.approx(90 / 30)
    assert set(entry) == {"accuracy", "dynamic"}  # no static power published, no sensors named


def test_a_given_accuracy_between_points_of_both() -> None:
    entry = compare_at_accuracy(SNN, DENSE, CONFIG, ["dvs128"], accuracy=0.65)[INT8]["none"]
    snn = 0.1 * (100 + 0.75 * 100)
    dense = 0.3 * (100 + 0.25 * 200)
    assert entry["dynamic"]["nominal"] == pytest.approx(dense / snn)
    assert entry["with_sensors"]["nominal"] == pytest.approx(1.0, abs=1e-6)
    low, high = entry["dynamic"]["low"], entry["dynamic"]["high"]
    assert low < dense / snn < high


def test_an_accuracy_of_one_side_only_is_not_reached() -> None:
    entry = compare_at_accuracy(SNN, DENSE, CONFIG, [], accuracy=0.85)[INT8]["ideal"]
    assert entry == {"accuracy": 0.85, "reason": "accuracy 0.850 is not reached by the dense twin"}


def test_no_price_has_the_reason() -> None:
    entry = compare_at_accuracy(SNN, DENSE, CONFIG, [])[LOIHI]["ideal"]
    assert "is dense" in entry["reason"]


def traced(accuracies: list[float], counts: list[OpCounts], reason: str | None = None) -> Traced:
    """Ten samples of label 0, answered rightly as often as is said."""
    labels = np.zeros(10, dtype=np.int64)
    scores = np.zeros((len(accuracies), 10, 2))
    for row, accuracy in zip(scores, accuracies, strict=True):
        row[: round(10 * accuracy), 0] = 1.0
        row[round(10 * accuracy) :, 1] = 1.0
    charges = {
        name: Charges(reason=reason, counts=() if reason else tuple(counts))
        for name in (INT8, LOIHI)
    }
    timeline = Timeline(
        np.arange(len(accuracies)) + 1.0, labels, scores, np.zeros((10, 1)), charges
    )
    return Traced(timeline, timeline)


def test_a_run_is_compared_by_its_answers_over_time() -> None:
    sides = {
        "snn": [traced(list(SNN.accuracies), list(SNN.counts))] * 2,
        "dense": [traced(list(DENSE.accuracies), list(DENSE.counts))] * 2,
    }
    found = energies_at_equal_accuracy(sides, CONFIG, [])
    assert found[INT8]["ideal"]["dynamic"]["nominal"] == pytest.approx(3.0)
    sides["dense"] = [traced(list(DENSE.accuracies), [], "no whole-number twin")] * 2
    found = energies_at_equal_accuracy(sides, CONFIG, [])
    assert found[INT8]["ideal"] == {"reason": "no whole-number twin"}
