"""The clock policy: how recordings that were made apart are put on one clock, and what it costs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spikefuse._types import BoolArray, Int64Array, StructuredArray
from spikefuse.events import EventStream


@dataclass(frozen=True)
class ModalityClock:
    """One sensor's clock against the sample's.

    An event at ``t`` of the recording is heard at
    ``t' = lead + offset + u + t * (1 + drift_ppm * 1e-6) + e``, with ``u`` uniform in
    ``[-onset_jitter_ms, onset_jitter_ms]`` once a recording and ``e`` normal with standard
    deviation ``event_jitter_ms`` for each event, rounded to microseconds. ``lead`` is common to all
    modalities and just large enough that no onset lies before zero.

    Parameters
    ----------
    offset_ms : float
        Onset after the others'; negative delays the others instead.
    drift_ppm : float
        How much faster the sensor's clock runs (its times grow), in parts per million, above -1e6.
    onset_jitter_ms : float
        Largest random change of the onset.
    event_jitter_ms : float
        Standard deviation of each event's time. An event that would lie before zero is put there.
    loop_ms : float or None
        Repeat the recording with this period until the sample ends (looped saccades). A recording
        that is longer is cut to it, and the cut events are counted.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    offset_ms: float = 0.0
    drift_ppm: float = 0.0
    onset_jitter_ms: float = 0.0
    event_jitter_ms: float = 0.0
    loop_ms: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.offset_ms):
            raise ValueError(f"offset_ms must be finite, got {self.offset_ms}")
        if not -1e6 < self.drift_ppm < math.inf:
            raise ValueError(f"drift_ppm must be finite and above -1e6, got {self.drift_ppm}")
        for name in ("onset_jitter_ms", "event_jitter_ms"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be finite and >= 0, got {value}")
        if self.loop_ms is not None and not 0.001 <= self.loop_ms < math.inf:
            raise ValueError(f"loop_ms must be finite and >= 0.001, got {self.loop_ms}")


@dataclass(frozen=True)
class ClockPolicy:
    """How recordings that were made apart are put on one clock.

    Parameters
    ----------
    duration_ms : float
        Length of every sample; shorter recordings are followed by silence, longer ones are cut and
        the cut events are counted in the manifest.
    audio_offset_ms : float
        Onset of audio after the onset of vision; negative delays vision instead. 0 aligns onsets.
        Added to ``sensors["audio"].offset_ms``.
    sensors : mapping of modality to ModalityClock
        A modality that is not named runs exactly and is not repeated.
    seed : int
        Of the jitters; a recording's draw depends on it, on the modality and on the recording.
    """

    duration_ms: float = 500.0
    audio_offset_ms: float = 0.0
    sensors: Mapping[str, ModalityClock] = field(default_factory=dict, hash=False)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.duration_ms < math.inf:
            raise ValueError(f"duration_ms must be finite and >= 0, got {self.duration_ms}")
        if not math.isfinite(self.audio_offset_ms):
            raise ValueError(f"audio_offset_ms must be finite, got {self.audio_offset_ms}")

    def sensor(self, modality: str) -> ModalityClock:
        """The clock of one modality."""
        return self.sensors.get(modality, _EXACT)

    def offset_us(self, modality: str) -> int:
        """Onset of one modality against the common zero, before the lead."""
        extra = self.audio_offset_ms if modality == "audio" else 0.0
        return round((self.sensor(modality).offset_ms + extra) * 1e3)

    @property
    def lead_us(self) -> int:
        """Delay of every modality that keeps each onset at or after zero."""
        earliest = [
            self.offset_us(name) - math.ceil(self.sensor(name).onset_jitter_ms * 1e3)
            for name in {*self.sensors, "audio"}
        ]
        return max(0, -min(earliest))

    @property
    def onsets(self) -> str:
        """The onset policy in words."""
        fixed = {name: self.offset_us(name) / 1e3 for name in {*self.sensors, "audio"}}
        moved = [f"{name} by {ms:g} ms" for name, ms in sorted(fixed.items()) if ms]
        named = sorted(self.sensors.items())
        parts = ["fixed offset: " + ", ".join(moved) if moved else "aligned"]
        for words, key in (
            ("onset jitter up to {:g} ms", "onset_jitter_ms"),
            ("event jitter of {:g} ms", "event_jitter_ms"),
            ("drift of {:g} ppm", "drift_ppm"),
            ("repeated every {:g} ms", "loop_ms"),
        ):
            parts += [f"{n}: {words.format(getattr(c, key))}" for n, c in named if getattr(c, key)]
        return "; ".join(parts)


@dataclass(frozen=True)
class Placed:
    """A recording on the sample's clock.

    Parameters
    ----------
    stream : EventStream
    start_us, end_us : int
        Where the sensor was recording; the rest of the sample is padding.
    cut_events : int
        Events of the recording that are nowhere in the sample.
    repeats : int
        How often the recording begins in the sample.
    """

    stream: EventStream
    start_us: int
    end_us: int
    cut_events: int
    repeats: int

    def mask(self, n_steps: int, dt_ms: float) -> BoolArray:
        """Which time steps hold recorded time, ``[T]``; a step of which any part does counts.

        Parameters
        ----------
        n_steps : int
        dt_ms : float

        Raises
        ------
        ValueError
            If a value is not positive.
        """
        if n_steps < 1 or not dt_ms > 0:
            raise ValueError(f"n_steps and dt_ms must be positive, got {n_steps} and {dt_ms}")
        edges = np.arange(n_steps + 1) * (dt_ms * 1e3)
        mask: BoolArray = (edges[:-1] < self.end_us) & (edges[1:] > self.start_us)
        return mask


def place(
    stream: EventStream, modality: str, clock: ClockPolicy, key: str = "", start_us: int = 0
) -> Placed:
    """One recording repeated, drifted, jittered and shifted, then cut or padded to the sample.

    Parameters
    ----------
    stream : EventStream
    modality : str
        The name under which the policy knows it.
    clock : ClockPolicy
    key : str
        Name of the recording, on which its random draws depend.
    start_us : int
        When the recording began, on the clock of recordings made together; >= 0.

    Raises
    ------
    ValueError
        If ``start_us`` is negative.
    """
    if start_us < 0:
        raise ValueError(f"start_us must be >= 0, got {start_us}")
    sensor = clock.sensor(modality)
    duration_us = round(clock.duration_ms * 1e3)
    rate = 1.0 + sensor.drift_ppm * 1e-6
    onset = clock.lead_us + clock.offset_us(modality) + start_us
    rng = None
    if sensor.onset_jitter_ms or sensor.event_jitter_ms:
        rng = np.random.default_rng(_seed(clock.seed, modality, key))
        onset += round(rng.uniform(-1e3, 1e3) * sensor.onset_jitter_ms)
    room_us = max(0, duration_us - onset)
    events, length_us, repeats = stream.events, stream.duration_us, 1
    if sensor.loop_ms is not None:
        period_us = round(sensor.loop_ms * 1e3)
        repeats = max(1, math.ceil(room_us / (period_us * rate)))
        events, length_us = _looped(stream, period_us, repeats), period_us * repeats
    once = len(events) // repeats
    times = recorded = events["t"]
    if sensor.drift_ppm:
        times = np.rint(times * rate).astype(np.int64)
        length_us = round(length_us * rate)
    if onset:
        times = times + onset
    if rng is not None and sensor.event_jitter_ms:
        moved = rng.normal(0.0, sensor.event_jitter_ms * 1e3, len(times))
        times = np.maximum(times + np.rint(moved).astype(np.int64), 0)
    n_seen = int(np.count_nonzero(times[:once] < duration_us))
    if times is not recorded:
        events = _retimed(events, times)
    # A view of the kept part will do: events are never written to.
    kept = events[: int(np.searchsorted(events["t"], duration_us, side="left"))]
    return Placed(
        EventStream.trusted(kept, stream.sensor_size, duration_us, modality),
        min(onset, duration_us),
        min(onset + length_us, duration_us),
        len(stream) - n_seen,
        repeats,
    )


def on_clock(stream: EventStream, modality: str, clock: ClockPolicy, key: str = "") -> EventStream:
    """One recording shifted by its onset and cut or padded to the sample's duration.

    Parameters
    ----------
    stream : EventStream
    modality : str
    clock : ClockPolicy
    key : str
        What the recording's own onset is drawn from.
    """
    return place(stream, modality, clock, key).stream


def _looped(stream: EventStream, period_us: int, repeats: int) -> StructuredArray:
    """The events of the first period, repeated."""
    one = stream.cropped(period_us).events
    events = np.concatenate([one] * repeats)
    events["t"] += np.repeat(np.arange(repeats) * period_us, len(one))
    return events


def _retimed(events: StructuredArray, times: Int64Array) -> StructuredArray:
    """A copy of the events at their new times, in order."""
    if np.any(times[1:] < times[:-1]):  # only jitter brings events out of order
        order = np.argsort(times, kind="stable")
        events, times = events[order], times[order]
    moved = events.copy()
    moved["t"] = times
    return moved


def _seed(seed: int, modality: str, key: str) -> list[int]:
    """Seed of one recording's draws."""
    digest = hashlib.sha256(f"{modality}\0{key}".encode()).digest()
    return [seed, int.from_bytes(digest[:8], "little")]


_EXACT = ModalityClock()
