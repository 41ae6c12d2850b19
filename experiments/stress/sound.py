"""Noise of sound before the cochlea: test recordings heard again by the run's own cochlea."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from experiments.config import DataConfig
from sensors.audio_source import read_wav, spoken_digit_folder
from sensors.clock import ClockPolicy, place
from sensors.cochlea import Cochlea
from sensors.digits import SAMPLE_RATE_HZ, spoken_digits
from spikefuse._types import Float32Array, FloatArray
from spikefuse.errors import DataError
from spikefuse.events import EventStream

Wave = Float32Array | FloatArray
MODALITY = "audio"
KIND = "sound"
SNR_DB = (20.0, 10.0, 5.0, 0.0, -5.0, -10.0)


def noise_ratio(snr_db: float) -> float:
    r"""Noise amplitude per signal amplitude, :math:`10^{-SNR / 20}`, as a level that ascends."""
    return float(10 ** (-snr_db / 20))


LEVELS = (0.0, *map(noise_ratio, SNR_DB))


@dataclass(frozen=True)
class Sounds:
    """Waveforms of recordings, and how the run heard them.

    Parameters
    ----------
    waves : mapping of source to (samples [n], sample rate in hertz)
        Noise that a recording holds already is part of it.
    cochlea : Cochlea
        That of the run.
    clock : ClockPolicy
        Where a recording lies in a sample.
    """

    waves: Mapping[str, tuple[Wave, int]]
    cochlea: Cochlea
    clock: ClockPolicy = field(compare=False)

    def heard(self, source: str, ratio: float, rng: np.random.Generator) -> EventStream:
        r"""A recording with white noise for as long as it lasts, on the clock of a sample.

        .. math:: y_i = x_i + r \sqrt{\overline{x^2}} \, n_i, \quad n_i \sim N(0, 1)

        Parameters
        ----------
        source : str
        ratio : float
            r, noise amplitude per amplitude of the recording; 0 gives the recording as it was.
        rng : numpy Generator
        """
        wave, rate_hz = self.waves[source]
        amplitude = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
        noisy = wave + (ratio * amplitude * rng.standard_normal(len(wave))).astype(wave.dtype)
        return place(self.cochlea.encode(noisy, rate_hz), MODALITY, self.clock, source).stream


def find_sounds(config: DataConfig, clock: ClockPolicy, sources: Collection[str]) -> Sounds | None:
    """Waveforms of the named recordings; None where the data source has none left.

    Raises
    ------
    DataError
        If a recording of a source that has waveforms is not found.
    """
    found: dict[str, tuple[Wave, int]]
    if config.source == "embedded_digits":
        spoken = {u.name: (u.wave, SAMPLE_RATE_HZ) for u in spoken_digits(config.digits)}
        found = {name: wave for name, wave in spoken.items() if name in sources}
        cochlea = Cochlea(config.digits.cochlea)
    elif config.source == "nmnist_fsdd" or (config.source, config.audio.name) == ("sets", "wav"):
        root = config.audio.root if config.source == "sets" else config.test_root
        folder = spoken_digit_folder(Path(root or config.root))
        files = {name: folder / name for name in sources}
        found = {name: read_wav(path) for name, path in files.items() if path.is_file()}
        cochlea = Cochlea(config.cochlea)
    else:
        return None
    absent = sorted(set(sources) - set(found))
    if absent:
        raise DataError(f"the sound of every test recording must be there, got none of {absent[0]}")
    return Sounds(found, cochlea, clock)
