"""What the report draws itself: axes, raster, waterfall, curves."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from analysis.records import load_run
from analysis.report import raster_svg
from analysis.report.cards import cards_of
from analysis.report.curves import ratio_curves, time_curve, tornadoes
from analysis.report.lines import Axis, Series, Spot, draw_lines
from analysis.report.neurobench import neurobench_table
from analysis.report.raster_svg import panels_of, raster_figure
from analysis.report.svg import Scale, padded
from analysis.report.waterfall import energy_matrix, waterfalls
from spikefuse.cost.energy import energy
from spikefuse.cost.stored import stored_counts
from spikefuse.opcounts import OpCounts, PathCounts

FP32, LOIHI = "horowitz_45nm_fp32", "loihi1_davies2018"


@pytest.fixture
def plain_run(result, write) -> Path:
    """A run whose figures are not drawn."""
    return write(result)


def test_a_scale_maps_its_ends_and_keeps_what_lies_beyond() -> None:
    linear = Scale(0.0, 10.0, 100.0, 0.0)
    assert [linear(v) for v in (-5.0, 0.0, 2.5, 10.0, 11.0)] == [100.0, 100.0, 75.0, 0.0, 0.0]
    log = Scale(1.0, 1000.0, 0.0, 300.0, log=True)
    assert [round(log(v), 9) for v in (1.0, 10.0, 1000.0)] == [0.0, 100.0, 300.0]


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0.0, 1.0, False, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.96, 1.11, False, [0.96, 0.98, 1.0, 1.02, 1.04, 1.06, 1.08, 1.1]),
        (3.0, 3.0, False, [3.0]),
        (0.5, 2e3, True, [1.0, 10.0, 100.0, 1000.0]),
        (15.0, 130.0, True, [20.0, 50.0, 100.0]),
    ],
)
def test_ticks_are_round(low, high, log, expected) -> None:
    assert Scale(low, high, 0.0, 1.0, log).ticks(8 if low == 0.96 else 6) == pytest.approx(expected)


@pytest.mark.parametrize("log", [False, True])
def test_padding_holds_every_value(log) -> None:
    low, high = padded([2.0, 5.0], log)
    assert low < 2.0 < 5.0 < high
    assert padded([3.0]) == (2.85, 3.15)


def test_a_point_stands_where_its_values_say() -> None:
    series = [Series("a", "blue", [Spot(0.0, 0.0, "first"), Spot(10.0, 1.0, "last <b>")])]
    html = draw_lines(series, Axis("x", (0, 10)), Axis("y", (0, 1)), "T", size=(200, 100))
    assert 'd="M62 56L184 30"' in html  # from the left end of the axes to the right one
    assert "<title>last &lt;b&gt;</title>" in html
    assert "<ul" not in html  # one curve needs no legend


def test_every_modality_and_layer_has_a_panel() -> None:
    raster = {
        "hidden_t_ms": np.array([3.0]),
        "hidden_neuron": np.array([1]),
        "touch_t_ms": np.array([2.0, 1.0]),
        "touch_row": np.array([5, 4]),
        "n_touch": np.array(9),
        "audio_t_ms": np.array([]),
        "audio_channel": np.array([]),
        "n_channels": np.array(7),
        "encoder_touch_ms": np.array([1.0]),
        "encoder_touch_neuron": np.array([0]),
        "vision_t_ms": np.array([1.0]),
        "vision_y": np.array([0]),
        "vision_p": np.array([True]),
        "output_t_ms": np.array([1.0]),
        "output": np.ones((1, 1)),
    }
    panels = panels_of(raster)
    assert [p.name for p in panels] == ["vision", "audio", "touch", "encoder_touch", "hidden"]
    touch = panels[2]
    assert touch.time_ms.tolist() == [1.0, 2.0]  # in order
    assert touch.row.tolist() == [4, 5]
    assert (touch.n_rows, panels[1].n_rows, panels[4].n_rows) == (9, 7, 2)


def test_bare_spikes_of_a_scene_come_from_no_sensor() -> None:
    raster = {
        "vision_t_ms": np.array([1.0]),
        "vision_y": np.array([0]),
        "audio_t_ms": np.array([1.0]),
        "audio_channel": np.array([0]),
    }
    bare = [p.words for p in panels_of(raster, {"scene": "s1"})]
    assert bare == [("vision", "channel"), ("audio", "channel")]
    seen = raster | {"vision_p": np.array([True])}
    words = [p.words for p in panels_of(seen, {"scene": "s1"})]
    assert words == [("event camera", "pixel row"), ("cochlea", "channel")]
    assert panels_of(seen, {"synthetic_speech": True})[1].words[0] == "cochlea (synthetic)"


def test_a_scene_has_a_card_of_its_ideal_observer(plain_run) -> None:
    run = load_run(plain_run)
    assert "ideal observer" not in [card["title"] for card in cards_of(run)]
    ideal = {"accuracy": 0.917, "interval": [0.898, 0.933], "additive": 0.5, "n": 1000}
    run.result["data"]["ideal"] = ideal
    card = next(card for card in cards_of(run) if card["title"] == "ideal observer")
    assert (card["value"], card["badge"]) == ("0.917", "computed")
    assert "0.898 to 0.933" in card["text"]
    assert card["text"].endswith("0.500")


def test_rates_count_every_spike_once(plain_run) -> None:
    run = load_run(plain_run)
    found = raster_figure(run)
    assert found is not None
    bin_s = found["data"]["bin_ms"] / 1e3
    totals = [sum(p["rates_hz"]) * bin_s for p in found["data"]["panels"]]
    assert totals == pytest.approx([50, 60, 30])
    assert found["html"].count("M") > 140
    assert "canvas" not in found["data"]["panels"][0]


def test_many_spikes_go_to_a_canvas_whole(plain_run, monkeypatch) -> None:
    monkeypatch.setattr(raster_svg, "MOST_SVG_SPIKES", 100)
    run = load_run(plain_run)
    found = raster_figure(run)
    assert found is not None
    assert run.raster is not None
    for panel, n in zip(found["data"]["panels"], (50, 60, 30), strict=True):
        packed = [
            np.frombuffer(base64.b64decode(spikes), "<u2").reshape(-1, 2)
            for spikes in panel["canvas"]["spikes"].values()
        ]
        assert sum(map(len, packed)) == n
    at = np.sort(packed[0][:, 0] / 2)  # the last panel's: the fused layer
    left, right = found["data"]["left"], found["data"]["right"]
    times = (at - left) / (right - left) * found["data"]["duration_ms"]
    assert times == pytest.approx(np.sort(run.raster["hidden_t_ms"]), abs=0.1)
    assert '<path class="spikes' in found["html"]  # for those who run no script
    fewer = raster_figure(run, canvas=False)
    assert fewer is not None
    assert "canvas" not in fewer["data"]["panels"][0]


def counted() -> OpCounts:
    """A synapse, a population and a front end, three samples."""
    paths = {
        "encoders.vision.synapses.0": PathCounts(
            kind="event", modality="vision", effective_acs=3000, weight_reads=3000, weight_words=500
        ),
        "encoders.vision.neurons.0": PathCounts(
            kind="event",
            modality="vision",
            neuron_updates_active=300,
            state_reads=300,
            state_writes=300,
        ),
        "frontend.audio.cochlea": PathCounts(kind="frontend", modality="audio", effective_macs=900),
    }
    return OpCounts(paths, 3)


def with_counts(result) -> float:
    """Put counts and their price into the spiking model; the total in pJ."""
    counts = counted()
    estimate = energy(counts, FP32).to_dict()
    model = result["models"]["snn"]
    model["energy"][FP32] |= {k: estimate[k] for k in ("dynamic_pj", "breakdown")}
    model["counts"]["exact"] = stored_counts(counts)
    return float(estimate["dynamic_pj"])


def test_the_matrix_sums_to_paths_kinds_and_total(result, write) -> None:
    total_pj = with_counts(result)
    breakdown = result["models"]["snn"]["energy"][FP32]["breakdown"]
    matrix = energy_matrix(load_run(write(result)), "snn", FP32)
    assert matrix is not None
    assert sum(v for row in matrix.values() for v in row.values()) == pytest.approx(total_pj)
    for path, value in breakdown["by_path"].items():
        assert sum(matrix[path].values()) == pytest.approx(value)
    for kind, value in breakdown["by_action"].items():
        assert sum(row.get(kind, 0.0) for row in matrix.values()) == pytest.approx(value)


def test_counts_that_do_not_give_the_total_are_not_split(result, write) -> None:
    total_pj = with_counts(result)
    result["models"]["snn"]["energy"][FP32]["dynamic_pj"] = 1.1 * total_pj
    matrix = energy_matrix(load_run(write(result)), "snn", FP32)
    assert matrix is not None
    assert {kind for row in matrix.values() for kind in row} == {"all"}


def test_without_counts_paths_stand_whole_and_an_unpriced_model_says_so(plain_run) -> None:
    run = load_run(plain_run)
    falls = {f["profile"]: f for f in waterfalls(run)}
    assert list(falls) == [FP32, LOIHI]
    rows = falls[FP32]["table"].rows
    assert rows[0] == ("SNN fusion", "encoders.vision.synapses.0", "800 nJ", "0", "800 nJ")
    assert rows[5][1:] == ("sensor dvs128", "0", "9.00 mJ", "9.00 mJ")
    assert "not priced by this profile" in falls[LOIHI]["linear"]
    assert energy_matrix(run, "dense", LOIHI) is None


def test_each_bar_begins_where_the_last_one_ended(plain_run) -> None:
    html = waterfalls(load_run(plain_run))[0]["linear"]
    bars = re.findall(r'<rect class="f-grey" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', html)
    ends = [float(x) + float(width) for x, width in bars]
    assert len(bars) == 10  # five paths of either model
    for i in (0, 5):
        starts = [float(x) for x, _ in bars[i : i + 5]]
        assert starts[1:] == pytest.approx(ends[i : i + 4], abs=0.15)
        assert starts[0] == 236.0


def test_the_curve_marks_frame_periods_and_intervals(result, write) -> None:
    html = time_curve(load_run(write(result)))
    assert "dense twin, answer after 200 ms: accuracy 0.920" in html
    assert "dense twin, exit at confidence 1: accuracy 0.920" in html
    assert html.count('class="mark"') == 3  # two frame periods and chance
    assert html.count(">frame period<") == 1


def test_the_ratio_is_one_where_break_even_says(result, write) -> None:
    run = load_run(write(result))
    curves = ratio_curves(run)
    assert [c["profile"] for c in curves] == [FP32]
    line = result["energy_ranges"][FP32]["ideal"]["break_even"]
    needs = line["fixed_pj"] + line["per_spike_pj"] * line["spikes"]
    assert line["dense_pj"] / needs == 1.0
    assert "as counted, 2.00 spikes per neuron: 0.88" in curves[0]["html"]  # 1750 / 2000
    assert "e_add: ratio 0.800 to 1.300, range assumed" in tornadoes(run)[0]["html"]
    assert len(tornadoes(run)) == 2


def test_neurobench_names_and_numbers(result) -> None:
    counts = result["models"]["snn"]["counts"]["total"]
    counts |= {"neuron_updates_active": 90.0, "neuron_updates_idle": 10.0, "spikes_fired": 25.0}
    counts |= {"dense_macs": 1e6}
    table = neurobench_table(result)
    snn = dict(zip(table.header, table.rows[0], strict=True))
    assert snn["activation sparsity"] == "0.750"
    assert snn["dense (operations)"] == "1,000,000"
    assert snn["membrane updates"] == "100"
    assert snn["footprint (bytes, parameters as float32)"] == "49,380"
    assert dict(zip(table.header, table.rows[1], strict=True))["activation sparsity"] == "n/a (1)"
