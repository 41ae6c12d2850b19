"""Cochlea: sound to spikes over tonotopic channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikefuse._types import FloatArray
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.opcounts import PathCounts

ComplexArray = np.ndarray[Any, np.dtype[np.complex128]]


@dataclass(frozen=True)
class CochleaParams:
    """Parameters of the cochlea.

    Parameters
    ----------
    n_channels : int
    f_min_hz, f_max_hz : float
        Lowest and highest centre frequency; channels are evenly spaced in ERB rate.
    level_rms : float
        The waveform is scaled to this root mean square over the whole utterance, so that loudness
        carries no label. That gain looks ahead; nothing else here does.
    compression : float
        Exponent of the hair cell's power law.
    envelope_hz : float
        Cut-off of the hair cell's one-pole low-pass after rectification.
    spikes_per_unit_s : float
        Spikes per second that a compressed drive of 1 evokes.
    rest : float
        Drive below which a channel stays silent.
    max_rate_hz : float
        Upper limit of a channel's rate (refractoriness).
    gain : float, optional
        Factor before the filters in place of ``level_rms``, the same for every utterance, so that
        nothing looks ahead; see `fixed_gain`.
    """

    n_channels: int = 64
    f_min_hz: float = 100.0
    f_max_hz: float = 3500.0
    level_rms: float = 0.1
    compression: float = 0.4
    envelope_hz: float = 60.0
    spikes_per_unit_s: float = 2500.0
    rest: float = 0.06
    max_rate_hz: float = 500.0
    gain: float | None = None


class Cochlea:
    """Gammatone filters, half-wave rectification, compression and integrate-and-fire per channel.

    The basilar membrane is a bank of fourth-order gammatone filters [1]_ at centre frequencies
    evenly spaced on the ERB-rate scale [2]_. The hair cell rectifies, smooths and compresses.
    Channel ``c`` emits its k-th spike when ``integral of rate_c dt`` reaches ``k``, an
    integrate-and-fire neuron with reset by subtraction; at most one spike per audio sample.

    Parameters
    ----------
    params : CochleaParams

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    .. [1] Slaney, "An efficient implementation of the Patterson-Holdsworth auditory filter bank",
       Apple Computer technical report 35, 1993: bandwidth ``1.019 ERB``, order 4.
    .. [2] Glasberg and Moore, "Derivation of auditory filter shapes from notched-noise data",
       Hearing Research 47, 1990: ``ERB(f) = 24.7 (4.37 f / 1000 + 1)``.
    """

    def __init__(self, params: CochleaParams | None = None) -> None:
        p = self.params = params if params is not None else CochleaParams()
        if p.n_channels < 1:
            raise ValueError(f"n_channels must be >= 1, got {p.n_channels}")
        if not 0 < p.f_min_hz < p.f_max_hz:
            raise ValueError(
                f"f_min_hz must lie between 0 and f_max_hz, got {p.f_min_hz} and {p.f_max_hz}"
            )
        for name in ("level_rms", "compression", "envelope_hz", "spikes_per_unit_s", "max_rate_hz"):
            if not getattr(p, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(p, name)}")
        if p.gain is not None and not 0 < p.gain < np.inf:
            raise ValueError(f"gain must be positive and finite, or None, got {p.gain}")

    @property
    def center_frequencies_hz(self) -> FloatArray:
        """Centre frequency of each channel, ascending, [n_channels]."""
        p = self.params
        low, high = _erb_rate(p.f_min_hz), _erb_rate(p.f_max_hz)
        rates = np.linspace(low, high, p.n_channels)
        frequencies: FloatArray = (10 ** (rates / 21.4) - 1) / 4.37e-3
        return frequencies

    def encode(
        self, wave: np.ndarray[Any, Any], sample_rate: int, modality: str = "audio"
    ) -> EventStream:
        """Spikes of a waveform.

        Parameters
        ----------
        wave : float array [n]
            Samples; the level is normalised unless ``gain`` is given.
        sample_rate : int
            In hertz.
        modality : str

        Returns
        -------
        EventStream
            Sensor size ``(n_channels, 1, 1)``, channel in ``x`` from low to high frequency.

        Raises
        ------
        DataError
            If the waveform is empty, not 1-d or not finite.
        ValueError
            If ``f_max_hz`` is above 0.45 of the sample rate.
        """
        drive = self.drive(wave, sample_rate)
        p = self.params
        rate_hz = np.minimum(p.spikes_per_unit_s * np.maximum(drive - p.rest, 0.0), p.max_rate_hz)
        fired = np.diff(np.floor(rate_hz.cumsum(axis=1) / sample_rate), axis=1, prepend=0.0) > 0
        channel, sample = fired.nonzero()
        order = np.argsort(sample, kind="stable")
        events = np.zeros(len(channel), EVENT_DTYPE)
        events["t"] = (sample[order] * 1e6 / sample_rate).astype(np.int64)
        events["x"] = channel[order]
        events["p"] = True
        duration_us = max(round(1e6 * len(wave) / sample_rate), 1)
        return EventStream(events, (p.n_channels, 1, 1), duration_us, modality)

    def drive(self, wave: np.ndarray[Any, Any], sample_rate: int) -> FloatArray:
        """Hair-cell drive of each channel, ``[n_channels, n]``, before spikes (see `encode`)."""
        from scipy.signal import lfilter

        p = self.params
        samples = _checked(wave)
        if p.f_max_hz > 0.45 * sample_rate:
            raise ValueError(
                f"f_max_hz must be at most 0.45 x sample_rate = {0.45 * sample_rate:g} Hz, got "
                f"{p.f_max_hz:g} Hz"
            )
        rms = float(np.sqrt(np.mean(samples**2)))
        if p.gain is not None:
            samples = samples * p.gain
        elif rms > 0:
            samples = samples * (p.level_rms / rms)
        decay = float(np.exp(-2 * np.pi * p.envelope_hz / sample_rate))
        moved = self._basilar(samples, sample_rate)
        envelope = lfilter([1 - decay], [1, -decay], np.maximum(moved, 0.0), axis=1)
        drive: FloatArray = np.maximum(envelope, 0.0) ** p.compression
        return drive

    def frontend_counts(self, n_samples: int, sample_rate: float) -> PathCounts:
        """Operations of this cochlea as a digital circuit, for ``n_samples`` audio samples.

        Per channel and sample: 4 complex one-poles of 4 multiply-accumulates each (the gammatone
        filter), 2 for the low-pass, 1 for the power law read from a table with
        interpolation, and one accumulate and compare for the spike generator. State: 8 filter
        words, the low-pass and the integrator. The rate only says how long the samples last.
        """
        if n_samples < 0 or not sample_rate > 0:
            raise ValueError(
                f"n_samples must be >= 0 and sample_rate positive, got {n_samples}, {sample_rate}"
            )
        channel_samples = self.params.n_channels * n_samples
        macs, state = 19 * channel_samples, 10
        words = (2 * state) * channel_samples
        return PathCounts(
            effective_acs=channel_samples,
            effective_macs=macs,
            dense_macs=macs,
            state_reads=state * channel_samples,
            state_writes=state * channel_samples,
            bytes_moved=4 * words,
            state_words=state * self.params.n_channels,
            kind="frontend",
            modality="audio",
        )

    def _basilar(self, samples: FloatArray, sample_rate: int) -> FloatArray:
        """Gammatone responses, ``[n_channels, n]``: four complex one-poles in a row per channel.

        Computed as the product of the cascade's frequency response and the padded spectrum, ten
        times faster than running the recursion and the same to 1e-9. (The eighth-order polynomial
        of the same filter would be ill-conditioned for low channels at high sample rates.) Unit
        gain at the centre frequency.
        """
        from scipy.fft import irfft, next_fast_len, rfft

        frequencies = self.center_frequencies_hz
        bandwidths = 1.019 * 24.7 * (4.37e-3 * frequencies + 1)
        # After 4 / b seconds a response has decayed by exp(-8 pi): no wrap-around to speak of.
        tail = int(np.ceil(4 * sample_rate / bandwidths[0]))
        size = next_fast_len(len(samples) + tail, real=True)
        delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
        pole = np.exp(2 * np.pi * (1j * frequencies - bandwidths) / sample_rate)[:, None]
        # Twice the real part of a complex filter is the sum of it and its conjugate.
        spectrum = _cascade(pole, delay)
        spectrum += _cascade(pole.conj(), delay)
        spectrum *= rfft(samples, size)
        moved: FloatArray = irfft(spectrum, size)[:, : len(samples)]
        return moved


def fixed_gain(waves: Iterable[np.ndarray[Any, Any]], level_rms: float = 0.1) -> float:
    """The gain that brings the median utterance of a training set to a level.

    Parameters
    ----------
    waves : iterable of float arrays [n]
        Of the training split alone; silent ones are passed over.
    level_rms : float

    Raises
    ------
    DataError
        If no waveform has any sound.
    """
    levels = [float(np.sqrt(np.mean(_checked(wave) ** 2))) for wave in waves]
    heard = [level for level in levels if level > 0]
    if not heard:
        raise DataError("waves must hold a sound, got none")
    return level_rms / float(np.median(heard))


def _cascade(pole: ComplexArray, delay: ComplexArray) -> ComplexArray:
    """Frequency response of four one-poles of unit peak gain, ``[n_channels, frequencies]``."""
    response = (1 - np.abs(pole)) / (1 - pole * delay)
    response *= response  # twice squared: numpy's complex power is ten times slower
    response *= response
    return response


def _erb_rate(frequency_hz: float) -> float:
    """ERB rate of a frequency (Glasberg and Moore 1990, equation 4)."""
    return 21.4 * float(np.log10(4.37e-3 * frequency_hz + 1))


def _checked(wave: np.ndarray[Any, Any]) -> FloatArray:
    """The waveform as float64, if it is one."""
    samples: FloatArray = np.asarray(wave, dtype=np.float64)
    if samples.ndim != 1:
        raise DataError(f"wave must be 1-d, got shape {samples.shape}")
    if not len(samples):
        raise DataError("wave must hold at least one sample, got none")
    if not np.isfinite(samples).all():
        raise DataError("wave must be finite, got NaN or infinity")
    return samples
