"""Several runs pooled: means over all samples, seeds as points, paired differences, fair words."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.pooled import pool_runs, pooled_sentences
from analysis.records import RunRecord, load_run
from spikefuse.errors import DataError

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def two_runs(write: Write, result: dict[str, Any], tmp_path: Path) -> list[RunRecord]:
    """Two folds: SNN right on 36 and 32 of 40 samples, dense twin on 37 both times; seeds 0, 1."""
    records = []
    for seed, accuracy in ((0, 0.90), (1, 0.80)):
        changed = copy.deepcopy(result)
        changed["seeds"] = [seed]
        changed["models"]["snn"]["accuracy"] = accuracy
        changed["models"]["snn"]["accuracy_by_seed"] = [accuracy]
        path = write(changed).rename(tmp_path / f"fold-{seed}")
        records.append(load_run(path))
    return records


def test_accuracy_is_over_all_samples_and_seeds_are_points(two_runs: list[RunRecord]) -> None:
    pooled = pool_runs(two_runs)
    assert pooled["n_samples"] == 80
    assert pooled["seeds"] == [0, 1]
    snn = pooled["models"]["snn"]
    assert snn["accuracy"] == pytest.approx((36 + 32) / 80)
    assert snn["accuracy_by_seed"] == {"0": 0.9, "1": 0.8}
    low, high = snn["interval"]
    assert low < snn["accuracy"] < high
    assert snn["dynamic_pj"]["horowitz_45nm_fp32"] == pytest.approx(2.0e6)
    assert pooled["models"]["dense"]["dynamic_pj"]["loihi1_davies2018"] is None


def test_differences_are_paired_by_sample(two_runs: list[RunRecord]) -> None:
    pooled = pool_runs(two_runs)
    found = {d["second"]: d for d in pooled["differences"]}
    assert set(found) == {"dense", "snn_vision", "snn_audio"}
    assert found["dense"]["difference"] == pytest.approx((36 + 32 - 37 - 37) / 80)
    # The wrong samples of one model are among those of the other: pairing narrows the interval.
    low, high = found["dense"]["interval"]
    assert high <= 0
    assert high - low < 0.25


def test_models_that_not_every_run_holds_stay_out(two_runs: list[RunRecord]) -> None:
    del two_runs[1].result["models"]["snn_audio"]
    assert set(pool_runs(two_runs)["models"]) == {"snn", "dense", "snn_vision"}


def test_a_run_without_predictions_is_named(two_runs: list[RunRecord]) -> None:
    bare = RunRecord(two_runs[0].path, two_runs[0].result, None, [], None, {})
    with pytest.raises(DataError, match=r"must hold predictions.csv to be pooled, got none in"):
        pool_runs([bare, two_runs[1]])


def test_few_seeds_give_no_verdict(two_runs: list[RunRecord]) -> None:
    assert pool_runs(two_runs)["sentences"][0].startswith("No verdict: it needs 5 seeds")


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.001, 0.03), "the SNN is more accurate"),
        ((-0.019, 0.01), "the SNN is not inferior"),
        ((-0.015, -0.001), "the SNN is not inferior"),
        ((-0.03, 0.01), "not told apart"),
        ((-0.05, -0.001), "the dense twin is more accurate, by how much is open"),
        ((-0.05, -0.021), "the SNN is inferior"),
    ],
)
def test_the_words_follow_the_interval_and_name_the_margin(
    interval: tuple[float, float], said: str
) -> None:
    difference = {
        "first": "snn",
        "second": "dense",
        "difference": float(np.mean(interval)),
        "interval": list(interval),
    }
    pooled = {"seeds": [0, 1, 2, 3, 4], "n_runs": 20, "differences": [difference]}
    (line,) = pooled_sentences(pooled)
    assert said in line
    assert "(margin 2 points)" in line
    assert "20 runs, 5 seeds" in line
