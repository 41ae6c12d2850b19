"""The streaming cochlea: filters against scipy, spikes against closed forms, chunks, two ears."""

from dataclasses import replace

import numpy as np
import pytest

import sensors._numba.cochlea as kernels
from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
from sensors.cochlea_model import encode_binaural
from spikefuse.errors import DataError

SMALL = GammatoneParams(n_channels=33, f_max_hz=4000.0)


def tone(frequency_hz: float, rate: int = 16000, seconds: float = 0.3) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("n_channels", [1, 31, 32, 65])
def test_the_bank_equals_scipys_recursion(rng, n_channels: int) -> None:
    from scipy.signal import lfilter

    rate = 16000
    cochlea = GammatoneCochlea(replace(SMALL, n_channels=n_channels))
    wave = rng.standard_normal(3000).astype(np.float32)
    frames = cochlea.envelope(wave, rate)
    assert frames.shape == (600, n_channels)  # every fifth sample
    decay = np.exp(-2 * np.pi * SMALL.envelope_hz / rate)
    for channel in range(0, n_channels, 8):
        frequency = cochlea.center_frequencies_hz[channel]
        bandwidth = 1.019 * 24.7 * (4.37e-3 * frequency + 1)
        pole = np.exp(2 * np.pi * (1j * frequency - bandwidth) / rate)
        moved = wave.astype(complex)
        for _ in range(4):
            moved = lfilter([1 - abs(pole)], [1, -pole], moved)
        envelope = lfilter([1 - decay], [1, -decay], np.maximum(2 * moved.real, 0))
        expected = envelope[4::5]
        np.testing.assert_allclose(frames[:, channel], expected, atol=2e-5 * expected.max())


@pytest.mark.parametrize("frequency_hz", [200.0, 700.0, 2000.0])
def test_a_tone_excites_its_own_channel_most(frequency_hz: float) -> None:
    cochlea = GammatoneCochlea(SMALL)
    loudest = cochlea.envelope(tone(frequency_hz), 16000)[-200:].mean(axis=0).argmax()
    nearest = np.abs(cochlea.center_frequencies_hz - frequency_hz).argmin()
    assert abs(int(loudest) - int(nearest)) <= 1


def test_a_steady_rate_fires_at_closed_form_times() -> None:
    # v(t) = r tau (1 - exp(-t / tau)) reaches 1 after tau log(r tau / (r tau - 1)).
    rate, tau, dead, frame = 150.0, 0.02, 0.003, 0.001
    times, channels = np.empty(99), np.empty(99, np.int64)
    voltage, ready = np.zeros(2), np.zeros(2)
    drive = np.tile(np.array([[rate, 49.0]], np.float32), (200, 1))
    n = kernels.leaky_spikes(
        drive, tau, dead, frame, 0, voltage, ready, times, channels, np.zeros(2, np.int64)
    )
    wait = tau * np.log(3.0 / 2.0)
    expected = wait + (wait + dead) * np.arange(n)
    np.testing.assert_allclose(times[:n], expected, rtol=1e-9)
    assert n == int((0.2 - wait) / (wait + dead)) + 1
    assert (channels[:n] == 0).all()
    # Below the threshold of 1 / tau the other channel only charges.
    assert voltage[1] == pytest.approx(0.98 * (1 - np.exp(-0.2 / tau)), rel=1e-9)


@pytest.mark.parametrize("dead_s", [0.0, 0.002])
def test_chunks_give_the_spikes_of_the_whole(rng, dead_s: float) -> None:
    cochlea = GammatoneCochlea(replace(SMALL, dead_s=dead_s))
    wave = rng.standard_normal(4000)
    whole = cochlea.encode(wave, 16000, gain=0.1)
    assert len(whole) > 300
    for size in (1, 37, 1600):
        if size == 1:
            wave, whole = wave[:400], cochlea.encode(wave[:400], 16000, gain=0.1)
        state, parts = cochlea.start(16000, 0.1), []
        for low in range(0, len(wave), size):
            events, state = cochlea.advance(wave[low : low + size], state)
            parts.append(events)
        parts.append(cochlea.finish(state))
        np.testing.assert_array_equal(np.concatenate(parts), whole.events)
        assert state.n_samples == len(wave)


def test_a_chunk_may_be_empty_and_leaves_the_state_alone() -> None:
    cochlea = GammatoneCochlea(SMALL)
    state = cochlea.start(16000)
    events, after = cochlea.advance(np.zeros(0), state)
    assert len(events) == 0
    np.testing.assert_array_equal(after.filters, state.filters)
    cochlea.advance(tone(500.0), state)
    assert not state.filters.any()


def test_loudness_is_normalised_unless_a_gain_is_given(rng) -> None:
    cochlea = GammatoneCochlea(SMALL)
    wave = rng.standard_normal(3000).astype(np.float32)
    quiet, loud = cochlea.encode(wave, 16000), cochlea.encode(64 * wave, 16000)
    np.testing.assert_array_equal(quiet.events, loud.events)
    assert len(cochlea.encode(wave / 64, 16000, gain=0.1)) < len(quiet) / 2


def test_silence_is_silent_and_short_sounds_are_legal() -> None:
    assert len(GammatoneCochlea(SMALL).encode(np.zeros(1000), 16000)) == 0
    assert len(GammatoneCochlea(SMALL).encode(np.ones(1), 16000)) == 0


def test_spikes_keep_their_distance(rng) -> None:
    stream = GammatoneCochlea(SMALL).encode(tone(500.0), 16000)
    for channel in np.unique(stream.events["x"]):
        apart = np.diff(stream.events["t"][stream.events["x"] == channel])
        assert (apart >= 1999).all()


def test_two_ears_share_a_gain_and_keep_their_difference() -> None:
    cochlea = GammatoneCochlea(SMALL)
    left = tone(700.0)
    stream = encode_binaural(cochlea, np.stack([left, left / 4], axis=1), 16000)
    assert stream.sensor_size == (33, 2, 1)
    counts = np.bincount(stream.events["y"], minlength=2)
    assert counts[0] > 1.5 * counts[1] > 0
    gain = cochlea.gain(np.concatenate([left, left / 4]))
    for ear, wave in enumerate((left, left / 4)):
        alone = cochlea.encode(wave, 16000, gain=gain).events
        mine = stream.events[stream.events["y"] == ear]
        np.testing.assert_array_equal(mine["t"], alone["t"])
        np.testing.assert_array_equal(mine["x"], alone["x"])


def test_a_delay_between_ears_is_a_delay_of_spikes() -> None:
    cochlea = GammatoneCochlea(SMALL)
    left = np.concatenate([tone(700.0), np.zeros(320)])
    right = np.roll(left, 320)  # 20 ms, a whole number of frames
    events = encode_binaural(cochlea, np.stack([left, right], axis=1), 16000).events
    first, second = (events[events["y"] == ear] for ear in range(2))
    for channel in np.unique(first["x"]):
        early, late = (part["t"][part["x"] == channel] for part in (first, second))
        n = min((early < 250_000).sum(), len(late))
        # Idle filters are not quite at 0 (they are kept from denormal numbers).
        assert (np.abs(late[:n] - early[:n] - 20_000) <= 20).all()


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(0), "at least one sample"),
        (np.zeros((3, 2)), "1-d"),
        (np.array([0.0, np.nan]), "finite"),
    ],
)
def test_bad_waves_are_refused(wave: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        GammatoneCochlea(SMALL).encode(wave, 16000)
    with pytest.raises(DataError, match=r"waves must be \[n, 2\]"):
        encode_binaural(GammatoneCochlea(SMALL), np.zeros((4, 3)), 16000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_channels": 0}, "n_channels must be >= 1, got 0"),
        ({"f_min_hz": 5000.0}, "f_min_hz must lie between 0 and f_max_hz"),
        ({"leak_s": 0.0}, "leak_s must be positive, got 0.0"),
        ({"dead_s": -1.0}, "dead_s must be >= 0, got -1.0"),
    ],
)
def test_impossible_parameters_are_named(changes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GammatoneCochlea(replace(SMALL, **changes))


def test_channels_above_the_usable_band_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"f_max_hz must be at most 0.45 x sample_rate = 3600 Hz"):
        GammatoneCochlea(SMALL).encode(np.zeros(10), 8000)


def test_the_compiled_bank_runs(monkeypatch) -> None:
    calls = []
    plain = kernels.gammatone
    monkeypatch.setattr(kernels, "gammatone", lambda *a: calls.append(1) or plain(*a))
    GammatoneCochlea(SMALL).encode(tone(500.0), 16000)
    assert calls == [1]
