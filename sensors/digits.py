"""The embedded default: real handwritten digits as events, synthetic spoken digits as spikes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import sensors._phonemes
import sensors.cochlea
import sensors.dvs
import sensors.speech
from sensors.cache import cached_recordings
from sensors.cochlea import Cochlea, CochleaParams
from sensors.dvs import DvsParams, DvsPixelArray
from sensors.recordings import Recording
from sensors.speech import add_noise, random_voice, synthesise
from spikefuse._types import Float32Array, FloatArray, Int64Array
from spikefuse.events import EVENT_DTYPE, EventStream

Progress = Callable[[int, int], None]
_SIDE = 34
SAMPLE_RATE_HZ = 8000
_FILMS_AT_ONCE = 64
_MARGIN = 16  # pixels around the sensor: room for jitter, movement and interpolation
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class DigitsParams:
    """Size and difficulty of the embedded default.

    Difficulty (position jitter, event drop, background, SNR) was set from the unimodal accuracies
    of the demo's spiking models on the validation split alone, then frozen: see docs/data.md.

    Parameters
    ----------
    n_train, n_validation, n_test : int
        Recordings per modality and split.
    voices : int
        Synthetic speakers of the train split; half as many each in validation and test, all
        different.
    snr_db : float
        White noise added to the speech before the cochlea.
    position_jitter_px : float
        Pictures start up to this far from the centre.
    event_drop : float
        Share of vision events lost.
    background_hz : float
        Rate of random background events per pixel.
    seed : int
    dvs : DvsParams
    cochlea : CochleaParams

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    n_train: int = 900
    n_validation: int = 200
    n_test: int = 400
    voices: int = 12
    snr_db: float = -7.0
    position_jitter_px: float = 3.0
    event_drop: float = 0.85
    background_hz: float = 1.5
    seed: int = 0
    dvs: DvsParams = field(default_factory=DvsParams)
    cochlea: CochleaParams = field(default_factory=CochleaParams)

    def __post_init__(self) -> None:
        for name in ("n_train", "n_validation", "n_test", "seed", "background_hz"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if self.voices < 1:
            raise ValueError(f"voices must be >= 1, got {self.voices}")
        if not 0 <= self.event_drop <= 1:
            raise ValueError(f"event_drop must lie in [0, 1], got {self.event_drop}")
        if not 0 <= self.position_jitter_px <= _MARGIN - 4:
            raise ValueError(
                f"position_jitter_px must lie in [0, {_MARGIN - 4}], got {self.position_jitter_px}"
            )
        if math.isnan(self.snr_db):
            raise ValueError(f"snr_db must be a number, got {self.snr_db}")


def load_digits(
    params: DigitsParams, cache_dir: Path | None = None, progress: Progress | None = None
) -> tuple[tuple[list[Recording], list[Recording]], bool]:
    """Vision and audio recordings, from the cache or built, and whether the cache had them."""
    import sensors.digits as this_module
    from sensors._numba import dvs as dvs_kernels

    recordings, hit = cached_recordings(
        {"kind": "embedded_digits", **asdict(params)},
        lambda: [*build_vision(params, progress), *build_audio(params, progress)],
        sources=[
            this_module,
            sensors.dvs,
            dvs_kernels,
            sensors.cochlea,
            sensors.speech,
            sensors._phonemes,
        ],
        directory=cache_dir,
    )
    vision = [r for r in recordings if r.stream.modality == "vision"]
    audio = [r for r in recordings if r.stream.modality == "audio"]
    return (vision, audio), hit


def build_vision(params: DigitsParams, progress: Progress | None = None) -> list[Recording]:
    """Handwritten digits moved along three saccades in front of the pixel array.

    Raises
    ------
    ValueError
        If more pictures are asked for than scikit-learn ships (1797).
    """
    total = params.n_train + params.n_validation + params.n_test
    recordings: list[Recording] = []
    for recording, _ in filmed_digits(params):
        recordings.append(recording)
        whole_batch = len(recordings) % _FILMS_AT_ONCE == 0 or len(recordings) == total
        if progress is not None and whole_batch:
            progress(len(recordings), 2 * total)
    return recordings


def filmed_digits(params: DigitsParams) -> Iterator[tuple[Recording, FloatArray]]:
    """Every vision recording with the first picture of its film, ``[34, 34]``, 0 to 255.

    Raises
    ------
    ValueError
        As of `build_vision`.
    """
    from sklearn.datasets import load_digits as load_pictures

    data = load_pictures()
    sizes = (params.n_train, params.n_validation, params.n_test)
    if sum(sizes) > len(data.images):
        raise ValueError(
            f"n_train + n_validation + n_test must be at most {len(data.images)}, got {sum(sizes)}"
        )
    rng = np.random.default_rng([params.seed, 0])
    chosen = rng.permutation(len(data.images))[: sum(sizes)]
    splits = iter(np.repeat(_SPLITS, sizes))
    array = DvsPixelArray(params.dvs)
    for start in range(0, len(chosen), _FILMS_AT_ONCE):
        part = chosen[start : start + _FILMS_AT_ONCE]
        films, times_us = saccade_films(data.images[part], params.position_jitter_px, rng)
        streams = array.encode_batch(films, times_us, noise_rng=rng)
        for index, film, stream in zip(part, films, streams, strict=True):
            worn = _wear(stream, params.event_drop, params.background_hz, rng)
            name = f"picture-{index:04d}"
            split = str(next(splits))
            yield Recording(worn, int(data.target[index]), name, name, split), film[0]


def saccade_films(
    pictures: FloatArray, jitter_px: float, rng: np.random.Generator
) -> tuple[FloatArray, Int64Array]:
    """Films ``[B, T, 34, 34]`` of 8x8 pictures seen along N-MNIST's three saccades.

    Orchard et al. 2015 moved the camera along a triangle, one side in 100 ms, three sides in all,
    resting at the corners. The pictures are enlarged to 20x20 pixels as MNIST's digits are.
    """
    from scipy.ndimage import gaussian_filter, zoom

    large = np.clip(zoom(pictures, (1, 2.5, 2.5), order=3), 0, 16) * (255 / 16)
    side = large.shape[1]
    canvas = np.zeros((len(large), _SIDE + 2 * _MARGIN, _SIDE + 2 * _MARGIN))
    corner = _MARGIN + (_SIDE - side) // 2
    canvas[:, corner : corner + side, corner : corner + side] = gaussian_filter(
        large, (0, 0.6, 0.6)
    )
    start = rng.uniform(-jitter_px, jitter_px, (len(large), 2))
    path, times_us = saccade_path()
    films = np.stack([_window(canvas, start + offset) for offset in path], axis=1)
    return films, times_us


def saccade_path(step_us: int = 4000) -> tuple[FloatArray, Int64Array]:
    """Camera offset (y, x) in pixels, ``[T, 2]``, over 304 ms, and the times in microseconds."""
    corners = np.array([[0.0, 0.0], [2.6, -1.3], [2.6, 1.3], [0.0, 0.0]])
    side_us, move_us = 100_000, 80_000
    times_us = np.arange(0, 3 * side_us + step_us + 1, step_us, dtype=np.int64)
    leg = np.minimum(times_us // side_us, 2)
    share = np.clip((times_us - leg * side_us) / move_us, 0.0, 1.0)
    eased = 0.5 - 0.5 * np.cos(np.pi * share)
    path: FloatArray = corners[leg] + eased[:, None] * (corners[leg + 1] - corners[leg])
    return path, times_us


def build_audio(params: DigitsParams, progress: Progress | None = None) -> list[Recording]:
    """Synthetic spoken digits in noise through the cochlea; voices are disjoint between splits."""
    total = params.n_train + params.n_validation + params.n_test
    cochlea = Cochlea(params.cochlea)
    recordings: list[Recording] = []
    for utterance in spoken_digits(params):
        stream = cochlea.encode(utterance.wave, SAMPLE_RATE_HZ)
        label, name, voice = utterance.digit, utterance.name, utterance.voice
        recordings.append(Recording(stream, label, name, voice, utterance.split))
        if progress is not None and (len(recordings) - 1) % 50 == 0:
            progress(total + len(recordings), 2 * total)
    return recordings


@dataclass(frozen=True)
class Utterance:
    """A synthetic spoken digit in noise, at 8 kHz.

    Parameters
    ----------
    name : str
    digit : int
    voice, split : str
    wave : float32 array [n]
    """

    name: str
    digit: int
    voice: str
    split: str
    wave: Float32Array


def spoken_digits(params: DigitsParams) -> Iterator[Utterance]:
    """What the microphone hears of the embedded default, recording after recording."""
    rng = np.random.default_rng([params.seed, 1])
    sizes = (params.n_train, params.n_validation, params.n_test)
    n_voices = (params.voices, max(params.voices // 2, 1), max(params.voices // 2, 1))
    for split, size, count in zip(_SPLITS, sizes, n_voices, strict=True):
        voices = [random_voice(f"{split}-voice-{i}", rng) for i in range(count)]
        for index in range(size):
            digit, voice = index % 10, voices[int(rng.integers(count))]
            clean = synthesise(digit, voice, rng, SAMPLE_RATE_HZ)
            heard = add_noise(clean, params.snr_db, rng)
            yield Utterance(f"{split}-utterance-{index:04d}", digit, voice.name, split, heard)


def _window(canvas: FloatArray, offset: FloatArray) -> FloatArray:
    """The sensor's view of each canvas at a sub-pixel offset (bilinear), ``[B, 34, 34]``."""
    whole = np.floor(offset).astype(int)
    part = offset - whole
    film = np.arange(len(canvas))[:, None, None]
    rows = _MARGIN + whole[:, 0, None, None] + np.arange(_SIDE)[None, :, None]
    columns = _MARGIN + whole[:, 1, None, None] + np.arange(_SIDE)[None, None, :]
    fy, fx = part[:, 0, None, None], part[:, 1, None, None]
    view: FloatArray = (
        (1 - fy) * (1 - fx) * canvas[film, rows, columns]
        + (1 - fy) * fx * canvas[film, rows, columns + 1]
        + fy * (1 - fx) * canvas[film, rows + 1, columns]
        + fy * fx * canvas[film, rows + 1, columns + 1]
    )
    return view


def _wear(
    stream: EventStream, drop: float, background_hz: float, rng: np.random.Generator
) -> EventStream:
    """Lose a share of the events and add random background."""
    kept = stream.events[rng.random(len(stream)) >= drop]
    width, height, _ = stream.sensor_size
    n = int(rng.poisson(background_hz * width * height * stream.duration_us * 1e-6))
    noise = np.zeros(n, EVENT_DTYPE)
    noise["t"] = rng.integers(0, stream.duration_us, n)
    noise["x"], noise["y"] = rng.integers(0, width, n), rng.integers(0, height, n)
    noise["p"] = rng.random(n) < 0.5
    events = np.concatenate([kept, noise])
    events = events[np.argsort(events["t"], kind="stable")]
    return EventStream(events, stream.sensor_size, stream.duration_us, stream.modality)
