"""Networks of one's own in a run: what they cost at equal accuracy, and what the report says."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.figures.duty import draw_duty
from analysis.model_fronts import describe_front
from analysis.own_networks import own_lines, own_names, own_sentences, own_table
from analysis.records import load_run
from analysis.report.view import tables_of
from analysis.report.waterfall import waterfalls
from analysis.system_tables import fronts_table

Write = Callable[[dict[str, Any]], Path]
FP32 = "horowitz_45nm_fp32"
ABOUT = {
    "network": "nets:Mine",
    "layout": "TB...",
    "loop": True,
    "answers": "steps",
    "trained": None,
}


@pytest.fixture
def mine(result: dict[str, Any]) -> dict[str, Any]:
    """A run with a network that needs three times the SNN's energy for every answer."""
    found = copy.deepcopy(result)
    models = found["models"]
    accuracies = {"snn": [0.3, 0.5, 0.7, 0.9], "dense": [0.6, 0.8]}
    for name, energies in (("snn", [1.0, 2.0, 3.0, 4.0]), ("dense", [10.0, 20.0])):
        models[name]["anytime"]["accuracy"] = accuracies[name]
        models[name]["anytime"]["energy"] = {FP32: {"dynamic_pj": energies}}
    own = copy.deepcopy(models["snn"])
    own["anytime"]["energy"] = {FP32: {"dynamic_pj": [3.0, 6.0, 9.0, 12.0]}}
    own["accuracy_by_precision"] = {
        "fp32": {"accuracy": 0.9},
        "int8": {"accuracy": None, "reason": "weight_ih_l0 of GRU has no rule to be rounded"},
    }
    models["mine"] = own | {"own_network": ABOUT}
    return found


def test_its_energy_is_compared_at_the_accuracy_that_both_reach(
    mine: dict[str, Any], write: Write
) -> None:
    front = describe_front([[load_run(write(mine))]], FP32)
    own = front["own"]["mine"]
    assert own["snn"]["accuracy"] == 0.9
    assert own["snn"]["value"] == pytest.approx(3.0)
    # The dense twin reaches 0.8 with its second run, the network between 9 and 12 pJ.
    assert own["dense"]["accuracy"] == 0.8
    assert own["dense"]["value"] == pytest.approx(10.5 / 20.0)
    lines = own_lines(FP32, front)
    assert "mine against the SNN, accuracy 0.900: 3 times the dynamic energy" in lines[0]
    mine["comparison"]["fronts"] = {FP32: front}
    assert lines[0] in fronts_table(mine).notes


def test_an_accuracy_that_is_asked_for_is_compared_at(mine: dict[str, Any], write: Write) -> None:
    front = describe_front([[load_run(write(mine))]], FP32, accuracy=0.85)
    assert front["own"]["mine"]["snn"]["accuracy"] == 0.85
    assert front["own"]["mine"]["dense"]["value"] is None
    assert "one of them does not reach the accuracy" in own_lines(FP32, front)[1]


def test_nothing_is_said_of_a_guess(mine: dict[str, Any], write: Write) -> None:
    mine["models"]["mine"]["accuracy_interval"] = [0.2, 0.5]
    front = describe_front([[load_run(write(mine))]], FP32)
    assert front["own"]["mine"]["snn"] == {"accuracy": None, "reason": "mine may be at chance"}
    assert "no comparison at equal accuracy: mine may be at chance" in own_lines(FP32, front)[0]


def test_the_report_says_how_it_was_read(mine: dict[str, Any], write: Write) -> None:
    run = load_run(write(mine))
    (row,) = own_table(run.result).rows
    assert row[:4] == ("mine", "nets:Mine", "TB..., step by step", "at every step")
    assert row[4] == "as it was given"
    assert "int8: none (1)" in row[5]
    assert "GRU" in own_table(run.result).notes[0]
    assert "own" in tables_of(run)
    (line,) = own_sentences(run)
    assert line.startswith("mine, a network of one's own: accuracy")


def test_sentences_say_what_one_accuracy_costs_over_draws_of_the_constants(
    mine: dict[str, Any], write: Write
) -> None:
    spread = {"nominal": 3.0, "median": 3.1, "low": 2.5, "high": 3.5}
    mine["models"]["mine"]["own_network"] = ABOUT | {
        "at_equal_accuracy": {
            "snn": {
                "accuracy": 0.9,
                "own_ms": 200.0,
                "other_ms": None,
                "energy": {FP32: {"ideal": spread}, "chip": {"any": {"reason": "it is dense"}}},
            },
            "dense": {"reason": "mine may be at chance"},
        }
    }
    _, snn, dense = own_sentences(load_run(write(mine)))
    assert "accuracy 0.900 after 200 ms of stimulus against never" in snn
    assert f"3.1 [2.5, 3.5] times the dynamic energy on {FP32}" in snn
    assert "no energy ratio on chip (it is dense)" in snn
    assert dense.endswith("no comparison at equal accuracy, mine may be at chance.")


def test_one_that_answers_once_says_what_that_means(mine: dict[str, Any]) -> None:
    mine["models"]["mine"]["own_network"] = ABOUT | {"answers": "once", "loop": False}
    table = own_table(mine)
    assert table.rows[0][3] == "once; asked again at each window (1)"
    assert "no latency on a chip" in table.notes[0]


def test_its_energy_is_drawn_path_by_path_and_over_the_rate_of_answers(
    mine: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    run = load_run(write(mine))
    shown = {f["profile"]: f["table"].rows for f in waterfalls(run)}
    assert ("mine", "encoders.vision.synapses.0") in [row[:2] for row in shown[FP32]]
    (table,) = (p for p in draw_duty(run, tmp_path) if p.suffix == ".csv")
    assert f"{FP32},mine,always on" in table.read_text()


def test_a_run_without_one_says_nothing(result: dict[str, Any], write: Write) -> None:
    run = load_run(write(result))
    assert own_names(run.result) == []
    assert own_sentences(run) == []
    assert "own" not in tables_of(run)
    assert "own" not in describe_front([[run]], FP32)
