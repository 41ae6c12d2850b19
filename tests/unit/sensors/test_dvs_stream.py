"""The pixel array as a stream: chunks, bandwidth, order of events, and the kernel that runs."""

from dataclasses import replace

import numpy as np
import pytest

import sensors._numba.dvs as kernels
from sensors.dvs import DvsParams, DvsPixelArray
from spikefuse.errors import DataError

CLEAN = DvsParams(
    threshold_mismatch=0.0, shot_noise_hz=0.0, leak_hz=0.0, refractory_us=0, dark_level=1.0
)
BUSY = DvsParams(shot_noise_hz=40.0, leak_hz=20.0, cutoff_hz=200.0, threshold_on=0.1)


def film(rng, n_frames: int = 24, height: int = 9, width: int = 33) -> tuple:
    frames = rng.integers(0, 256, (n_frames, height, width)).astype(np.uint8)
    return frames, np.cumsum(rng.integers(500, 9000, n_frames))


@pytest.mark.parametrize("cuts", [[1], [5, 6, 20], list(range(1, 23))])
def test_chunks_give_the_events_of_the_whole(rng, cuts: list[int]) -> None:
    frames, times = film(rng)
    array = DvsPixelArray(BUSY)
    start = array.start(frames[0], int(times[0]))
    whole, end = array.advance(frames[1:], times[1:], start)
    state, parts = start, []
    for part in np.split(np.arange(1, len(times)), cuts):
        if len(part):
            stream, state = array.advance(frames[part], times[part], state)
            parts.append(stream.events)
    assert len(whole) > 2000
    np.testing.assert_array_equal(np.concatenate(parts), whole.events)
    for name in ("memory", "light", "last_us", "time_us", "n_intervals"):
        np.testing.assert_array_equal(getattr(state, name), getattr(end, name))


def test_a_stream_without_noise_equals_encode(rng) -> None:
    frames, times = film(rng)
    array = DvsPixelArray(replace(BUSY, shot_noise_hz=0.0))
    state = array.start(frames[0], int(times[0]))
    streamed, _ = array.advance(frames[1:], times[1:], state)
    np.testing.assert_array_equal(streamed.events, array.encode(frames, times).events)


def test_the_state_passed_in_is_left_alone(rng) -> None:
    frames, times = film(rng)
    array = DvsPixelArray(BUSY)
    state = array.start(frames[0], int(times[0]))
    before = [state.memory.copy(), state.last_us.copy()]
    first, _ = array.advance(frames[1:], times[1:], state)
    np.testing.assert_array_equal(before, [state.memory, state.last_us])
    again, _ = array.advance(frames[1:], times[1:], state)
    np.testing.assert_array_equal(first.events, again.events)


def test_events_follow_a_walk_over_pixels(rng) -> None:
    """The model in plain Python, one pixel after the other."""
    frames, times = film(rng, 8, 3, 4)
    p = DvsParams(shot_noise_hz=0.0, leak_hz=30.0, refractory_us=700, threshold_mismatch=0.0)
    expected = []
    for y, x in np.ndindex(3, 4):
        light = np.log(frames[:, y, x] + p.dark_level)
        memory, last = light[0], -np.inf
        for k in range(1, 8):
            start, interval = times[k - 1], float(times[k] - times[k - 1])
            memory -= p.leak_hz * p.threshold_on * interval * 1e-6
            for sign, threshold in ((1, p.threshold_on), (-1, p.threshold_off)):
                while sign * (light[k] - memory) >= threshold:
                    memory += sign * threshold
                    rise = light[k] - light[k - 1]
                    share = (memory - light[k - 1]) / rise if abs(rise) > 1e-12 else 1.0
                    t = start + min(max(share, 0.0), 1.0) * interval
                    if t - last >= p.refractory_us:
                        last = t
                        expected.append((int(t), x, y, sign > 0))
    found = DvsPixelArray(p).encode(frames, times).events
    assert sorted(found.tolist()) == sorted(expected)
    assert len(found) > 50


def test_8_bit_frames_and_floats_agree(rng) -> None:
    frames, times = film(rng)
    array = DvsPixelArray(BUSY)
    levels, floats = (array.encode(f, times).events for f in (frames, frames.astype(np.float64)))
    np.testing.assert_array_equal(levels, floats)


def test_strided_frames_are_read_in_order(rng) -> None:
    frames, times = film(rng, 12, 10, 14)
    strided = frames[:, ::2, ::-1]
    assert not strided.flags.c_contiguous
    array = DvsPixelArray(DvsParams())
    expected = array.encode(strided.copy(), times).events
    np.testing.assert_array_equal(array.encode(strided, times).events, expected)


def test_a_step_through_the_photoreceptor_has_its_closed_form() -> None:
    # At white the rate is cutoff_hz: the log intensity closes exp(-2 pi f dt) of the gap a frame.
    array = DvsPixelArray(replace(CLEAN, cutoff_hz=50.0))
    state = array.start(np.full((1, 1), 10.0))
    times = np.arange(1, 9) * 2000
    _, state = array.advance(np.full((8, 1, 1), 255.0), times, state)
    gap = np.log(256 / 11) * np.exp(-2 * np.pi * 50.0 * 16e-3)
    np.testing.assert_allclose(state.light, np.log(256) - gap, rtol=1e-12)


def test_dark_pixels_are_slower() -> None:
    array = DvsPixelArray(replace(CLEAN, cutoff_hz=50.0))
    frames = np.array([[[255.0, 25.0]], [[127.0, 12.0]]])
    state = array.start(frames[0])
    _, state = array.advance(frames[1:], np.array([2000]), state)
    target = np.log(frames[1] + 1)
    left = (state.light - target) / (np.log(frames[0] + 1) - target)
    np.testing.assert_allclose(np.log(left), -2e-3 * 2 * np.pi * 50 * (frames[1] + 1) / 256)


def test_many_events_of_one_pixel_outgrow_the_buffer() -> None:
    params = replace(CLEAN, threshold_on=1e-3)
    stream = DvsPixelArray(params).encode(
        np.array([[[0.0, 0.0]], [[99.0, 249.0]]]), np.array([0, 10])
    )
    counts = np.bincount(stream.events["x"])
    np.testing.assert_array_equal(counts, np.floor(np.log([100, 250]) * 1000))


def test_noise_of_a_stream_has_its_rate_and_place_in_time() -> None:
    array = DvsPixelArray(replace(CLEAN, shot_noise_hz=2.0))
    frames = np.full((11, 40, 50), 90, np.uint8)
    state = array.start(frames[0], 5_000_000)
    stream, _ = array.advance(frames[1:], 5_000_000 + np.arange(1, 11) * 100_000, state)
    assert len(stream) == pytest.approx(2.0 * 2000, rel=0.06)
    assert stream.events["t"].min() >= 5_000_000
    assert stream.duration_us == 6_000_001
    assert stream.events["p"].mean() == pytest.approx(0.5, abs=0.03)


def test_the_compiled_pass_runs(rng, monkeypatch) -> None:
    calls = []
    plain = kernels.cross
    monkeypatch.setattr(kernels, "cross", lambda *a: calls.append(1) or plain(*a))
    frames, times = film(rng)
    DvsPixelArray().encode(frames, times)
    assert len(calls) >= len(times) - 1


@pytest.mark.parametrize(
    ("frames", "times", "message"),
    [
        (np.zeros((2, 3, 4)), np.array([10, 11]), r"frames must be \[T, \*\(3, 3\)\]"),
        (np.zeros((3, 3)), np.array([10]), r"frames must be \[T"),
        (np.zeros((1, 3, 3)), np.array([5]), "times_us must lie after 5, got 5"),
        (np.full((1, 3, 3), -1.0), np.array([9]), "linear intensities"),
    ],
)
def test_bad_chunks_are_refused(frames, times, message: str) -> None:
    array = DvsPixelArray()
    state = array.start(np.zeros((3, 3)), 5)
    with pytest.raises(DataError, match=message):
        array.advance(frames, times, state)


def test_a_negative_bandwidth_is_refused() -> None:
    with pytest.raises(ValueError, match="cutoff_hz must be >= 0, got -1"):
        DvsPixelArray(DvsParams(cutoff_hz=-1.0))
