"""Cochlea: tonotopy, counts by hand, sample-rate independence, bad input."""

import numpy as np
import pytest

from sensors.cochlea import Cochlea, CochleaParams, fixed_gain
from spikefuse.errors import DataError


def tone(frequency_hz: float, rate: int = 16000, seconds: float = 0.3) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("frequency_hz", [200.0, 700.0, 2000.0])
def test_a_tone_excites_its_own_channel_most(frequency_hz: float) -> None:
    cochlea = Cochlea()
    drive = cochlea.drive(tone(frequency_hz), 16000)[:, 2000:].mean(axis=1)
    nearest = np.abs(cochlea.center_frequencies_hz - frequency_hz).argmin()
    assert abs(int(drive.argmax()) - int(nearest)) <= 1


def test_centre_frequencies_are_evenly_spaced_in_erb_rate() -> None:
    frequencies = Cochlea(CochleaParams(n_channels=20)).center_frequencies_hz
    rate = 21.4 * np.log10(4.37e-3 * frequencies + 1)
    np.testing.assert_allclose(np.diff(rate, 2), 0, atol=1e-9)
    assert frequencies[0] == pytest.approx(100)
    assert frequencies[-1] == pytest.approx(3500)


def test_spike_count_is_the_integral_of_the_rate() -> None:
    p = CochleaParams(n_channels=8)
    wave = tone(500.0)
    drive = Cochlea(p).drive(wave, 16000)
    rate = np.minimum(p.spikes_per_unit_s * np.maximum(drive - p.rest, 0), p.max_rate_hz)
    expected = np.floor(rate.sum(axis=1) / 16000)
    stream = Cochlea(p).encode(wave, 16000)
    counted = np.bincount(stream.events["x"], minlength=8)
    np.testing.assert_array_equal(counted, expected)
    assert stream.sensor_size == (8, 1, 1)
    assert stream.duration_us == 300_000


def test_the_sample_rate_hardly_matters_and_loudness_not_at_all(rng) -> None:
    low, high = (
        Cochlea().encode(tone(600.0, rate) + 0.5 * tone(1500.0, rate), rate)
        for rate in (16000, 48000)
    )
    assert len(low) == pytest.approx(len(high), rel=0.05)
    wave = rng.standard_normal(4000)
    quiet, loud = Cochlea().encode(wave, 8000), Cochlea().encode(100 * wave, 8000)
    np.testing.assert_array_equal(quiet.events, loud.events)


def test_silence_is_silent() -> None:
    assert len(Cochlea().encode(np.zeros(1000), 8000)) == 0


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
        Cochlea().encode(wave, 8000)


def test_channels_above_the_usable_band_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"f_max_hz must be at most 0.45 x sample_rate = 3600 Hz"):
        Cochlea(CochleaParams(f_max_hz=3700)).encode(np.zeros(10), 8000)
    with pytest.raises(ValueError, match="n_channels must be >= 1"):
        Cochlea(CochleaParams(n_channels=0))


def test_front_end_counts_grow_with_samples_and_channels() -> None:
    one = Cochlea(CochleaParams(n_channels=4)).frontend_counts(10, 8000)
    assert one.effective_macs == 19 * 4 * 10
    assert one.kind == "frontend"
    assert Cochlea(CochleaParams(n_channels=8)).frontend_counts(10, 8000).effective_macs == (
        2 * one.effective_macs
    )


@pytest.mark.parametrize("rate", [8000, 48000])
def test_the_bank_equals_the_recursion_it_stands_for(rng, rate: int) -> None:
    from scipy.signal import lfilter

    p = CochleaParams(n_channels=5, spikes_per_unit_s=1.0)
    wave = rng.standard_normal(rate // 4)
    scaled = wave * p.level_rms / np.sqrt(np.mean(wave**2))
    decay = np.exp(-2 * np.pi * p.envelope_hz / rate)
    cochlea = Cochlea(p)
    for channel, frequency in enumerate(cochlea.center_frequencies_hz):
        bandwidth = 1.019 * 24.7 * (4.37e-3 * frequency + 1)
        pole = np.exp(2 * np.pi * (1j * frequency - bandwidth) / rate)
        moved = scaled.astype(complex)
        for _ in range(4):
            moved = lfilter([1 - abs(pole)], [1, -pole], moved)
        envelope = lfilter([1 - decay], [1, -decay], np.maximum(2 * moved.real, 0))
        np.testing.assert_allclose(
            cochlea.drive(wave, rate)[channel], envelope**p.compression, atol=1e-4
        )


def test_a_fixed_gain_does_not_look_ahead() -> None:
    rng = np.random.default_rng(4)
    wave = 0.05 * rng.standard_normal(4000)
    louder = np.concatenate([wave, 20 * wave])  # what follows is much louder
    fixed = Cochlea(CochleaParams(gain=2.0))
    first, with_more = fixed.encode(wave, 8000), fixed.encode(louder, 8000)
    # The transform over another length rounds otherwise: a spike may move by one sample.
    early = with_more.events[with_more.events["t"] < 490_000]
    kept = first.events[first.events["t"] < 490_000]
    assert abs(len(early) - len(kept)) <= 2
    normalised = Cochlea(CochleaParams())
    quieter = normalised.encode(louder, 8000).events
    assert (quieter["t"] < 490_000).sum() < 0.7 * (
        normalised.encode(wave, 8000).events["t"] < 490_000
    ).sum()


def test_a_fixed_gain_is_that_of_the_median_utterance() -> None:
    waves = [np.full(10, level) for level in (0.01, 0.05, 0.4)]
    assert fixed_gain([*waves, np.zeros(10)], level_rms=0.1) == pytest.approx(2.0)
    same = Cochlea(CochleaParams(gain=2.0)).drive(waves[1], 8000)
    np.testing.assert_allclose(same, Cochlea(CochleaParams()).drive(waves[1], 8000), atol=1e-12)
    with pytest.raises(DataError, match="waves must hold a sound"):
        fixed_gain([np.zeros(5)])
    with pytest.raises(ValueError, match="gain must be positive"):
        Cochlea(CochleaParams(gain=-1.0))
