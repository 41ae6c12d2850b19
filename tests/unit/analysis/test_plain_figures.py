"""Figures of energy and latency from plain numbers, without a run."""

import csv
from pathlib import Path

import numpy as np
import pytest

from analysis.figures import (
    draw_break_even,
    draw_energy,
    draw_energy_actions,
    draw_energy_totals,
    draw_latency_cdf,
    draw_tornado,
)

PARTS = {"chip": {"snn": {"vision encoder": 2.0, "my own part": 1.0}, "dense": {}}}


def columns(path: Path) -> dict[str, list[str]]:
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_energy_of_parts_and_actions(tmp_path: Path) -> None:
    written = draw_energy(PARTS, tmp_path)
    assert columns(written[-1])["energy_pj"] == ["2.0", "1.0"]
    assert "not priced by this profile" in written[1].read_text()
    actions = {"chip": {"snn": {"accumulate": 3.0}}}
    assert columns(draw_energy_actions(actions, tmp_path)[-1])["action"] == ["accumulate"]


def test_totals_that_are_unknown_are_left_out(tmp_path: Path) -> None:
    totals = {"chip": {"snn": {"dynamic_pj": 5.0, "with_sensors_pj": 50.0}, "dense": {}}}
    table = columns(draw_energy_totals(totals, tmp_path)[-1])
    assert table["total"] == ["dynamic_pj", "with_sensors_pj"]


def test_break_even_line_is_fixed_plus_slope(tmp_path: Path) -> None:
    line = {
        "fixed_pj": 10.0,
        "per_spike_pj": 5.0,
        "measured": 2.0,
        "most_spikes": 20.0,
        "dense_pj": 40.0,
        "spikes": 6.0,
    }
    table = columns(draw_break_even({"chip": {"ideal": {"break_even": line}}}, tmp_path)[-1])
    spikes, energy = (np.array(table[key][:50], float) for key in ("spikes", "energy_pj"))
    np.testing.assert_allclose(energy, 10.0 + 5.0 * spikes)
    assert table["energy_pj"][-1] == "40.0"


def test_tornado_keeps_both_ends(tmp_path: Path) -> None:
    swing = {"constant": "e_add", "low": 0.5, "high": 2.0, "assumed": False}
    ranges = {"chip": {"ideal": {"dynamic": {"nominal": 1.0, "tornado": [swing]}}}}
    table = columns(draw_tornado(ranges, tmp_path)[-1])
    assert (table["low"], table["high"]) == (["0.5"], ["2.0"])


@pytest.mark.parametrize(("profile", "words"), [("host", "measured"), ("chip", "modelled")])
def test_latency_says_whether_it_was_measured(profile: str, words: str, tmp_path: Path) -> None:
    cdf = {"ms": [10.0, 20.0], "share": [0.5, 1.0]}
    written = draw_latency_cdf({profile: {"snn": cdf}}, tmp_path)
    assert words in written[1].read_text()
    assert columns(written[-1])["ms"] == ["10.0", "20.0"]
