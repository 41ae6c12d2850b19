"""What every cochlea offers, one ear or two."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np

from spikefuse._types import Float32Array, Int64Array, StructuredArray
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream

State = TypeVar("State")


class CochleaModel(Protocol[State]):
    """A cochlea: whole waveforms by `encode`, streams by `start`, `advance` and `finish`.

    A stream's gain is fixed, as a level over the whole is not known yet: what `advance` and
    `finish` return in a row equals ``encode(wave, sample_rate, gain=gain)`` for every way of
    cutting the waveform into chunks.
    """

    @property
    def n_channels(self) -> int:
        """Channels, from low to high frequency unless the model says otherwise."""
        ...

    def gain(self, wave: np.ndarray[Any, Any]) -> float:
        """Factor that brings a waveform, or both ears' waveforms together, to the level."""
        ...

    def encode(
        self,
        wave: np.ndarray[Any, Any],
        sample_rate: int,
        modality: str = "audio",
        gain: float | None = None,
    ) -> EventStream:
        """Spikes of a whole waveform, ``[n]``; without a gain its level is normalised."""
        ...

    def start(self, sample_rate: int, gain: float = 1.0) -> State:
        """A cochlea at rest."""
        ...

    def advance(self, wave: np.ndarray[Any, Any], state: State) -> tuple[StructuredArray, State]:
        """Spikes that the next samples of a stream decide, and the state after them."""
        ...

    def finish(self, state: State) -> StructuredArray:
        """The rest of the spikes, once the stream has ended."""
        ...


def encode_binaural(
    model: CochleaModel[Any],
    waves: np.ndarray[Any, Any],
    sample_rate: int,
    modality: str = "audio",
) -> EventStream:
    """Spikes of two ears; one gain for both, so that the difference of their levels stays.

    Parameters
    ----------
    model : CochleaModel
    waves : float array [n, 2]
        Left and right ear, as audio files hold them.
    sample_rate : int
        In hertz.
    modality : str

    Returns
    -------
    EventStream
        Sensor size ``(n_channels, 2, 1)``: the ear is in ``y``, 0 for left.

    Raises
    ------
    DataError
        If the waveforms are empty, not finite or not two.
    """
    waves = np.asarray(waves)
    if waves.ndim != 2 or waves.shape[1] != 2:
        raise DataError(f"waves must be [n, 2], got shape {waves.shape}")
    gain = model.gain(checked_wave(waves.ravel()))
    ears = [model.encode(waves[:, ear], sample_rate, modality, gain) for ear in range(2)]
    events = np.concatenate([ear.events for ear in ears])
    events["y"][len(ears[0]) :] = 1
    events = events[np.argsort(events["t"], kind="stable")]
    return EventStream(events, (model.n_channels, 2, 1), ears[0].duration_us, modality)


def checked_wave(wave: np.ndarray[Any, Any], may_be_empty: bool = False) -> Float32Array:
    """The waveform as float32, if it is one."""
    samples: Float32Array = np.ascontiguousarray(wave, dtype=np.float32)
    if samples.ndim != 1:
        raise DataError(f"wave must be 1-d, got shape {samples.shape}")
    if not len(samples) and not may_be_empty:
        raise DataError("wave must hold at least one sample, got none")
    if not np.isfinite(samples).all():
        raise DataError("wave must be finite, got NaN or infinity")
    return samples


def rms_gain(wave: np.ndarray[Any, Any], level_rms: float) -> float:
    """Factor that gives the waveform this root mean square; 1 for silence."""
    rms = float(np.sqrt(np.mean(np.asarray(wave, dtype=np.float64) ** 2)))
    return level_rms / rms if rms > 0 else 1.0


def spike_events(times_us: Int64Array, channels: Int64Array) -> StructuredArray:
    """Events by time, then by channel."""
    order = np.lexsort((channels, times_us))
    events = np.zeros(len(order), EVENT_DTYPE)
    events["t"], events["x"], events["p"] = times_us[order], channels[order], True
    return events
