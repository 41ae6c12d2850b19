"""Figures: files, data beside them, the same bytes again."""

import csv

import matplotlib
import pytest

from analysis.figures import draw_anytime, make_figures
from analysis.figures.energy import energy_by_part
from analysis.figures.raster import draw_raster
from analysis.records import load_run

NAMES = (
    "raster",
    "activity",
    "membranes",
    "energy",
    "energy_actions",
    "energy_totals",
    "break_even",
    "tornado",
    "pareto",
    "duty",
    "anytime",
    "exits",
    "latency_cdf",
    "calibration",
    "confusion",
)
OF_RASTER = {"raster", "activity", "membranes"}


def columns(path) -> dict[str, list[str]]:
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_every_figure_is_written_four_ways(drawn_run) -> None:
    for name in NAMES:
        for suffix, start in (
            ("png", b"\x89PNG"),
            ("svg", b"<?xml"),
            ("pdf", b"%PDF"),
            ("csv", b""),
        ):
            path = drawn_run / "figures" / f"{name}.{suffix}"
            assert path.read_bytes().startswith(start)
            assert path.stat().st_size > 100


@pytest.mark.parametrize("name", NAMES)
def test_an_svg_says_what_its_axes_are(drawn_run, name) -> None:
    text = (drawn_run / "figures" / f"{name}.svg").read_text()
    modelled = name.startswith("energy") or name in ("break_even", "tornado", "pareto", "duty")
    assert ("modelled" in text) == modelled
    if name in ("raster", "anytime"):
        assert "(ms)" in text
        assert "synthetic speech" in text
    if name == "raster":
        assert "answer final at 40 ms" in text
        assert "true class one" in text
    if name.startswith("energy"):
        assert "not priced by this profile" in text


def test_energy_data_sum_to_the_result(drawn_run, result) -> None:
    for name in ("energy", "energy_actions"):
        data = columns(drawn_run / "figures" / f"{name}.csv")
        total = sum(
            float(value)
            for profile, model, value in zip(
                data["profile"], data["model"], data["energy_pj"], strict=True
            )
            if (profile, model) == ("horowitz_45nm_fp32", "dense")
        )
        assert total == pytest.approx(2.5e6)
    data = columns(drawn_run / "figures" / "energy_totals.csv")
    assert len(data["total"]) == 4 * 2 + 3 * 3  # no static on fp32, no dense twin on Loihi


def test_anytime_data_equal_the_result(drawn_run, result) -> None:
    data = columns(drawn_run / "figures" / "anytime.csv")
    accuracy = [a for m in result["models"].values() for a in m["anytime"]["accuracy"]]
    assert [float(value) for value in data["accuracy"]] == accuracy


def test_raster_data_hold_the_evidence(drawn_run) -> None:
    data = columns(drawn_run / "figures" / "raster.csv")
    assert [float(v) for v in data["output_class_1"][:4]] == [0.3, 0.5, 0.8, 0.9]
    assert data["output_class_1"][4] == ""


def test_the_same_bytes_again_whatever_the_settings(drawn_run, tmp_path) -> None:
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9}):
        written = draw_anytime(load_run(drawn_run), tmp_path)
        assert matplotlib.rcParams["font.size"] == 20
    for path in written:
        assert path.read_bytes() == (drawn_run / "figures" / path.name).read_bytes()


def test_a_wrong_answer_is_drawn_and_said(result, write, tmp_path) -> None:
    run = load_run(write(result))
    assert run.raster is not None
    run.raster["prediction"] = run.raster["prediction"] * 0 + 2
    text = draw_raster(run, tmp_path / "f")[1].read_text()
    assert "answered wrongly" in text
    assert "answered class two" in text


def test_a_run_without_raster_or_twin_is_drawn(result, write) -> None:
    del result["models"]["dense"], result["models"]["snn_vision"], result["models"]["snn_audio"]
    for estimate in result["models"]["snn"]["energy"].values():
        estimate["dynamic_pj"] = estimate["with_static_pj"] = estimate["with_sensors_pj"] = None
        estimate["duty"] = None
    folder = write(result)
    (folder / "raster.npz").unlink()
    with pytest.raises(ValueError, match=r"must hold raster\.npz"):
        draw_raster(load_run(folder), folder)
    left = set(NAMES) - OF_RASTER - {"pareto", "duty"}
    assert {path.stem for path in make_figures(folder)} == left
    (folder / "scores.npz").unlink()
    drawn = {path.stem for path in make_figures(folder)}
    assert drawn == left - {"calibration"}


def test_parts_keep_the_sum() -> None:
    by_path = {
        "frontend.audio.cochlea": 1.0,
        "encoders.vision.synapses.0": 2.0,
        "encoders.audio.neurons.0": 4.0,
        "fusion.fusion_synapses.vision": 8.0,
        "fusion.fusion_synapses.audio": 16.0,
        "readout": 32.0,
        "encoders.vision.neurons.0": 64.0,
    }
    parts = energy_by_part(by_path)
    assert sum(parts.values()) == 127.0
    assert parts["vision encoder"] == 66.0
    assert parts["fused layer and readout"] == 32.0


def test_calibration_data_are_the_scores_of_the_run(drawn_run) -> None:
    data = columns(drawn_run / "figures" / "calibration.csv")
    run = load_run(drawn_run)
    rows = list(zip(*data.values(), strict=True))
    risk = [row for row in rows if row[:2] == ("snn", "risk")]
    assert float(risk[-1][2]) == 1
    assert float(risk[-1][3]) == pytest.approx(1 - run.result["models"]["snn"]["accuracy"])
    before = [row for row in rows if row[:2] == ("snn", "reliability before")]
    assert before
    assert all(int(row[4]) >= 5 for row in before)


def test_break_even_and_tornado_hold_what_the_result_says(drawn_run) -> None:
    lines = columns(drawn_run / "figures" / "break_even.csv")
    assert set(lines["profile"]) == {"horowitz_45nm_fp32"}
    assert {"snn", "dense, ideal", "dense, none"} == set(lines["curve"])
    bars = columns(drawn_run / "figures" / "tornado.csv")
    assert set(bars["constant"]) == {"e_add", "e_mul"}
    assert set(bars["assumed"]) == {"True", "False"}


def test_without_a_price_on_both_sides_no_range_is_drawn(result, write) -> None:
    result["energy_ranges"] = {"loihi1_davies2018": {"ideal": {"reason": "dense"}}}
    drawn = {path.stem for path in make_figures(write(result))}
    assert not drawn & {"break_even", "tornado"}
