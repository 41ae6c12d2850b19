"""Corruptions: seeded, conserving what they say, of the distribution that they name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sensors import corruptions as co
from spikefuse.events import EVENT_DTYPE, EventStream, MultiStream

SIZE = (7, 5, 2)
DURATION_US = 20_000


def random_stream(n_events: int, seed: int = 0, size=SIZE, duration_us=DURATION_US) -> EventStream:
    rng = np.random.default_rng(seed)
    events = np.zeros(n_events, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, duration_us, n_events))
    events["x"], events["y"] = (
        rng.integers(0, size[0], n_events),
        rng.integers(0, size[1], n_events),
    )
    events["p"] = rng.random(n_events) < 0.5 if size[2] == 2 else True
    return EventStream(events, size, duration_us, "vision")


CORRUPTIONS = {
    "drop": lambda s, rng: co.drop_events(s, 0.3, rng),
    "background": lambda s, rng: co.add_background(s, 100.0, rng),
    "hot": lambda s, rng: co.add_hot_pixels(s, 3, 500.0, rng),
    "jitter": lambda s, rng: co.jitter_time(s, 700.0, rng),
    "channels": lambda s, rng: co.lose_channels(s, 0.4, rng),
    "drift": lambda s, rng: co.drift_clock(s, 1e5),
    "slow": lambda s, rng: co.drift_clock(s, -4.567e5),
}


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
@settings(max_examples=25)
@given(
    n_events=st.integers(0, 80),
    seed=st.integers(0, 99),
    size=st.sampled_from([SIZE, (9, 1, 1), (1, 1, 2)]),
    duration_us=st.sampled_from([1, 2, DURATION_US]),
)
def test_every_result_keeps_the_rules_and_its_seed(
    name: str, n_events: int, seed: int, size: tuple[int, int, int], duration_us: int
) -> None:
    stream = random_stream(n_events, seed, size, duration_us)
    if name == "hot" and size == (1, 1, 2):
        return
    before = stream.events.tobytes()
    corrupt = CORRUPTIONS[name]
    result = corrupt(stream, np.random.default_rng(seed))
    # The constructor checks order, addresses, times against the duration.
    EventStream(result.events, result.sensor_size, result.duration_us, result.modality)
    assert stream.events.tobytes() == before
    again = corrupt(stream, np.random.default_rng(seed))
    assert result.events.tobytes() == again.events.tobytes()


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"drift", "slow"}))
def test_another_seed_is_another_corruption(name: str) -> None:
    stream = random_stream(200)
    a, b = (CORRUPTIONS[name](stream, np.random.default_rng(seed)) for seed in (1, 2))
    assert a.events.tobytes() != b.events.tobytes()


@pytest.mark.parametrize("name", ["drop", "background", "hot", "jitter", "channels"])
def test_nothing_at_strength_zero(name: str) -> None:
    stream, rng = random_stream(100), np.random.default_rng(0)
    result = {
        "drop": lambda: co.drop_events(stream, 0.0, rng),
        "background": lambda: co.add_background(stream, 0.0, rng),
        "hot": lambda: co.add_hot_pixels(stream, 0, 500.0, rng),
        "jitter": lambda: co.jitter_time(stream, 0.0, rng),
        "channels": lambda: co.lose_channels(stream, 0.0, rng),
    }[name]()
    assert result.events.tobytes() == stream.events.tobytes()


def test_events_are_dropped_independently() -> None:
    stream = random_stream(20_000)
    kept = co.drop_events(stream, 0.3, np.random.default_rng(1))
    assert stats.binomtest(len(kept), 20_000, 0.7).pvalue > 1e-3
    assert len(co.drop_events(stream, 1.0, np.random.default_rng(1))) == 0
    # What is left is a part of what was there, in its order.
    numbered = np.zeros(1000, EVENT_DTYPE)
    numbered["t"] = np.arange(1000)
    part = co.drop_events(EventStream(numbered, SIZE, 1000, "v"), 0.5, np.random.default_rng(2))
    assert (np.diff(part.events["t"]) > 0).all()


def test_background_has_its_rate_on_every_pixel_at_all_times() -> None:
    quiet = EventStream.empty((10, 10, 2), 1_000_000, "vision")
    noisy = co.add_background(quiet, 50.0, np.random.default_rng(3))
    assert abs(len(noisy) - 5000) < 4 * np.sqrt(5000)
    pixel = noisy.events["y"] * 10 + noisy.events["x"]
    assert stats.chisquare(np.bincount(pixel, minlength=100)).pvalue > 1e-3
    assert stats.kstest(noisy.events["t"] / 1e6, "uniform").pvalue > 1e-3
    assert stats.binomtest(int(noisy.events["p"].sum()), len(noisy), 0.5).pvalue > 1e-3


def test_the_number_of_background_events_is_poisson() -> None:
    quiet, rng = EventStream.empty((4, 4, 1), 100_000, "vision"), np.random.default_rng(4)
    counts = [len(co.add_background(quiet, 10.0, rng)) for _ in range(400)]
    assert np.mean(counts) == pytest.approx(16, abs=0.8)
    assert np.var(counts) == pytest.approx(16, rel=0.3)


def test_noise_leaves_the_signal_in() -> None:
    stream = random_stream(100)
    for noisy in (CORRUPTIONS["background"], CORRUPTIONS["hot"]):
        result = noisy(stream, np.random.default_rng(5)).events.tolist()
        for event in stream.events.tolist():
            result.remove(event)


def test_hot_pixels_are_as_many_as_asked() -> None:
    quiet = EventStream.empty((20, 10, 2), 1_000_000, "vision")
    hot = co.add_hot_pixels(quiet, 5, 1000.0, np.random.default_rng(6))
    counts = np.unique(hot.events["y"] * 20 + hot.events["x"], return_counts=True)[1]
    assert len(counts) == 5
    assert (np.abs(counts - 1000) < 5 * np.sqrt(1000)).all()


def test_jitter_is_gaussian_and_loses_nothing() -> None:
    numbered = np.zeros(5000, EVENT_DTYPE)
    numbered["t"] = 500_000
    numbered["x"] = np.arange(5000)
    stream = EventStream(numbered, (5000, 1, 1), 1_000_000, "audio")
    moved = co.jitter_time(stream, 1000.0, np.random.default_rng(7))
    assert sorted(moved.events["x"].tolist()) == list(range(5000))
    shift = (moved.events["t"] - 500_000) / 1000.0
    assert stats.kstest(shift, "norm").pvalue > 1e-3


def test_jitter_does_not_pile_up_at_the_ends() -> None:
    stream = random_stream(20_000, 8)
    moved = co.jitter_time(stream, 5000.0, np.random.default_rng(8))
    assert stats.kstest((moved.events["t"] + 0.5) / DURATION_US, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("share", "n_dead"), [(0.0, 0), (0.25, 16), (0.5, 32), (1.0, 64)])
def test_channels_are_lost_whole(share: float, n_dead: int) -> None:
    stream = random_stream(5000, 9, (64, 1, 1))
    rest = co.lose_channels(stream, share, np.random.default_rng(9))
    before, after = (np.bincount(s.events["x"], minlength=64) for s in (stream, rest))
    dead = after == 0
    assert dead.sum() == n_dead
    assert (after[~dead] == before[~dead]).all()


def test_an_absent_modality_is_an_empty_stream_of_the_same_sensor() -> None:
    sample = MultiStream({"vision": random_stream(10)}, label=3)
    absent = co.drop_modality(sample, "vision")
    assert len(absent["vision"]) == 0
    assert absent["vision"].sensor_size == SIZE
    assert (absent.duration_us, absent.label) == (DURATION_US, 3)


@pytest.mark.parametrize("offset_ms", [-3.5, 0.0, 2.25])
def test_an_offset_moves_one_modality_against_the_other(offset_ms: float) -> None:
    vision = random_stream(10)
    audio = EventStream(random_stream(10, 1).events.copy(), SIZE, DURATION_US, "audio")
    moved = co.offset_modality(MultiStream({"vision": vision, "audio": audio}), "audio", offset_ms)
    lag = moved["audio"].events["t"] - audio.events["t"]
    lead = moved["vision"].events["t"] - vision.events["t"]
    assert set((lag - lead).tolist()) == {round(offset_ms * 1000)}


def test_drift_is_in_parts_per_million() -> None:
    times = np.array(
        [(0, 0, 0, True), (1_000_000, 0, 0, True), (9_999_999, 0, 0, True)], EVENT_DTYPE
    )
    stream = EventStream(times, SIZE, 10_000_000, "vision")
    fast, slow = co.drift_clock(stream, 100.0), co.drift_clock(stream, -100.0)
    assert fast.events["t"].tolist() == [0, 1_000_100, 10_000_998]
    assert slow.events["t"].tolist() == [0, 999_900, 9_998_999]
    assert fast.duration_us == pytest.approx(10_001_000, abs=1)
    assert co.drift_clock(stream, 0.0).events.tobytes() == stream.events.tobytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, r: co.drop_events(s, 1.5, r), r"probability must lie in \[0, 1\], got 1.5"),
        (lambda s, r: co.lose_channels(s, -0.1, r), r"share must lie in \[0, 1\], got -0.1"),
        (lambda s, r: co.add_background(s, -1.0, r), "rate_hz must be finite and >= 0, got -1.0"),
        (lambda s, r: co.jitter_time(s, float("nan"), r), "sigma_us must be finite and >= 0"),
        (lambda s, r: co.add_hot_pixels(s, 36, 1.0, r), r"n_pixels must be .* \[0, 35\], got 36"),
        (lambda s, r: co.drift_clock(s, -1e6), "drift_ppm must be finite and above -1e6"),
    ],
)
def test_refusals(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(random_stream(3), np.random.default_rng(0))
