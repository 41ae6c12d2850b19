"""Log-mel spectrograms of sound, and what they cost as a digital front end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spikefuse._types import Float32Array, FloatArray
from spikefuse.opcounts import COUNT_FIELDS, PathCounts
from spikefuse.work import mel_work, stft_work

_FLOOR = 1e-6  # of a band's power, full scale being 1: keeps the logarithm of silence finite


@dataclass(frozen=True)
class LogMel:
    r"""Logarithm of the power in bands that are even on the mel scale.

    .. math:: L_{bf} = \log\Big(\epsilon + \frac{1}{\sum_n w_n^2} \sum_k M_{bk} |X_{kf}|^2\Big),
              \quad X_{kf} = \sum_n w_n x_{n + f h} e^{-2 \pi i k n / N}

    with a Hann window w of N samples, hop h, and triangles M of height 1 between neighbouring
    centres; :math:`\text{mel}(f) = 2595 \log_{10} (1 + f / 700)`. Frame f is centred at sample
    f h; before and after the wave there is silence.

    Parameters
    ----------
    n_fft, hop : int
        Samples of a frame, a power of two, and from one to the next: 32 and 16 ms at 8 kHz.
    n_bands : int
    low_hz : float
        Lower end of the lowest band; the highest ends at half the sample rate.

    References
    ----------
    Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word
    recognition", IEEE TASSP 28(4), 1980; the scale is O'Shaughnessy's (1987).
    """

    n_fft: int = 256
    hop: int = 128
    n_bands: int = 24
    low_hz: float = 60.0

    def __post_init__(self) -> None:
        if self.n_fft < 4 or self.n_fft & (self.n_fft - 1):
            raise ValueError(f"n_fft must be a power of two >= 4, got {self.n_fft}")
        if self.hop < 1 or self.n_bands < 1:
            raise ValueError(
                f"hop and n_bands must be at least 1, got {self.hop} and {self.n_bands}"
            )
        if not self.low_hz >= 0:
            raise ValueError(f"low_hz must be >= 0, got {self.low_hz}")

    def n_frames(self, n_samples: int) -> int:
        """Frames of a wave of ``n_samples``."""
        return 1 + n_samples // self.hop

    def filters(self, rate_hz: float) -> FloatArray:
        """Triangles ``[n_bands, n_fft / 2 + 1]`` over the bins of the transform.

        Raises
        ------
        ValueError
            If half the rate is not above ``low_hz``, or a band holds no bin.
        """
        if not rate_hz / 2 > self.low_hz:
            raise ValueError(f"rate_hz must be above {2 * self.low_hz:g}, got {rate_hz:g}")
        ends = np.array([_mel(self.low_hz), _mel(rate_hz / 2)])
        corners = _hertz(np.linspace(ends[0], ends[1], self.n_bands + 2))
        bins = np.arange(self.n_fft // 2 + 1) * (rate_hz / self.n_fft)
        low, top, high = (corners[i : i + self.n_bands, None] for i in range(3))
        rising, falling = (bins - low) / (top - low), (high - bins) / (high - top)
        bands: FloatArray = np.clip(np.minimum(rising, falling), 0.0, None)
        if not (bands > 0).any(1).all():
            raise ValueError(
                f"n_bands must leave every band a bin of {rate_hz / self.n_fft:g} Hz, "
                f"got {self.n_bands}"
            )
        return bands

    def encode(
        self, wave: np.ndarray[Any, Any], rate_hz: float, n_samples: int | None = None
    ) -> Float32Array:
        """Log-mel spectrogram ``[n_bands, n_frames]``.

        Parameters
        ----------
        wave : float array [n]
            Full scale is 1.
        rate_hz : float
        n_samples : int, optional
            The wave is cut, or followed by silence, to so many.

        Raises
        ------
        ValueError
            If the wave is not one row of samples.
        """
        if np.ndim(wave) != 1 or not len(wave):
            raise ValueError(f"wave must be [n >= 1], got shape {np.shape(wave)}")
        n = len(wave) if n_samples is None else n_samples
        half = self.n_fft // 2
        padded = np.zeros(n + self.n_fft)
        padded[half : half + min(n, len(wave))] = wave[:n]
        starts = np.arange(self.n_frames(n)) * self.hop
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.n_fft) / self.n_fft)
        frames = padded[starts[:, None] + np.arange(self.n_fft)] * window
        power = np.abs(np.fft.rfft(frames)) ** 2 / (window**2).sum()
        bands: Float32Array = np.log(_FLOOR + self.filters(rate_hz) @ power.T).astype(np.float32)
        return bands

    def counts(self, n_samples: int, rate_hz: float, n: int = 1) -> PathCounts:
        """Operations of ``n`` waves of ``n_samples`` each, as a front end of modality audio."""
        taps = int((self.filters(rate_hz) > 0).sum())
        work = stft_work(n_samples, self.n_fft, self.hop)
        work += mel_work(self.n_frames(n_samples), taps, self.n_bands)
        # Window, twiddle factors (a cosine and a sine for half the points) and filters.
        one = work.path("frontend", "audio", weight_words=self.n_fft + self.n_fft + taps)
        return replace(one, **{name: n * getattr(one, name) for name in COUNT_FIELDS})


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def _hertz(mel: FloatArray) -> FloatArray:
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
