"""Tables and figures of fronts, static power, missing modality and host: values, and absence."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.comparison import compare_models
from analysis.figures.duty import draw_duty
from analysis.figures.pareto import draw_pareto
from analysis.records import load_run
from analysis.system_tables import alternatives_table, fronts_table, host_table, missing_table

Write = Callable[[dict[str, Any]], Path]
FP32, LOIHI = "horowitz_45nm_fp32", "loihi1_davies2018"
DUTY = {
    "rates_hz": [0.1, 1.0],
    "always_on_mw": [30.0, 31.0],
    "gated_mw": None,
    "static_mw": None,
    "sensors_mw": 23.0,
}
TOTALS = {"dynamic_pj": 1.0e6, "with_static_pj": None, "with_sensors_pj": 3.0e9, "reason": None}


@pytest.fixture
def full(result: dict[str, Any]) -> dict[str, Any]:
    """A result with everything that the tables show."""
    found = copy.deepcopy(result)
    for name in ("snn", "dense"):
        model = found["models"][name]
        model["energy"][FP32]["duty"] = DUTY
        off = {**TOTALS, "with_sensors_pj": 1.0e9}
        energies = {FP32: {"sensor_on": TOTALS, "sensor_off": off}}
        model["missing"] = {"audio": {"accuracy": 0.5, "energy": energies}}
        model["host"] = {
            "wall_ms": 1.25,
            "cpu_ms": 1.5,
            "peak_mib": 512.0,
            "extra_mib": None,
            "joules": None,
            "idle_w": None,
            "counter": "none",
            "reason": "no counter here",
            "n_calls": 20,
        }
    chip = {"chip": "whole", "chip_share": 1.0, "powered_s": 0.2}
    priced = {"with_static_pj": 4.0e9, "with_sensors_pj": 5.0e9, "reason": None}
    unknown = {"with_static_pj": None, "with_sensors_pj": None, "reason": "no times published"}
    found["models"]["snn"]["energy"][LOIHI]["alternatives"] = [
        {**chip, "gated": False, **priced},
        {**chip, "gated": True, **unknown},
    ]
    return found


def test_static_power_with_and_without_gating(full: dict[str, Any]) -> None:
    table = alternatives_table(full)
    assert table.rows == (
        (LOIHI, "SNN fusion", "whole", "always on", "1", "4.00 mJ", "5.00 mJ"),
        (LOIHI, "SNN fusion", "whole", "off between steps", "1", "n/a (1)", "n/a (1)"),
    )
    assert table.notes == ("no times published",)


def test_a_missing_modality_with_its_sensor_on_and_off(full: dict[str, Any]) -> None:
    first = missing_table(full).rows[0]
    assert first == (
        FP32, "SNN fusion", "audio", "0.500", "1.00 uJ", "1.00 uJ", "3.00 mJ", "1.00 mJ"
    )  # fmt: skip


def test_the_host_has_a_reason_and_no_joules(full: dict[str, Any]) -> None:
    table = host_table(full)
    assert table.rows[0] == ("SNN fusion", "1.25", "1.50", "n/a", "512", "n/a (1)", "20")
    assert table.notes == ("no counter here",)
    full["models"]["snn"]["host"] |= {"joules": 0.0125, "counter": "rapl"}
    assert host_table(full).rows[0][5] == "0.0125 (rapl)"


def test_fronts_say_what_is_not_reached_and_who_dominates(
    full: dict[str, Any], write: Write
) -> None:
    full["comparison"] |= compare_models(load_run(write(full)))
    table = fronts_table(full)
    assert table.rows[0] == (FP32, "SNN fusion", "0.900", "2.00 uJ", "200")
    assert table.rows[2] == (FP32, "SNN vision only", "0.900", "not reached", "not reached")
    assert "neither front dominates" in table.notes[0]


def test_old_runs_have_none_of_it(result: dict[str, Any], write: Write, tmp_path: Path) -> None:
    for table in (fronts_table, alternatives_table, missing_table, host_table):
        assert table(result).rows == ()
    for model in result["models"].values():
        for estimate in model["energy"].values():
            estimate.pop("duty", None)
    assert draw_duty(load_run(write(result)), tmp_path / "figures") == []


def test_figures_are_the_numbers(full: dict[str, Any], write: Write, tmp_path: Path) -> None:
    run = load_run(write(full))
    *_, table = draw_duty(run, tmp_path)
    assert table.read_text().splitlines()[1] == f"{FP32},snn,always on,0.1,30.0"
    picture, *_, table = draw_pareto(run, tmp_path)
    assert f"{FP32},snn,tiny: whole window,2000000.0,0.9" in table.read_text()
    before = picture.read_bytes()
    draw_pareto(run, tmp_path)
    assert picture.read_bytes() == before
