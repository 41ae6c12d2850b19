"""Synthetic speech: seeds, pitch and formants where they were asked for, noise at its level."""

import numpy as np
import pytest

from sensors._phonemes import WORDS
from sensors.speech import VoiceParams, add_noise, random_voice, synthesise

RATE = 8000
VOICE = VoiceParams("test", f0_hz=100.0, rate=1.0, tract_scale=1.0, breathiness=0.01)


def say(digit: int, voice: VoiceParams = VOICE, seed: int = 0, rate: int = RATE) -> np.ndarray:
    return synthesise(digit, voice, np.random.default_rng(seed), rate)


def band_power(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Share of the power between two frequencies."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    frequency = np.fft.rfftfreq(len(wave), 1 / RATE)
    return float(power[(frequency >= low_hz) & (frequency < high_hz)].sum() / power.sum())


@pytest.mark.parametrize("digit", range(10))
def test_a_word_is_finite_scaled_and_as_long_as_its_phones(digit: int) -> None:
    wave = say(digit)
    assert wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() == pytest.approx(0.9, abs=1e-6)
    nominal_s = sum(phone.ms for phone in WORDS[digit]) / 1e3
    assert len(wave) / RATE == pytest.approx(nominal_s, rel=0.3)


def test_the_seed_decides_the_utterance() -> None:
    np.testing.assert_array_equal(say(4, seed=1), say(4, seed=1))
    one, other = say(4, seed=1), say(4, seed=2)
    assert len(one) != len(other) or not np.array_equal(one, other)


@pytest.mark.parametrize("f0_hz", [90.0, 130.0, 220.0])
def test_the_pitch_is_the_voices(f0_hz: float) -> None:
    wave = say(0, VoiceParams("v", f0_hz, 1.0, 1.0, 0.01))
    vowel = wave[int(0.6 * len(wave)) : int(0.9 * len(wave))].astype(float)
    similarity = np.correlate(vowel, vowel, "full")[len(vowel) - 1 :]
    shortest = int(RATE / 300)
    period = shortest + int(np.argmax(similarity[shortest : int(RATE / 60)]))
    assert RATE / period == pytest.approx(f0_hz, rel=0.15)


def test_a_fast_voice_is_short() -> None:
    slow, fast = (say(7, VoiceParams("v", 100.0, rate, 1.0, 0.01)) for rate in (1.0, 2.0))
    assert len(fast) / len(slow) == pytest.approx(0.5, abs=0.05)


def test_a_shorter_vocal_tract_raises_the_spectrum() -> None:
    def centroid(wave: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(wave)) ** 2
        return float((power * np.fft.rfftfreq(len(wave), 1 / RATE)).sum() / power.sum())

    short, long = (say(1, VoiceParams("v", 100.0, 1.0, scale, 0.01)) for scale in (1.2, 0.9))
    assert centroid(short) > 1.1 * centroid(long)


def test_six_hisses_and_has_its_silent_gap() -> None:
    # "six" opens with [s], mostly above 2.5 kHz, where the vowel of "one" has almost nothing.
    six = say(6)
    opening = six[: int(0.07 * RATE)]
    assert band_power(opening, 2500, 4000) > 0.8
    assert band_power(say(1), 2500, 4000) < 0.1
    loudness = np.sqrt(np.convolve(six**2, np.ones(80) / 80, "valid"))
    middle = loudness[int(0.45 * len(loudness)) : int(0.8 * len(loudness))]
    assert middle.min() < 0.05 * loudness.max()


@pytest.mark.parametrize("snr_db", [-6.0, 0.0, 20.0])
def test_noise_has_the_asked_level(snr_db: float) -> None:
    wave = say(8)
    noise = add_noise(wave, snr_db, np.random.default_rng(0)).astype(float) - wave
    measured_db = 10 * np.log10(np.mean(wave.astype(float) ** 2) / np.mean(noise**2))
    assert measured_db == pytest.approx(snr_db, abs=0.3)


def test_random_voices_are_seeded_and_differ() -> None:
    rng = np.random.default_rng(5)
    one, other = random_voice("a", rng), random_voice("a", rng)
    assert one != other
    assert one == random_voice("a", np.random.default_rng(5))


def test_sample_rates_agree_on_the_length() -> None:
    assert len(say(3, rate=16000)) == 2 * len(say(3))


@pytest.mark.parametrize("digit", [-1, 10])
def test_only_digits_can_be_said(digit: int) -> None:
    with pytest.raises(ValueError, match=f"digit must be 0 to 9, got {digit}"):
        say(digit)
