"""A bank of spoken words and the envelopes that move a mouth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from spikefuse._types import Float32Array, FloatArray, Int64Array
from spikefuse.errors import DataError

_LOUDNESS_SMOOTH_MS = 12.0
_BAND_COMPRESSION = 0.5


@dataclass(frozen=True, eq=False)
class WordBank:
    """Words that start at 0 of a period, silent after their end.

    Parameters
    ----------
    digits : int64 array [K]
    names : tuple of str
        Speaker or voice and number of each word.
    waves : float32 array [K, period_ms * sample_rate / 1000]
        Peak 1.
    sample_rate : int
        In hertz.
    loudness : float array [K, period_ms]
        Smoothed root mean square in steps of 1 ms, on the circle of the period; largest value 1.
    bands : float array [K, C, period_ms]
        Compressed envelope of each band, low to high; the largest value of a word is 1.
    """

    digits: Int64Array
    names: tuple[str, ...]
    waves: Float32Array
    sample_rate: int
    loudness: FloatArray
    bands: FloatArray


@lru_cache(maxsize=8)
def synthetic_words(n_voices: int, seed: int, period_ms: int, n_bands: int) -> WordBank:
    """Ten digits of ``n_voices`` synthetic voices each; the same for the same arguments.

    Parameters
    ----------
    n_voices, seed, n_bands : int
    period_ms : int
        Length of every word's recording.

    Raises
    ------
    DataError
        If a word is longer than the period.
    """
    from sensors.speech import random_voice, synthesise

    words: list[tuple[int, str, Float32Array]] = []
    for voice in range(n_voices):
        rng = np.random.default_rng([seed, voice])
        speaker = random_voice(f"voice{voice}", rng)
        words += [(digit, speaker.name, synthesise(digit, speaker, rng)) for digit in range(10)]
    for digit, name, wave in words:
        if len(wave) > 8 * period_ms:
            raise DataError(
                f"period_ms must be at least the longest word's length, got {period_ms} and "
                f"{len(wave) / 8:g} ms for digit {digit} of {name}"
            )
    return _bank(words, 8000, period_ms, n_bands)


@lru_cache(maxsize=8)
def recorded_words(
    folder: Path, n_per_digit: int, seed: int, period_ms: int, n_bands: int
) -> WordBank:
    """Recorded digits drawn by the seed from those that fit into the period, sorted by name.

    Parameters
    ----------
    folder : Path
        Holds ``FSDD/recordings/<digit>_<speaker>_<index>.wav``, or the files themselves.
    n_per_digit, seed, period_ms, n_bands : int

    Raises
    ------
    DataError
        If a digit has fewer recordings that fit, or sample rates differ.
    """
    from sensors.audio_source import read_wav, spoken_digit_folder

    paths = sorted(spoken_digit_folder(folder).glob("*.wav"))
    rng = np.random.default_rng(seed)
    words: list[tuple[int, str, Float32Array]] = []
    rates: set[int] = set()
    for digit in range(10):
        mine = [path for path in paths if path.name.startswith(f"{digit}_")]
        n_found = 0
        for at in rng.permutation(len(mine)):
            if n_found == n_per_digit:
                break
            wave, rate = read_wav(mine[at])
            if len(wave) <= period_ms * rate // 1000:
                words.append((digit, mine[at].stem, wave.astype(np.float32)))
                rates.add(rate)
                n_found += 1
        if n_found < n_per_digit:
            raise DataError(
                f"folder must hold {n_per_digit} recordings of digit {digit} of at most "
                f"{period_ms} ms, got {n_found} in {folder}"
            )
    if len(rates) > 1:
        raise DataError(f"recordings must have one sample rate, got {sorted(rates)}")
    return _bank(words, rates.pop(), period_ms, n_bands)


def _bank(
    words: list[tuple[int, str, Float32Array]], sample_rate: int, period_ms: int, n_bands: int
) -> WordBank:
    """Words padded to the period, with their envelopes."""
    from scipy.ndimage import gaussian_filter1d

    from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams

    if sample_rate % 1000:
        raise DataError(f"sample_rate must be a multiple of 1000 Hz, got {sample_rate}")
    per_ms = sample_rate // 1000
    waves = np.zeros((len(words), period_ms * per_ms), np.float32)
    for row, (_, _, wave) in zip(waves, words, strict=True):
        row[: len(wave)] = wave / np.abs(wave).max()
    power = (waves.astype(np.float64) ** 2).reshape(len(words), period_ms, per_ms).mean(2)
    loudness = np.sqrt(gaussian_filter1d(power, _LOUDNESS_SMOOTH_MS, axis=1, mode="wrap"))
    ear = GammatoneCochlea(
        GammatoneParams(
            n_channels=n_bands, f_min_hz=200.0, f_max_hz=0.425 * sample_rate, frame_hz=1000.0
        )
    )
    # Two periods: the second one is the response to the endless loop.
    heard = np.stack([ear.envelope(np.tile(wave, 2), sample_rate) for wave in waves])
    bands = np.maximum(heard[:, -period_ms:], 0).transpose(0, 2, 1) ** _BAND_COMPRESSION
    return WordBank(
        np.array([digit for digit, _, _ in words], dtype=np.int64),
        tuple(name for _, name, _ in words),
        waves,
        sample_rate,
        loudness / loudness.max(axis=1, keepdims=True),
        bands / bands.max(axis=(1, 2), keepdims=True),
    )
