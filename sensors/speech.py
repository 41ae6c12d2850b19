"""Synthetic spoken digits: a small seeded formant synthesiser. Not real speech."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensors._phonemes import WORDS, Phone
from spikefuse._types import Float32Array, FloatArray

_FRAME_MS = 5.0
_BANDWIDTHS_HZ = (70.0, 100.0, 150.0)


@dataclass(frozen=True)
class VoiceParams:
    """A speaker.

    Parameters
    ----------
    name : str
    f0_hz : float
        Mean pitch.
    rate : float
        Speaking rate; 2 is twice as fast.
    tract_scale : float
        Factor on all formants: above 1 for a shorter vocal tract.
    breathiness : float
        Share of noise in the voiced source.
    """

    name: str
    f0_hz: float
    rate: float
    tract_scale: float
    breathiness: float


def random_voice(name: str, rng: np.random.Generator) -> VoiceParams:
    """A speaker drawn from a wide range of pitch, rate and vocal tract."""
    return VoiceParams(
        name,
        f0_hz=float(rng.uniform(85, 240)),
        rate=float(rng.uniform(0.8, 1.25)),
        tract_scale=float(rng.uniform(0.88, 1.2)),
        breathiness=float(rng.uniform(0.01, 0.08)),
    )


def synthesise(
    digit: int, voice: VoiceParams, rng: np.random.Generator, sample_rate: int = 8000
) -> Float32Array:
    """One utterance of a digit.

    A pulse train and noise excite three resonators whose formants move between the phones'
    targets; fricatives add band-limited noise.

    Parameters
    ----------
    digit : int
        0 to 9.
    voice : VoiceParams
    rng : numpy Generator
        Varies durations, formants and pitch from one utterance to the next.
    sample_rate : int
        In hertz.

    Returns
    -------
    float32 array [n]
        Samples, peak 0.9.

    Raises
    ------
    ValueError
        If ``digit`` is not 0 to 9.
    """
    if not 0 <= digit < len(WORDS):
        raise ValueError(f"digit must be 0 to {len(WORDS) - 1}, got {digit}")
    frames = _frames(WORDS[digit], voice, rng)
    hop = round(sample_rate * _FRAME_MS / 1e3)
    n = len(frames) * hop
    position = np.arange(n) / hop
    track = np.stack([np.interp(position, np.arange(len(frames)), column) for column in frames.T])
    formants, loud, hiss, low, high = track[:3], track[3], track[4], track[5], track[6]

    pitch = voice.f0_hz * np.linspace(1.1, 0.85, n)
    pitch *= 1 + 0.02 * np.cumsum(rng.standard_normal(n)) / np.sqrt(n)
    pulses = np.diff(np.floor(np.cumsum(pitch / sample_rate)), prepend=0.0)
    source = loud * (pulses + voice.breathiness * rng.standard_normal(n))
    voiced = _resonate(source, formants, sample_rate, hop)
    noise = _band_noise(low, high, sample_rate, hop, rng)
    mixed = voiced / (np.abs(voiced).max() + 1e-9) + hiss * noise
    result: Float32Array = (0.9 * mixed / (np.abs(mixed).max() + 1e-9)).astype(np.float32)
    return result


def add_noise(wave: Float32Array, snr_db: float, rng: np.random.Generator) -> Float32Array:
    """White noise at a signal-to-noise ratio in dB, measured over the whole utterance."""
    power = float(np.mean(wave.astype(np.float64) ** 2))
    scale = np.sqrt(power / 10 ** (snr_db / 10))
    noisy: Float32Array = (wave + scale * rng.standard_normal(len(wave))).astype(np.float32)
    return noisy


def _frames(word: tuple[Phone, ...], voice: VoiceParams, rng: np.random.Generator) -> FloatArray:
    """Smoothed control track, ``[frames, 7]``: formants, voice, noise, band edges."""
    wobble = voice.tract_scale * (1 + 0.04 * rng.standard_normal(3))
    rows: list[tuple[float, ...]] = []
    for phone in word:
        length_ms = phone.ms / voice.rate * (1 + 0.12 * rng.standard_normal())
        f1, f2, f3 = np.array(phone.formants_hz) * wobble
        row = (f1, f2, f3, phone.voice, phone.noise, *phone.band_hz)
        rows += [row] * max(int(length_ms / _FRAME_MS), 2)
    track = np.array(rows, dtype=np.float64)
    kernel = np.hanning(9)
    kernel /= kernel.sum()
    padded = np.pad(track, ((4, 4), (0, 0)), mode="edge")
    smooth: FloatArray = np.stack(
        [np.convolve(column, kernel, "valid") for column in padded.T], axis=1
    )
    return smooth


def _resonate(source: FloatArray, formants: FloatArray, rate: int, hop: int) -> FloatArray:
    """Cascade of two-pole resonators whose formants change every frame, state carried over."""
    from scipy.signal import lfilter

    out = source.copy()
    for track, bandwidth in zip(formants, _BANDWIDTHS_HZ, strict=True):
        state = np.zeros(2)
        radius = np.exp(-np.pi * bandwidth / rate)
        for start in range(0, len(out), hop):
            frequency = min(float(track[start]), 0.48 * rate)
            turn = 2 * radius * np.cos(2 * np.pi * frequency / rate)
            gain = 1 - turn + radius**2
            part = slice(start, start + hop)
            out[part], state = lfilter([gain], [1.0, -turn, radius**2], out[part], zi=state)
    return out


def _band_noise(
    low: FloatArray, high: FloatArray, rate: int, hop: int, rng: np.random.Generator
) -> FloatArray:
    """Noise of unit variance, band-limited frame by frame."""
    n = len(low)
    out = np.zeros(n)
    window = np.hanning(2 * hop)
    for start in range(0, n - hop, hop):
        frequency = np.fft.rfftfreq(2 * hop, 1 / rate)
        inside = (frequency >= low[start]) & (frequency <= min(high[start], 0.49 * rate))
        spectrum = np.fft.rfft(rng.standard_normal(2 * hop)) * inside
        piece = np.fft.irfft(spectrum, 2 * hop) * window
        length = min(2 * hop, n - start)
        out[start : start + length] += piece[:length]
    result: FloatArray = out / (out.std() + 1e-9)
    return result
