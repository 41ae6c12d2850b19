"""Tables and figures of latency: what a run holds, and runs that hold none."""

import csv
from pathlib import Path
from typing import Any

import pytest

from analysis.figures.latency import draw_latency, timed_profiles
from analysis.latency_tables import (
    deadline_table,
    decision_energy_table,
    exit_table,
    latency_table,
    latency_tables,
)
from analysis.records import RunRecord
from experiments.studies.latency_page import tables_of
from spikefuse.pages import placed

ENTRY: dict[str, Any] = {
    "components": {
        "sensing_ms": {"low": 0.016, "value": 0.016, "high": 2.0},
        "window_ms": 20.0,
        "preprocessing_ms": 0.0,
        "compute_ms": {"low": 0.2, "value": 60.0, "high": 61.0},
        "decision_ms": 100.0,
    },
    "mean_ms": 180.0,
    "p50_ms": 170.0,
    "p95_ms": 260.0,
    "low": {"p50_ms": 110.0, "p95_ms": 200.0},
    "high": {"p50_ms": 173.0, "p95_ms": 263.0},
    "backlog_ms": {"p50": 0.0, "p95": 1.5, "max": 2.0},
    "reasons": {},
    "cdf": {"share": [0.0, 0.5, 1.0], "ms": [80.0, 170.0, 300.0]},
    "energy_to_decision_pj": 2e6,
    "energy_per_correct_pj": 4e6,
    "edp_pj_ms": 3e8,
}
UNTIMED: dict[str, Any] = {
    "components": {**ENTRY["components"], "compute_ms": None},
    "p50_ms": None,
    "without_compute": {"p50_ms": 110.0, "p95_ms": 200.0},
    "reasons": {"compute": "it publishes no times"},
}
RESULT: dict[str, Any] = {
    "models": {
        "snn": {
            "kind": "spiking",
            "latency": {"by_profile": {"chip": ENTRY, "logic": UNTIMED}},
            "anytime": {"time_ms": [20.0, 40.0], "accuracy": [0.2, 0.8]},
            "exit": {
                "thetas": [0.5, 1.0],
                "mean_ms": [25.0, 40.0],
                "accuracy": [0.6, 0.8],
                "energy": {"chip": {}},
                "chosen": {
                    "theta_by_seed": [0.5, 0.9],
                    "mean_ms": 30.0,
                    "p50_ms": 20.0,
                    "p95_ms": 40.0,
                    "accuracy": 0.79,
                    "full_accuracy": 0.8,
                    "energy": {"chip": {"dynamic_pj": 1e6, "full_dynamic_pj": 2e6}},
                    "latency": {
                        "chip": {
                            "deadlines": [
                                {"deadline_ms": 30.0, "in_time": 0.5, "right_in_time": 0.4}
                            ]
                        },
                        "logic": {"p50_ms": None},
                    },
                },
            },
        }
    }
}
OLD: dict[str, Any] = {
    "models": {
        "snn": {
            "kind": "spiking",
            "latency": {"p50_ms": 1.0},
            "anytime": {"time_ms": [20.0], "accuracy": [0.5]},
        }
    }
}


def test_parts_and_quantiles_come_with_their_bracket() -> None:
    table = latency_table(RESULT)
    timed, untimed = table.rows
    assert timed[2:] == (
        "0.02 (0.02 to 2.00)",
        "20",
        "0",
        "60.00 (0.20 to 61.00)",
        "100",
        "170.0 (110.0 to 173.0)",
        "260.0 (200.0 to 263.0)",
        "0 / 1.5",
    )
    assert untimed[5] == "n/a (1)"
    assert untimed[7:] == ("> 110.0", "> 200.0", "n/a")
    assert table.notes == ("it publishes no times",)


def test_the_chosen_exit_stands_beside_the_answer_at_the_end() -> None:
    (row,) = exit_table(RESULT).rows
    assert row[1:] == ("0.5 to 0.9", "30", "20 / 40", "0.790", "0.800", "1.00 uJ (2.00 uJ)")


def test_deadlines_and_energies_per_decision() -> None:
    table = deadline_table(RESULT)
    assert table.header[2:] == ("30 ms",)
    assert table.rows == (("SNN fusion", "chip", "0.500 / 0.400"),)
    (row,) = decision_energy_table(RESULT).rows
    assert row[2:] == ("2.00 uJ", "4.00 uJ", "300")


def test_a_run_without_latency_by_profile_has_no_rows(tmp_path: Path) -> None:
    assert not any(table.rows for table in latency_tables(OLD))
    assert timed_profiles(OLD) == []
    assert draw_latency(_run(OLD, tmp_path), tmp_path) == []


def test_figures_hold_what_they_show(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = draw_latency(_run(RESULT, tmp_path), tmp_path)
    assert [path.stem for path in written] == ["exits"] * 4 + ["latency_cdf"] * 4
    with (tmp_path / "exits.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["ms"]) for r in rows if r["rule"] == "exit"] == [25.0, 40.0]
    with (tmp_path / "latency_cdf.csv").open() as file:
        assert [float(r["ms"]) for r in csv.DictReader(file)] == [80.0, 170.0, 300.0]


def test_the_page_has_a_place_for_every_table(result: dict[str, Any]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "latency.md").read_text(encoding="utf-8")
    tables = tables_of(result)
    written = placed(page, tables)
    assert all(table in written for table in tables.values())
    assert "SNN fusion 0.900" in tables["run"]


def _run(result: dict[str, Any], path: Path) -> RunRecord:
    return RunRecord(path, result, None, [], None, {})
