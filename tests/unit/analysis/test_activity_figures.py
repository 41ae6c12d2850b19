"""Figures of plain arrays: rates, intervals, confusion, delays, time surfaces, rasters."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from analysis.figures import (
    LearnedTiming,
    RasterPicture,
    SpikeRows,
    draw_activity,
    draw_cochleagram,
    draw_confusion,
    draw_delays,
    draw_event_frames,
    draw_membranes,
    draw_raster,
    draw_spikes,
    time_surface,
)
from analysis.figures.activity import intervals_ms, rates_hz
from analysis.figures.confusion import confusion
from spikefuse.events import EVENT_DTYPE, EventStream

ROWS = SpikeRows(
    "layer",
    "layer\nneuron",
    np.array([1.0, 3.0, 3.0, 7.0, 9.0]),
    np.array([0, 0, 1, 1, 1]),
    3,
    "#0072B2",
    layer=True,
)


def columns(path: Path) -> dict[str, list[str]]:
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return {name: [row[name] for row in rows] for name in rows[0]}


def camera(times: list[int], places: list[tuple[int, int]], on: list[int]) -> EventStream:
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"], events["p"] = times, on
    events["x"], events["y"] = np.array(places).T
    return EventStream(events, (3, 2, 2), 100_000, "vision")


def test_rates_and_intervals_are_those_counted_by_hand() -> None:
    assert rates_hz(ROWS, 10.0).tolist() == [200.0, 300.0, 0.0]
    assert sorted(intervals_ms(ROWS)) == [2.0, 2.0, 4.0]


def test_every_row_and_interval_is_in_a_bin(tmp_path: Path) -> None:
    table = columns(draw_activity([ROWS], tmp_path, 10.0)[-1])
    total = {"rate_hz": 0, "interval_ms": 0}
    for what, count in zip(table["what"], table["count"], strict=True):
        total[what] += int(count)
    assert total == {"rate_hz": 3, "interval_ms": 3}
    with pytest.raises(ValueError, match="duration_ms must be positive, got 0"):
        draw_activity([ROWS], tmp_path)


def test_confusion_is_that_of_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels, said = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    counts = confusion(labels, said, 4)
    np.testing.assert_array_equal(counts, confusion_matrix(labels, said, labels=range(4)))
    table = columns(draw_confusion({"snn": counts}, tmp_path, "abcd")[-1])
    assert sum(map(int, table["samples"])) == 60
    with pytest.raises(ValueError, match=r"classes must lie in \[0, 3\)"):
        confusion(labels, said, 3)


def test_a_time_surface_remembers_the_last_event_only() -> None:
    stream = camera([0, 10_000, 20_000, 50_000], [(0, 0), (0, 0), (2, 1), (1, 1)], [1, 1, 0, 1])
    surface = time_surface(stream, 30_000, 10.0)
    assert surface[1, 0, 0] == pytest.approx(np.exp(-2))
    assert surface[0, 1, 2] == pytest.approx(np.exp(-1))
    assert np.count_nonzero(surface) == 2  # the event at 50 ms has not come yet


def test_event_frames_hold_on_less_off(tmp_path: Path) -> None:
    stream = camera([0, 10_000, 60_000, 70_000], [(0, 0), (0, 0), (2, 1), (2, 1)], [1, 1, 0, 0])
    table = columns(draw_event_frames(stream, tmp_path, n_frames=2)[-1])
    cells = dict(
        zip(zip(table["frame"], table["x"], strict=True), table["on_less_off"], strict=True)
    )
    assert cells == {("0", "0"): "2.0", ("1", "0"): "0.0", ("1", "2"): "-2.0"}


def test_a_cochleagram_stands_on_its_frequencies(tmp_path: Path) -> None:
    drive = np.random.default_rng(0).random((4, 20))
    svg = draw_cochleagram(drive, 1000.0, tmp_path, centre_hz=np.geomspace(100, 2000, 4))[1]
    text = svg.read_text()
    assert "centre frequency (Hz)" in text
    assert ">500<" in text
    with pytest.raises(ValueError, match="centre_hz must be 4 frequencies, got 3"):
        draw_cochleagram(drive, 1000.0, tmp_path, centre_hz=np.arange(1, 4))


def test_delays_before_and_after_are_kept(tmp_path: Path) -> None:
    timing = LearnedTiming(
        "vision>audio",
        np.array([5.0, 40.0]),
        np.array([31.0, 33.0]),
        np.array([4.0, 4.0]),
        np.array([2.0, 3.0]),
    )
    written = draw_delays({"vision>audio": timing}, tmp_path, {"vision>audio": 32.0})
    table = columns(written[-1])
    assert table["vision>audio end_ms"] == ["31.0", "33.0"]
    assert table["vision>audio width_end_ms"] == ["2.0", "3.0"]
    assert "lag in the data" in written[1].read_text()
    assert draw_delays({}, tmp_path) == []


def test_a_raster_of_plain_arrays_draws_its_delays(tmp_path: Path) -> None:
    picture = RasterPicture(
        "a sample",
        [ROWS],
        10.0,
        np.array([5.0, 10.0]),
        np.array([[0.6, 0.4], [0.3, 0.7]]),
        ["a", "b"],
        1,
        1,
        10.0,
        {"vision>audio": np.array([3.0, 4.0, 5.0])},
    )
    written = draw_raster(picture, tmp_path)
    assert "learned delay, vision to audio: median 4 ms" in written[1].read_text()
    assert columns(written[-1])["layer_row"] == ["0", "0", "1", "1", "1"]


def test_one_layer_and_membranes_without_a_run(tmp_path: Path) -> None:
    assert "5 spikes" in draw_spikes(ROWS, 10.0, tmp_path, "layer")[1].read_text()
    traces = {
        "trace_ms": np.array([1.0, 2.0]),
        "trace_v": np.array([[0.5], [-0.2]]),
        "trace_spiked": np.array([[False], [True]]),
        "trace_neuron": np.array([7]),
        "trace_threshold": 1.0,
        "readout_v": np.zeros((2, 2)),
        "label": 0,
        "decision_ms": 2.0,
    }
    table = columns(draw_membranes(traces, tmp_path)[-1])
    assert table["v_neuron_7"] == ["0.5", "-0.2"]
    assert draw_membranes({}, tmp_path) == []
