"""A network of one's own beside SNN and dense twin at one accuracy: by hand, and what is absent."""

from pathlib import Path

import numpy as np
import pytest
from tiny_run import tiny

from experiments.config import load_config
from experiments.evaluation.charges import Charges
from experiments.evaluation.own_beside import describe_beside, traced_again
from experiments.evaluation.timeline import Timeline, Traced
from experiments.loading.data import load_data
from spikefuse.opcounts import OpCounts, PathCounts

INT8, LOIHI = "horowitz_45nm_int8", "loihi1_davies2018"
CONFIG = load_config("demo", [f"cost.profiles={INT8},{LOIHI}"])
SURE = {"accuracy_interval": [0.4, 0.9]}


def adds(n: int) -> OpCounts:
    """A model of n accumulates of 0.1 pJ."""
    return OpCounts({"x": PathCounts(effective_acs=n)}, 1)


def traced(accuracies: list[float], counts: list[OpCounts], reason: str | None = None) -> Traced:
    """Ten samples of label 0, answered rightly as often as is said, after 1, 2, ... ms."""
    scores = np.zeros((len(accuracies), 10, 2))
    for row, accuracy in zip(scores, accuracies, strict=True):
        row[: round(10 * accuracy), 0] = 1.0
        row[round(10 * accuracy) :, 1] = 1.0
    charges = {
        INT8: Charges(counts=tuple(counts)),
        LOIHI: Charges(reason=reason, counts=() if reason else tuple(counts)),
    }
    times = np.arange(len(accuracies)) + 1.0
    labels = np.zeros(10, dtype=np.int64)
    timeline = Timeline(times, labels, scores, np.zeros((10, 1)), charges)
    return Traced(timeline, timeline)


def test_both_pay_until_the_lower_of_the_final_accuracies() -> None:
    own = [traced([0.2, 0.6], [adds(300), adds(900)])]
    snn = [traced([0.4, 0.8], [adds(100), adds(200)])]
    found = describe_beside(own, {"snn": snn}, {"snn": SURE, "mine": SURE}, "mine", CONFIG, 0.1)
    same = found["snn"]
    assert same["accuracy"] == 0.6
    assert (same["own_ms"], same["other_ms"]) == (2.0, 1.5)
    # The SNN is halfway between 100 and 200.
    entry = same["energy"][INT8]["ideal"]
    assert entry["nominal"] == pytest.approx(900 / 150)
    assert entry["low"] <= entry["median"] <= entry["high"]
    assert entry["share_other_needs_less"] == 1.0


def test_what_cannot_be_compared_says_why() -> None:
    own = [traced([0.2, 0.6], [adds(300), adds(900)], "an elementwise product")]
    snn = [traced([0.4, 0.8], [adds(100), adds(200)])]
    entries = {"snn": SURE, "dense": SURE, "mine": SURE}
    others = {"snn": snn, "dense": "no checkpoint"}
    found = describe_beside(own, others, entries, "mine", CONFIG, 0.1)
    assert found["snn"]["energy"][LOIHI] == {"any": {"reason": "an elementwise product"}}
    assert found["dense"] == {"reason": "no checkpoint"}
    found = describe_beside(own, others, entries, "mine", CONFIG, 0.5)
    assert found["snn"] == {"reason": "mine and snn may be at chance"}


def test_a_run_without_checkpoints_is_not_opened(tmp_path: Path) -> None:
    config = tiny()
    data = load_data(config.data, cache_dir=tmp_path / "cache")
    assert "checkpoint" in str(traced_again(tmp_path, "snn", config, data))
    aware = tiny("train.aware_epochs=1")
    assert "behind the rounding" in str(traced_again(tmp_path, "snn", aware, data))
