"""What is done to the test inputs, level by level: a list of named conditions, the same for all.

Every sample has its own generator, from the seed of the suite, what is done, and the sample's place
among the test pairs: not from the level, the model, or how many pairs are read. Levels of one kind
therefore share their draws, and all models see the same inputs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from experiments.stress import sound
from experiments.stress.swaps import Donors, scrambled, swapped
from sensors.corruptions import (
    add_background,
    add_hot_pixels,
    drift_clock,
    drop_events,
    jitter_time,
    lose_channels,
    offset_modality,
)
from spikefuse.events import EventStream, MultiStream
from spikefuse.objectives.modality_dropout import without

FAMILIES = (
    "missing",
    "noise",
    "misalignment",
    "consistency",
    "imbalance",
    "anytime",
    "gain",
    "intervention",
)
CLEAN = "clean"
_APART_MS = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
OFFSETS_MS = (*(-ms for ms in reversed(_APART_MS)), 0.0, *_APART_MS)
DRIFTS_PPM = (0.0, 1e3, 1e4, 5e4, 1e5, 2e5)
# Both modalities lose this share: how hard the task is where gain is asked for.
GAIN_DROPS = (0.0, 0.3, 0.5, 0.7, 0.85)
# A foreign partner, and which modality has lost how many of its events.
INCONGRUENT_DROP = 0.75
HOT_HZ = 100.0
_MATRIX, _CHANNELS = "matrix", "channels"

Corrupt = Callable[[EventStream, float, np.random.Generator], EventStream]


@dataclass(frozen=True)
class Noise:
    """A kind of noise of one stream.

    Parameters
    ----------
    unit : str
        Of a level.
    levels : mapping of kind of sensor to ascending levels from 0
        A sensor of one row is a set of channels, any other a matrix of pixels.
    corrupt : callable
    """

    unit: str
    levels: dict[str, tuple[float, ...]]
    corrupt: Corrupt


def _hot(stream: EventStream, share: float, rng: np.random.Generator) -> EventStream:
    """A share of the pixels fires at 100 Hz."""
    width, height, _ = stream.sensor_size
    return add_hot_pixels(stream, round(share * width * height), HOT_HZ, rng)


def _per_signal(stream: EventStream, ratio: float, rng: np.random.Generator) -> EventStream:
    """Poisson noise events, ``ratio`` of them to an event of the recording, in the mean."""
    width, height, _ = stream.sensor_size
    window_s = width * height * max(stream.duration_us, 1) * 1e-6
    return add_background(stream, ratio * len(stream) / window_s, rng)


def _jitter(stream: EventStream, sigma_ms: float, rng: np.random.Generator) -> EventStream:
    return jitter_time(stream, sigma_ms * 1e3, rng)


_BOTH = (_MATRIX, _CHANNELS)
NOISES: dict[str, Noise] = {
    "background": Noise(
        "Hz per pixel or channel",
        {_MATRIX: (0.0, 1.0, 2.0, 5.0, 10.0), _CHANNELS: (0.0, 5.0, 10.0, 20.0, 50.0)},
        add_background,
    ),
    "drop": Noise(
        "share of events lost", dict.fromkeys(_BOTH, (0.0, 0.25, 0.5, 0.75, 0.95)), drop_events
    ),
    "jitter": Noise("ms (sigma)", dict.fromkeys(_BOTH, (0.0, 10.0, 20.0, 50.0, 100.0)), _jitter),
    "hot": Noise(
        f"share of pixels or channels at {HOT_HZ:g} Hz",
        {_MATRIX: (0.0, 0.01, 0.02, 0.05, 0.1), _CHANNELS: (0.0, 0.05, 0.1, 0.2, 0.4)},
        _hot,
    ),
    "channel_loss": Noise(
        "share of pixels or channels silent",
        dict.fromkeys(_BOTH, (0.0, 0.1, 0.25, 0.5, 0.75)),
        lose_channels,
    ),
    # In amplitude, so that no noise is a level: 1, 2, 4 are 0, -3, -6 dB of events.
    "spike_noise": Noise(
        "noise events per event (1: spike SNR of 0 dB)",
        {_CHANNELS: (0.0, 0.5, 1.0, 2.0, 4.0)},
        _per_signal,
    ),
}
SOUND_UNIT = "noise amplitude per amplitude of the sound (1: SNR of 0 dB)"


@dataclass(frozen=True)
class Condition:
    """One way to change every test sample.

    Parameters
    ----------
    name : str
        Unique, such as ``noise/vision/drop/0.5``.
    touched : tuple of str
        Modalities that change: a model without them answers as on clean inputs.
    change : callable
        A sample, its place among the test pairs and the seed of the suite to the changed sample.
    """

    name: str
    touched: tuple[str, ...]
    change: Callable[[MultiStream, int, int], MultiStream]


def generator(seed: int, what: str, place: int) -> np.random.Generator:
    """The generator of one sample of one kind of condition."""
    return np.random.default_rng([seed, zlib.crc32(what.encode()), place])


def sensor_kind(size: tuple[int, int, int]) -> str:
    """A set of channels or a matrix of pixels."""
    return _CHANNELS if size[1] == 1 else _MATRIX


def noise_levels(kind: str, size: tuple[int, int, int]) -> tuple[float, ...]:
    """Levels of a kind of noise for a sensor; none where it does not apply."""
    return NOISES[kind].levels.get(sensor_kind(size), ())


def noise_kinds(
    modality: str, size: tuple[int, int, int]
) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Unit and levels of every noise that a modality can have, that of its sound last."""
    found = {kind: (how.unit, noise_levels(kind, size)) for kind, how in NOISES.items()}
    if modality == sound.MODALITY:
        found[sound.KIND] = (SOUND_UNIT, sound.LEVELS)
    return {kind: entry for kind, entry in found.items() if entry[1]}


def noise_name(modality: str, kind: str, level: float) -> str:
    """Name of the condition of a level of noise."""
    return f"noise/{modality}/{kind}/{level:g}"


def missing(names: Sequence[str]) -> Condition:
    """Modalities whose streams are empty."""
    gone = tuple(names)
    return Condition("missing/" + "+".join(gone), gone, lambda s, place, seed: without(s, gone))


def noise(modality: str, kind: str, level: float) -> Condition:
    """One modality under one kind of noise."""

    def change(sample: MultiStream, place: int, seed: int) -> MultiStream:
        rng = generator(seed, f"{kind}/{modality}", place)
        return _with(sample, NOISES[kind].corrupt(sample[modality], level, rng))

    return Condition(noise_name(modality, kind, level), (modality,), change)


def sound_noise(ratio: float, sounds: sound.Sounds) -> Condition:
    """White noise in the sound before the cochlea, in proportion to the sound's amplitude."""
    name = sound.MODALITY

    def change(sample: MultiStream, place: int, seed: int) -> MultiStream:
        rng = generator(seed, f"{sound.KIND}/{name}", place)
        source = str(sample.provenance[f"{name}_source"])
        return _with(sample, sounds.heard(source, ratio, rng))

    return Condition(noise_name(name, sound.KIND, ratio), (name,), change)


def all_dropped(names: Sequence[str], share: float) -> Condition:
    """Every modality loses a share of its events."""

    def change(sample: MultiStream, place: int, seed: int) -> MultiStream:
        for name in names:
            rng = generator(seed, f"drop/{name}", place)
            sample = _with(sample, drop_events(sample[name], share, rng))
        return sample

    return Condition(f"gain/drop/{share:g}", tuple(names), change)


def offset(modality: str, offset_ms: float, names: Sequence[str]) -> Condition:
    """One modality late (or, below 0, early) by so much; what leaves the window is cut."""
    return Condition(
        f"offset/{modality}/{offset_ms:g}",
        tuple(names),
        lambda s, place, seed: _cut(offset_modality(s, modality, offset_ms), s),
    )


def drift(modality: str, drift_ppm: float) -> Condition:
    """One modality's clock fast by so much."""
    return Condition(
        f"drift/{modality}/{drift_ppm:g}",
        (modality,),
        lambda s, place, seed: _cut(_with(s, drift_clock(s[modality], drift_ppm)), s),
    )


def foreign(modality: str, same_class: bool, donors: Donors) -> Condition:
    """One modality from another test sample, with as many events as before."""
    kind = "same" if same_class else "other"

    def change(sample: MultiStream, place: int, seed: int) -> MultiStream:
        rng = generator(seed, f"thin/{modality}", place)
        donor = donors.of(modality, same_class, seed)[place]
        return _with(sample, swapped(sample[modality], donors.stream(modality, donor), rng))

    return Condition(f"swap/{modality}/{kind}", (modality,), change)


def noise_only(modality: str) -> Condition:
    """One modality's events at random times and places, as many as before."""

    def change(sample: MultiStream, place: int, seed: int) -> MultiStream:
        rng = generator(seed, f"scrambled/{modality}", place)
        return _with(sample, scrambled(sample[modality], rng))

    return Condition(f"swap/{modality}/scrambled", (modality,), change)


def incongruent(modality: str, weakened: str, donors: Donors, names: Sequence[str]) -> Condition:
    """``modality`` from another class, ``weakened`` with a quarter of its events."""
    swap, drop = foreign(modality, False, donors), noise(weakened, "drop", INCONGRUENT_DROP)
    return Condition(
        f"incongruent/{modality}/weak_{weakened}",
        tuple(names),
        lambda s, place, seed: drop.change(swap.change(s, place, seed), place, seed),
    )


def _with(sample: MultiStream, stream: EventStream) -> MultiStream:
    """The sample with one stream replaced."""
    return replace(sample, streams={**sample.streams, stream.modality: stream})


def _cut(changed: MultiStream, original: MultiStream) -> MultiStream:
    """Streams as long as before: what comes later is not seen."""
    streams = {name: s.cropped(original[name].duration_us) for name, s in changed.streams.items()}
    return replace(changed, streams=streams)
