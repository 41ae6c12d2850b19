"""The pixel model against closed forms, and its symmetry, dead time and bad input."""

import numpy as np
import pytest

from sensors.dvs import DvsParams, DvsPixelArray
from spikefuse.errors import DataError

CLEAN = DvsParams(
    threshold_mismatch=0.0, shot_noise_hz=0.0, leak_hz=0.0, refractory_us=0, dark_level=1.0
)


def test_a_ramp_in_log_intensity_fires_at_closed_form_times() -> None:
    # log(I + 1) goes from 0 to 3.1 in 100 ms: 12 thresholds of 0.25, evenly spaced in time.
    times = np.array([0, 100_000])
    frames = np.exp(np.array([0.0, 3.1]))[:, None, None] - 1
    stream = DvsPixelArray(CLEAN).encode(frames, times)
    expected = 0.25 * np.arange(1, 13) / 3.1 * 100_000
    np.testing.assert_allclose(stream.events["t"], expected, atol=1)
    assert stream.events["p"].all()


def test_a_constant_scene_gives_nothing() -> None:
    frames = np.full((20, 4, 5), 80, np.uint8)
    assert len(DvsPixelArray(CLEAN).encode(frames, np.arange(20) * 1000)) == 0


def test_swapping_rise_and_fall_swaps_polarity(rng) -> None:
    log_intensity = rng.uniform(0, 4, (15, 6, 6))
    times = np.arange(15) * 2000
    up = DvsPixelArray(CLEAN).encode(np.exp(log_intensity) - 1, times)
    down = DvsPixelArray(CLEAN).encode(np.exp(4 - log_intensity) - 1, times)
    assert len(up) == len(down) > 100
    assert up.events["p"].sum() == (~down.events["p"]).sum()


def test_refractory_pixels_keep_their_distance(rng) -> None:
    params = DvsParams(refractory_us=3000, shot_noise_hz=0, leak_hz=0)
    frames = rng.uniform(0, 255, (60, 3, 3))
    stream = DvsPixelArray(params).encode(frames, np.arange(60) * 1000)
    address = stream.events["y"] * 3 + stream.events["x"]
    for pixel in range(9):
        assert np.diff(stream.events["t"][address == pixel]).min() >= 2999


def test_noise_and_leak_have_their_rates() -> None:
    frames = np.full((2, 50, 50), 100.0)
    times = np.array([0, 2_000_000])
    noise = DvsPixelArray(DvsParams(shot_noise_hz=3.0, leak_hz=0)).encode(frames, times)
    assert len(noise) == pytest.approx(3.0 * 2500 * 2, rel=0.05)
    leak = DvsPixelArray(DvsParams(shot_noise_hz=0, leak_hz=2.2, refractory_us=0))
    stream = leak.encode(frames, times)
    assert len(stream) == 4 * 2500
    assert stream.events["p"].all()


def test_every_call_starts_fresh_and_a_batch_equals_single_films(rng) -> None:
    array = DvsPixelArray(DvsParams(shot_noise_hz=0))
    films = rng.uniform(0, 255, (3, 10, 5, 4))
    times = np.arange(10) * 1000
    batch = array.encode_batch(films, times)
    for film, stream in zip(films, batch, strict=True):
        np.testing.assert_array_equal(array.encode(film, times).events, stream.events)
    assert batch[0].sensor_size == (4, 5, 2)


def test_batches_differ_in_noise_if_told_to() -> None:
    array = DvsPixelArray(DvsParams(shot_noise_hz=5.0, leak_hz=0.0))
    films, times = np.full((1, 2, 20, 20), 50.0), np.array([0, 500_000])
    same = [array.encode_batch(films, times)[0].events for _ in range(2)]
    np.testing.assert_array_equal(*same)
    rng = np.random.default_rng(0)
    first, second = (array.encode_batch(films, times, noise_rng=rng)[0] for _ in range(2))
    assert len(first) > 500
    assert not np.array_equal(first.events, second.events)


@pytest.mark.parametrize(
    ("frames", "times", "message"),
    [
        (np.zeros((2, 3)), np.array([0, 1]), r"frames must be \[T, H, W\]"),
        (np.zeros((2, 3, 3)), np.array([1, 0]), "strictly increasing"),
        (np.zeros((2, 3, 3)), np.array([0, 1, 2]), r"times_us must be integers \[2\]"),
        (np.zeros((2, 3, 3)), np.array([0.0, 1.0]), "times_us must be integers"),
        (np.full((2, 3, 3), np.nan), np.array([0, 1]), "linear intensities"),
        (np.full((2, 3, 3), 300.0), np.array([0, 1]), "linear intensities"),
    ],
)
def test_bad_films_are_refused(frames, times, message: str) -> None:
    with pytest.raises(DataError, match=message):
        DvsPixelArray().encode(frames, times)
