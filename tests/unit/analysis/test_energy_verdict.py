"""The verdict on energy: what decides it, and what its sentence must name."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.energy_verdict import energy_findings, energy_verdicts, sentence, told
from analysis.records import load_run
from experiments.evaluation.results import none_above_chance

Write = Callable[[dict[str, Any]], Path]
FP32, LOIHI = "horowitz_45nm_fp32", "loihi1_davies2018"
CHEAP = {"nominal": 2.1, "median": 2.0, "low": 1.5, "high": 2.6, "share_snn_wins": 1.0}
DEAR = {"nominal": 0.5, "median": 0.5, "low": 0.4, "high": 0.7, "share_snn_wins": 0.0}


def spread(values: dict[str, float]) -> dict[str, Any]:
    """A range as a result file holds it."""
    return {**values, "n_draws": 100, "spread": 1.5, "tornado": []}


def with_ranges(result: dict[str, Any], dynamic: dict[str, float]) -> dict[str, Any]:
    """The result with one range for every reuse of the first profile."""
    for entry in result["energy_ranges"][FP32].values():
        entry["dynamic"] = spread(dynamic)
    return result


def verdict(result: dict[str, Any], write: Write) -> dict[str, Any]:
    """The first one."""
    return energy_verdicts(load_run(write(result)))[0]


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (1.01, 2.0, "snn"),
        (0.5, 0.99, "dense"),
        (0.9, 1.1, "not told apart"),
        (1.0001, 1.0009, "equal within 1 %"),
    ],
)
def test_a_range_that_holds_one_tells_nothing_apart(low: float, high: float, outcome: str) -> None:
    assert told({"low": low, "high": high}) == outcome


def test_one_verdict_per_profile_and_reuse(five_seeds: dict[str, Any], write: Write) -> None:
    found = energy_verdicts(load_run(write(five_seeds)))
    assert [(v["profile"], v["reuse"]) for v in found] == [
        (FP32, "ideal"),
        (FP32, "none"),
        (LOIHI, "any"),
    ]
    assert "no verdict, prices event-driven layers only" in found[2]["sentence"]


def test_fewer_seeds_give_findings_and_no_verdict(result: dict[str, Any], write: Write) -> None:
    run = load_run(write(result))
    assert energy_verdicts(run) == []
    assert len(energy_findings(run)) == 3


def test_equal_accuracies_are_decided_by_the_whole_window(
    five_seeds: dict[str, Any], write: Write
) -> None:
    found = verdict(with_ranges(five_seeds, CHEAP), write)
    assert found["basis"] == "whole window"
    assert found["totals"]["dynamic"]["outcome"] == "snn"
    assert found["totals"]["with_sensors"]["outcome"] == "not told apart"
    text = found["sentence"]
    for part in (
        FP32,
        "dense weight reuse ideal",
        "window 200 ms",
        "mean of 5 seeds",
        "accuracy SNN 0.900, dense twin 0.920 (fp32; difference -2.5 points, 95 %",
        "Dynamic energy (network and digital front ends): the SNN needs less, dense / SNN = 2 "
        "[1.5, 2.6], the SNN needs less in 100% of draws",
        "with sensors: not told apart, dense / SNN = 0.909 [0.63, 1.26]",
        "5 to 95 % of 100 draws of the constants",
    ):
        assert part in text


def test_a_losing_snn_is_said_to_lose(five_seeds: dict[str, Any], write: Write) -> None:
    found = verdict(with_ranges(five_seeds, DEAR), write)
    assert "the dense twin needs less, dense / SNN = 0.5 [0.4, 0.7]" in found["sentence"]


def differing(result: dict[str, Any], snn: float, dense: float) -> dict[str, Any]:
    """The result with accuracies far apart."""
    changed = copy.deepcopy(result)
    for name, accuracy in (("snn", snn), ("dense", dense)):
        changed["models"][name]["accuracy"] = accuracy
    return changed


def test_other_accuracies_without_fronts_are_not_comparable(
    five_seeds: dict[str, Any], write: Write
) -> None:
    found = verdict(with_ranges(differing(five_seeds, 0.5, 1.0), CHEAP), write)
    assert found["totals"]["dynamic"]["outcome"] == "not comparable at equal accuracy"
    assert "the SNN needs less, dense" not in found["sentence"]
    assert "this run holds no energies over time" in found["sentence"]


def test_more_accurate_and_cheaper_needs_no_front(five_seeds: dict[str, Any], write: Write) -> None:
    found = verdict(with_ranges(differing(five_seeds, 1.0, 0.5), CHEAP), write)
    assert found["totals"]["dynamic"]["outcome"] == "snn"


def test_fronts_decide_at_equal_accuracy(five_seeds: dict[str, Any], write: Write) -> None:
    result = with_ranges(differing(five_seeds, 0.5, 1.0), CHEAP)
    result["comparison"]["at_equal_accuracy"]["energy"] = {
        FP32: {"ideal": {"accuracy": 0.5, "dynamic": spread(DEAR)}}
    }
    found = verdict(result, write)
    assert found["basis"] == "equal accuracy"
    assert found["totals"]["dynamic"]["outcome"] == "dense"
    assert "modelled energy at equal accuracy 0.500 of answers over time" in found["sentence"]


def test_fronts_go_before_accuracies_that_are_not_told_apart(
    five_seeds: dict[str, Any], write: Write
) -> None:
    result = with_ranges(five_seeds, DEAR)
    result["comparison"]["at_equal_accuracy"]["energy"] = {
        FP32: {"ideal": {"accuracy": 0.9, "dynamic": spread(CHEAP)}}
    }
    assert verdict(result, write)["totals"]["dynamic"]["outcome"] == "snn"


def test_an_accuracy_out_of_reach_is_said(five_seeds: dict[str, Any], write: Write) -> None:
    result = with_ranges(differing(five_seeds, 0.5, 1.0), CHEAP)
    reason = {"reason": "accuracy 0.990 is not reached by the SNN"}
    result["comparison"]["at_equal_accuracy"]["energy"] = {FP32: {"ideal": reason}}
    assert "is not reached by the SNN" in verdict(result, write)["sentence"]


def test_a_model_that_may_be_guessing_is_compared_with_nothing(
    five_seeds: dict[str, Any], write: Write
) -> None:
    result = with_ranges(differing(five_seeds, 0.5, 1.0), CHEAP)
    result["comparison"]["at_equal_accuracy"] = none_above_chance(["dense"], 0.1)
    said = verdict(result, write)["sentence"]
    assert "no verdict, the dense twin may be at chance (0.1)" in said


def test_accuracy_is_that_of_the_priced_precision(five_seeds: dict[str, Any], write: Write) -> None:
    for side, accuracy in (("snn", 0.87), ("dense", 0.91)):
        estimate = five_seeds["models"][side]["energy"][FP32]
        estimate.update({"precision": "int8", "accuracy": accuracy})
    text = verdict(five_seeds, write)["sentence"]
    assert "accuracy SNN 0.870, dense twin 0.910 (int8;" in text


def test_a_run_without_ranges_has_figures_and_tells_nothing(
    five_seeds: dict[str, Any], write: Write
) -> None:
    five_seeds["energy_ranges"] = {}
    found = verdict(five_seeds, write)
    assert found["totals"]["dynamic"]["outcome"] == "not told apart"
    assert "1.25 at nominal constants, range not in this run" in sentence(found)
