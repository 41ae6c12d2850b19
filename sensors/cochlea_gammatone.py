"""A cochlea for streams: gammatone filters, hair cells and leaky spike generators, causal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sensors.cochlea_counts import gammatone_counts
from sensors.cochlea_model import checked_wave, rms_gain, spike_events
from spikefuse._types import Float32Array, FloatArray, Int64Array, StructuredArray
from spikefuse.events import EventStream
from spikefuse.opcounts import PathCounts


@dataclass(frozen=True)
class GammatoneParams:
    """Parameters of the gammatone cochlea.

    Parameters
    ----------
    n_channels : int
    f_min_hz, f_max_hz : float
        Lowest and highest centre frequency; channels are evenly spaced in ERB rate.
    level_rms : float
        Root mean square to which `GammatoneCochlea.encode` brings a whole waveform.
    compression : float
        Exponent of the hair cell's power law.
    envelope_hz : float
        Cut-off of the hair cell's one-pole low-pass after rectification.
    frame_hz : float
        The envelope is sampled at least this often before the power law; it holds no more than
        ``envelope_hz`` lets through.
    spikes_per_unit_s : float
        Thresholds per second that a compressed drive of 1 adds to a spike generator.
    rest : float
        Drive below which a channel stays silent.
    leak_s : float
        Time constant of a spike generator.
    dead_s : float
        Dead time after a spike.
    """

    n_channels: int = 700
    f_min_hz: float = 60.0
    f_max_hz: float = 8000.0
    level_rms: float = 0.1
    compression: float = 0.4
    envelope_hz: float = 60.0
    frame_hz: float = 3000.0
    spikes_per_unit_s: float = 2500.0
    rest: float = 0.06
    leak_s: float = 0.02
    dead_s: float = 0.002


@dataclass(frozen=True, eq=False)
class GammatoneState:
    """What a gammatone cochlea remembers between two chunks.

    Parameters
    ----------
    sample_rate : int
    gain : float
    filters : float32 array [n_blocks, 9, lanes]
        Four complex stages and the envelope of each channel.
    voltage, ready_s : float array [n_channels]
        Of the spike generators: voltage, and when the dead time ends.
    n_samples : int
        Samples heard.
    """

    sample_rate: int
    gain: float
    filters: Float32Array
    voltage: FloatArray
    ready_s: FloatArray
    n_samples: int = 0


class GammatoneCochlea:
    r"""Gammatone filters, rectifying and compressing hair cells, leaky integrate-and-fire.

    Four complex one-poles in a row at :math:`\exp(2 \pi (i f_c - b_c) / f_s)` with
    :math:`b = 1.019\,\mathrm{ERB}(f)` make a channel's filter, of unit gain at its centre
    [1]_ [2]_.
    Its half-wave rectified, low-passed output :math:`e` is sampled a few thousand times a second
    and compressed; the drive :math:`d = \max(e^\gamma - r, 0)` charges a leaky integrator,
    :math:`\dot v = -v / \tau + k d`, that fires at 1, resets to 0 and rests for the dead time.
    Spike times are solved for, so they are not bound to the samples.

    Beside `sensors.cochlea.Cochlea`, which has no leak and filters whole utterances in the
    frequency domain, this one is causal, streams, and is made for many channels.

    Parameters
    ----------
    params : GammatoneParams

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    .. [1] Slaney, "An efficient implementation of the Patterson-Holdsworth auditory filter bank",
       Apple Computer technical report 35, 1993.
    .. [2] Glasberg and Moore, "Derivation of auditory filter shapes from notched-noise data",
       Hearing Research 47, 1990.
    """

    def __init__(self, params: GammatoneParams | None = None) -> None:
        p = self.params = params if params is not None else GammatoneParams()
        if p.n_channels < 1:
            raise ValueError(f"n_channels must be >= 1, got {p.n_channels}")
        if not 0 < p.f_min_hz < p.f_max_hz:
            raise ValueError(
                f"f_min_hz must lie between 0 and f_max_hz, got {p.f_min_hz} and {p.f_max_hz}"
            )
        for name in (
            "level_rms",
            "compression",
            "envelope_hz",
            "frame_hz",
            "spikes_per_unit_s",
            "leak_s",
        ):
            if not getattr(p, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(p, name)}")
        for name in ("rest", "dead_s"):
            if not getattr(p, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(p, name)}")

    @property
    def n_channels(self) -> int:
        """Channels, from low to high frequency."""
        return self.params.n_channels

    @property
    def center_frequencies_hz(self) -> FloatArray:
        """Centre frequency of each channel, ascending, [n_channels]."""
        p = self.params
        low, high = (21.4 * np.log10(4.37e-3 * f + 1) for f in (p.f_min_hz, p.f_max_hz))
        rates = np.linspace(low, high, p.n_channels)
        frequencies: FloatArray = (10 ** (rates / 21.4) - 1) / 4.37e-3
        return frequencies

    def gain(self, wave: np.ndarray[Any, Any]) -> float:
        """Factor that brings the waveform to ``level_rms``."""
        return rms_gain(wave, self.params.level_rms)

    def encode(
        self,
        wave: np.ndarray[Any, Any],
        sample_rate: int,
        modality: str = "audio",
        gain: float | None = None,
    ) -> EventStream:
        """Spikes of a waveform.

        Parameters
        ----------
        wave : float array [n]
        sample_rate : int
            In hertz.
        modality : str
        gain : float, optional
            Factor before the filters; by default it brings the whole waveform to ``level_rms``.

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
        samples = checked_wave(wave)
        state = self.start(sample_rate, self.gain(samples) if gain is None else gain)
        events, _ = self.advance(samples, state)
        duration_us = max(round(1e6 * len(samples) / sample_rate), 1)
        events = events[events["t"] < duration_us]
        return EventStream(events, (self.n_channels, 1, 1), duration_us, modality)

    def start(self, sample_rate: int, gain: float = 1.0) -> GammatoneState:
        """A cochlea at rest; see `advance`."""
        from sensors._numba.cochlea import LANES

        if not self.params.f_max_hz <= 0.45 * sample_rate:
            raise ValueError(
                f"f_max_hz must be at most 0.45 x sample_rate = {0.45 * sample_rate:g} Hz, got "
                f"{self.params.f_max_hz:g} Hz"
            )
        n_blocks = -(-self.n_channels // LANES)
        return GammatoneState(
            sample_rate,
            gain,
            np.zeros((n_blocks, 9, LANES), np.float32),
            np.zeros(self.n_channels),
            np.zeros(self.n_channels),
        )

    def advance(
        self, wave: np.ndarray[Any, Any], state: GammatoneState
    ) -> tuple[StructuredArray, GammatoneState]:
        """Spikes of the next samples of a stream; however it is cut, they are the same.

        Parameters
        ----------
        wave : float array [n]
            May be empty.
        state : GammatoneState
            From `start` or the call before; it is not changed.

        Returns
        -------
        events : structured array of `EVENT_DTYPE`
            On the stream's clock; those of the last samples come with the next frame.
        state : GammatoneState

        Raises
        ------
        DataError
            If the waveform is not 1-d or not finite.
        """
        envelope, filters = self._envelope(checked_wave(wave, may_be_empty=True), state)
        p = self.params
        drive = np.maximum(np.power(envelope, np.float32(p.compression)) - np.float32(p.rest), 0)
        voltage, ready_s = state.voltage.copy(), state.ready_s.copy()
        times_s, channels = self._spikes(
            drive * np.float32(p.spikes_per_unit_s), state, voltage, ready_s
        )
        after = replace(
            state,
            filters=filters,
            voltage=voltage,
            ready_s=ready_s,
            n_samples=state.n_samples + len(wave),
        )
        return spike_events((times_s * 1e6).astype(np.int64), channels), after

    def finish(self, state: GammatoneState) -> StructuredArray:
        """No spike is left over: what is less than a frame is not heard."""
        return spike_events(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def envelope(self, wave: np.ndarray[Any, Any], sample_rate: int) -> Float32Array:
        """Hair cells' low-passed output, ``[n_frames, n_channels]``, before the power law."""
        return self._envelope(checked_wave(wave), self.start(sample_rate))[0]

    def frontend_counts(self, n_samples: int, sample_rate: float, n_spikes: int = 0) -> PathCounts:
        """Operations of this cochlea as a digital circuit (`sensors.cochlea_counts`).

        Parameters
        ----------
        n_samples : int
            Audio samples.
        sample_rate : float
            In hertz; says how many samples make a frame.
        n_spikes : int
            Spikes that came of them, nine operations each; 0 leaves them out.

        Raises
        ------
        ValueError
            If a number is negative or the rate not positive.
        """
        if min(n_samples, n_spikes) < 0 or not sample_rate > 0:
            raise ValueError(
                "n_samples and n_spikes must be >= 0 and sample_rate positive, got "
                f"{n_samples}, {n_spikes} and {sample_rate}"
            )
        every = self._samples_per_frame(round(sample_rate))
        return gammatone_counts(self.n_channels, n_samples, every, n_spikes)

    def _samples_per_frame(self, sample_rate: int) -> int:
        return max(int(sample_rate / self.params.frame_hz), 1)

    def _envelope(
        self, samples: Float32Array, state: GammatoneState
    ) -> tuple[Float32Array, Float32Array]:
        """Envelope of the frames that end in these samples, and the filters after them."""
        from sensors._numba.cochlea import LANES, gammatone

        p, rate = self.params, state.sample_rate
        n_padded = len(state.filters) * LANES
        frequencies = self.center_frequencies_hz
        # Idle channels fill the last block up.
        frequencies = np.pad(frequencies, (0, n_padded - len(frequencies)), mode="edge")
        bandwidths = 1.019 * 24.7 * (4.37e-3 * frequencies + 1)
        pole = np.exp(2 * np.pi * (1j * frequencies - bandwidths) / rate)
        # Twice: the real part of a complex filter has half the gain.
        gain = 2 * (1 - np.abs(pole)) ** 4
        every = self._samples_per_frame(rate)
        done = state.n_samples % every
        frames = np.empty(((done + len(samples)) // every, n_padded), np.float32)
        filters = state.filters.copy()
        gammatone(
            samples * np.float32(state.gain),
            np.stack([pole.real, pole.imag]).astype(np.float32),
            gain.astype(np.float32),
            np.float32(-np.expm1(-2 * np.pi * p.envelope_hz / rate)),
            every,
            every - done,
            filters,
            frames,
        )
        return frames[:, : self.n_channels], filters

    def _spikes(
        self, rate: Float32Array, state: GammatoneState, voltage: FloatArray, ready_s: FloatArray
    ) -> tuple[FloatArray, Int64Array]:
        """Times and channels of the spikes; updates ``voltage`` and ``ready_s``."""
        from sensors._numba.cochlea import leaky_spikes

        p = self.params
        every = self._samples_per_frame(state.sample_rate)
        at = np.zeros(2, np.int64)
        found: list[tuple[FloatArray, Int64Array]] = [(np.zeros(0), np.zeros(0, np.int64))]
        size = 4 * self.n_channels + int(rate.max(initial=0.0) * every / state.sample_rate) + 64
        while at[0] < len(rate):
            times_s, channels = np.empty(size), np.empty(size, np.int64)
            n = leaky_spikes(
                rate,
                p.leak_s,
                p.dead_s,
                every / state.sample_rate,
                state.n_samples // every,
                voltage,
                ready_s,
                times_s,
                channels,
                at,
            )
            found.append((times_s[:n], channels[:n]))
            size *= 2
        times, which = zip(*found, strict=True)
        return np.concatenate(times), np.concatenate(which)
