"""Bare trains seen and heard: patches before the retina, tone pips before the cochlea."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
from sensors.dvs import DvsParams, DvsPixelArray
from sensors.scenes.base import Scene, SceneSample
from spikefuse._types import BoolArray, FloatArray, Int64Array
from spikefuse.events import EventStream, MultiStream

SIDE_PX = 16
SAMPLE_RATE = 16_000
RETINA = DvsParams(shot_noise_hz=0.5)
COCHLEA = GammatoneParams(
    n_channels=32,
    f_min_hz=300.0,
    f_max_hz=7000.0,
    envelope_hz=300.0,
    spikes_per_unit_s=8000.0,
    rest=0.15,
)
_DARK, _LIGHT = 60.0, 140.0
_RAMP_US = 1000  # a patch changes within this time
_BALL_FRAME_US = 4000
_BALL_PX = 1.8
_PIP_MS, _PIP_LEVEL, _HISS_LEVEL = 8.0, 1.0, 0.02
_PIP_HZ = (700.0, 5000.0)
_NEAR_CHANNELS = 1
_NO_ANSWER_US = 20_000


@dataclass(frozen=True, eq=False)
class Rendered:
    """One sample through the sensors, with what each stimulus evoked.

    Parameters
    ----------
    stream : MultiStream
        Sensor events: vision of ``(16, 16, 2)``, audio of ``(32, 1, 1)``.
    stimulus_us : mapping of modality to int64 array [n]
        When each bare spike was shown or played, in the order of the bare stream;
        `SceneTruth.cause` says which source event it stems from, or that it is noise.
    first_us : mapping of modality to int64 array [n]
        The first sensor event after it at the addresses where it was shown or played, within
        20 ms; -1 where there is none. Noise and the answer to an earlier stimulus of the same
        place count too: it is what can be seen from outside.
    film : float array [F, 16, 16]
    film_us : int64 array [F]
    """

    stream: MultiStream
    stimulus_us: Mapping[str, Int64Array]
    first_us: Mapping[str, Int64Array]
    film: FloatArray
    film_us: Int64Array

    def latency_us(self, modality: str) -> Int64Array:
        """Of every answered stimulus, from the stimulus to the first sensor event."""
        first = self.first_us[modality]
        late: Int64Array = (first - self.stimulus_us[modality])[first >= 0]
        return late

    def first_of_source_us(self, sample: SceneSample, modality: str) -> Int64Array:
        """The first sensor event that each source event evoked, -1 for none, int64 [n_sources]."""
        n_sources = len(sample.truth.sources[modality].time_us)
        never = np.iinfo(np.int64).max
        first = np.full(n_sources, never)
        cause, seen = sample.truth.cause[modality], self.first_us[modality]
        real = (cause >= 0) & (seen >= 0)
        np.minimum.at(first, cause[real], seen[real])
        first[first == never] = -1
        return first


def render_patches(
    scene: Scene[Any],
    sample: SceneSample,
    jump: bool = False,
    ball: bool = False,
    retina: DvsParams = RETINA,
    cochlea: GammatoneParams = COCHLEA,
) -> Rendered:
    """A sample's bare spikes as patches that change and pips that sound, through the sensors.

    Every vision channel is a patch that goes on or off (or jumps to and fro) within a millisecond
    at each of its bare spikes; every audio channel is a tone of its own that sounds for 8 ms.
    Drops, jitter and insertions are the bare sample's, so what a modality shows depends on its own
    bare spikes alone, whatever the class. The sensors' noise has a generator of its own.

    Parameters
    ----------
    scene : Scene
    sample : SceneSample
        Of that scene, with modalities ``vision`` and ``audio``.
    jump : bool
        Patches jump instead of going on and off.
    ball : bool
        A ball besides, that bounces at the first source event of vision with the sample's length
        as its period. It tells that onset better than the bare spikes do.
    retina, cochlea : DvsParams, GammatoneParams
    """
    streams = sample.stream.streams
    duration_us = 1000 * scene.duration_ms
    rest, moved = patch_masks(scene.modalities["vision"], jump)
    bounce_us = int(sample.truth.sources["vision"].time_us[0]) if ball else None
    film, film_us = patch_film(streams["vision"], rest, moved, duration_us, bounce_us)
    noise = scene.generator(sample.seed, sample.index, "retina")
    vision = DvsPixelArray(retina).encode_batch(film[None], film_us, "vision", noise)[0]

    tones_hz = np.geomspace(*_PIP_HZ, scene.modalities["audio"])
    hiss = scene.generator(sample.seed, sample.index, "hiss")
    wave = pip_wave(streams["audio"], tones_hz, duration_us, hiss)
    ear = GammatoneCochlea(cochlea)
    audio = ear.encode(wave, SAMPLE_RATE, "audio", gain=1.0)

    shown = np.tile((rest | moved).reshape(len(rest), -1), (1, 2))  # OFF, then ON addresses
    centre = np.abs(ear.center_frequencies_hz - tones_hz[:, None]).argmin(axis=1)
    heard = np.abs(np.arange(ear.n_channels) - centre[:, None]) <= _NEAR_CHANNELS
    first = {
        "vision": _first_answers(streams["vision"], vision, shown),
        "audio": _first_answers(streams["audio"], audio, heard),
    }
    stimulus = {name: bare.events["t"].astype(np.int64) for name, bare in streams.items()}
    stream = MultiStream({"vision": vision, "audio": audio}, sample.label, sample.stream.provenance)
    return Rendered(stream, stimulus, first, film, film_us)


def patch_masks(n_patches: int, jump: bool) -> tuple[BoolArray, BoolArray]:
    """Pixels of each patch before and after a change, bool ``[n, 16, 16]`` each.

    A patch that only goes on and off has no pixels before.
    """
    per_row = int(np.ceil(np.sqrt(n_patches)))
    cell = SIDE_PX // per_row
    if cell < 3:
        raise ValueError(f"n_patches must be at most {(SIDE_PX // 3) ** 2}, got {n_patches}")
    side = max(cell // 2, 2)
    step = min(side, cell - side) if jump else 0
    before = np.zeros((n_patches, SIDE_PX, SIDE_PX), np.bool_)
    after = before.copy()
    for n in range(n_patches):
        top, left = (cell * place + (cell - side - step) // 2 for place in divmod(n, per_row))
        if jump:
            before[n, top : top + side, left : left + side] = True
        after[n, top : top + side, left + step : left + step + side] = True
    return before, after


def patch_film(
    bare: EventStream,
    before: BoolArray,
    after: BoolArray,
    duration_us: int,
    bounce_us: int | None = None,
) -> tuple[FloatArray, Int64Array]:
    """Film in which each patch changes at its events: frames ``[F, 16, 16]`` and times ``[F]``.

    Frames stand where something begins or ends to change, so no time is rounded. A change that
    would begin during the one before it is put at its end.

    Parameters
    ----------
    bare : EventStream
        A channel per patch.
    before, after : bool array [n_channels, 16, 16]
        Pixels of each patch that are bright before and after its change.
    duration_us : int
    bounce_us : int, optional
        Time of a bounce to draw besides.
    """
    times, channels = bare.events["t"].astype(np.int64), bare.events["x"]
    corners: list[tuple[Int64Array, FloatArray]] = []
    for n in range(len(after)):
        start = times[channels == n]
        # The earliest start that keeps a ramp's distance from all changes before.
        ramps = _RAMP_US * np.arange(len(start))
        start = np.maximum.accumulate(start - ramps) + ramps
        level = np.arange(len(start)) % 2.0
        at = np.stack([start, start + _RAMP_US], axis=1).ravel()
        corners.append((at, np.stack([level, 1 - level], axis=1).ravel()))
    grid = np.arange(0, duration_us, _BALL_FRAME_US if bounce_us is not None else duration_us)
    marks = np.concatenate([grid, [duration_us - 1], *(at for at, _ in corners)])
    film_us = np.unique(np.clip(marks, 0, duration_us - 1)).astype(np.int64)
    film = np.full((len(film_us), SIDE_PX, SIDE_PX), _DARK)
    if bounce_us is not None:
        film += _LIGHT * _ball(film_us, bounce_us, duration_us)
    for n, (at, level) in enumerate(corners):
        share = np.interp(film_us, at, level) if len(at) else np.zeros(len(film_us))
        film[:, before[n]] += _LIGHT * (1 - share)[:, None]
        film[:, after[n]] += _LIGHT * share[:, None]
    return np.minimum(film, _DARK + _LIGHT), film_us


def _ball(film_us: Int64Array, bounce_us: int, period_us: int) -> FloatArray:
    """Share of each pixel that the ball covers, ``[F, 16, 16]``; it touches the lowest row."""
    phase = ((film_us - bounce_us) % period_us) / period_us
    radius = _BALL_PX
    row = (SIDE_PX - 1 - radius) - (SIDE_PX - 1 - 2 * radius) * 4 * phase * (1 - phase)
    rows, columns = np.indices((SIDE_PX, SIDE_PX))
    distance = np.hypot(rows - row[:, None, None], columns - (SIDE_PX - 1) / 2)
    covered: FloatArray = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    return covered


def pip_wave(
    bare: EventStream, tones_hz: FloatArray, duration_us: int, hiss: np.random.Generator
) -> FloatArray:
    """Waveform with a pip of the channel's tone at each event, over a faint hiss, ``[n]``.

    Parameters
    ----------
    bare : EventStream
    tones_hz : array [n_channels]
    duration_us : int
    hiss : Generator
        Of the noise.
    """
    n = round(duration_us * SAMPLE_RATE / 1e6)
    wave = _HISS_LEVEL * hiss.standard_normal(n)
    length = round(_PIP_MS * SAMPLE_RATE / 1000)
    for time_us, channel in zip(bare.events["t"], bare.events["x"], strict=True):
        start_s = time_us * 1e-6
        first = int(np.ceil(start_s * SAMPLE_RATE))
        since_s = np.arange(first, min(first + length, n)) / SAMPLE_RATE - start_s
        # Rises within a millisecond, then falls.
        envelope = np.minimum(since_s / 1e-3, 1.0) * np.exp(-since_s / 2e-3)
        wave[first : first + length] += (
            _PIP_LEVEL * envelope * np.sin(2 * np.pi * tones_hz[channel] * since_s)
        )
    return wave


def _first_answers(bare: EventStream, sensed: EventStream, places: BoolArray) -> Int64Array:
    """First sensor event at a channel's addresses after each bare event, -1 for none."""
    first = np.full(len(bare), -1, np.int64)
    addresses, times = sensed.addresses(), sensed.events["t"].astype(np.int64)
    for channel in range(len(places)):
        own = times[places[channel][addresses]]
        asked = np.flatnonzero(bare.events["x"] == channel)
        stimulus = bare.events["t"][asked]
        next_one = np.searchsorted(own, stimulus)
        found = next_one < len(own)
        answer = own[next_one[found]]
        soon = answer - stimulus[found] < _NO_ANSWER_US
        first[asked[found][soon]] = answer[soon]
    return first
