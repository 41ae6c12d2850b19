"""Corruptions of recordings, seeded: what goes wrong between a sensor and the network.

Each takes a stream and returns one of the same sensor and clock. Randomness comes from the
generator passed in. Noise of sound before the cochlea is `sensors.speech.add_noise`.
"""

from __future__ import annotations

import math

import numpy as np

from spikefuse._types import Int64Array, StructuredArray
from spikefuse.events import EVENT_DTYPE, EventStream, MultiStream


def drop_events(stream: EventStream, probability: float, rng: np.random.Generator) -> EventStream:
    """Lose each event with a probability, independently of the others.

    Raises
    ------
    ValueError
        If ``probability`` is not in [0, 1].
    """
    _check_share("probability", probability)
    kept = stream.events[rng.random(len(stream)) >= probability]
    return _same_sensor(stream, kept)


def add_background(stream: EventStream, rate_hz: float, rng: np.random.Generator) -> EventStream:
    """Add Poisson events at ``rate_hz`` per pixel, either polarity alike.

    The number is Poisson with mean ``rate_hz * W * H * duration``; times and pixels are uniform.

    Raises
    ------
    ValueError
        If ``rate_hz`` is negative or not finite.
    """
    _check_amount("rate_hz", rate_hz)
    width, height, _ = stream.sensor_size
    n = int(rng.poisson(rate_hz * width * height * stream.duration_us * 1e-6))
    pixel = rng.integers(0, width * height, n)
    return _with_noise(stream, pixel, rng)


def add_hot_pixels(
    stream: EventStream, n_pixels: int, rate_hz: float, rng: np.random.Generator
) -> EventStream:
    """Let ``n_pixels`` random pixels fire at ``rate_hz`` (Poisson) besides what they saw.

    Parameters
    ----------
    stream : EventStream
    n_pixels : int
    rate_hz : float
    rng : Generator

    Raises
    ------
    ValueError
        If there are not so many pixels, or ``rate_hz`` is negative or not finite.
    """
    _check_amount("rate_hz", rate_hz)
    width, height, _ = stream.sensor_size
    _check_number("n_pixels", n_pixels, width * height)
    hot = rng.choice(width * height, n_pixels, replace=False)
    counts = rng.poisson(rate_hz * stream.duration_us * 1e-6, n_pixels)
    return _with_noise(stream, np.repeat(hot, counts), rng)


def jitter_time(stream: EventStream, sigma_us: float, rng: np.random.Generator) -> EventStream:
    """Add Gaussian noise to every time, rounded to microseconds; events come out in order.

    A time that would leave the recording is reflected at its end, so that no event is lost and none
    piles up there.

    Raises
    ------
    ValueError
        If ``sigma_us`` is negative or not finite.
    """
    _check_amount("sigma_us", sigma_us)
    noise = np.rint(rng.normal(0.0, sigma_us, len(stream))).astype(np.int64)
    events = stream.events.copy()
    events["t"] = _reflected(events["t"] + noise, stream.duration_us)
    return _same_sensor(stream, _sorted(events))


def lose_channels(stream: EventStream, share: float, rng: np.random.Generator) -> EventStream:
    """Silence a random share of the pixels (of an audio stream: channels) for all of the time.

    Exactly ``round(share * W * H)`` pixels fall silent.

    Raises
    ------
    ValueError
        If ``share`` is not in [0, 1].
    """
    _check_share("share", share)
    width, height, _ = stream.sensor_size
    dead = np.zeros(width * height, bool)
    dead[rng.choice(width * height, round(share * width * height), replace=False)] = True
    pixel = stream.events["y"].astype(np.int64) * width + stream.events["x"]
    return _same_sensor(stream, stream.events[~dead[pixel]])


def drop_modality(sample: MultiStream, modality: str) -> MultiStream:
    """The sample with one modality absent: an empty stream of the same sensor and duration."""
    return sample.without(modality)


def offset_modality(sample: MultiStream, modality: str, offset_ms: float) -> MultiStream:
    """Let one modality lag (or, with a negative offset, lead) by ``offset_ms``.

    To lead means that the others lag: nothing is lost before the zero of the clock.
    """
    return sample.offset(modality, round(offset_ms * 1e3))


def drift_clock(stream: EventStream, drift_ppm: float) -> EventStream:
    """Read the stream by a clock that is fast by ``drift_ppm``: time t becomes t (1 + 1e-6 ppm).

    Times are rounded down to microseconds; the duration grows or shrinks with them.

    Raises
    ------
    ValueError
        If ``drift_ppm`` is not above -1e6 or not finite.
    """
    if not (math.isfinite(drift_ppm) and drift_ppm > -1e6):
        raise ValueError(f"drift_ppm must be finite and above -1e6, got {drift_ppm}")
    factor = 1 + drift_ppm * 1e-6
    events = stream.events.copy()
    events["t"] = np.floor(events["t"] * factor)
    duration_us = math.ceil(stream.duration_us * factor)
    return EventStream.trusted(events, stream.sensor_size, duration_us, stream.modality)


def _with_noise(stream: EventStream, pixel: Int64Array, rng: np.random.Generator) -> EventStream:
    """The stream and events of these pixels at uniform times, in order."""
    width, _, polarities = stream.sensor_size
    noise = np.zeros(len(pixel), EVENT_DTYPE)
    if len(noise):
        noise["t"] = rng.integers(0, stream.duration_us, len(noise))
    noise["y"], noise["x"] = np.divmod(pixel, width)
    noise["p"] = rng.random(len(noise)) < 0.5 if polarities > 1 else True
    both = np.empty(len(stream) + len(noise), EVENT_DTYPE)
    both[: len(stream)], both[len(stream) :] = stream.events, noise
    return _same_sensor(stream, _sorted(both))


def _same_sensor(stream: EventStream, events: StructuredArray) -> EventStream:
    """Events as a stream of the same sensor and length."""
    return EventStream.trusted(events, stream.sensor_size, stream.duration_us, stream.modality)


def _sorted(events: StructuredArray) -> StructuredArray:
    """Events by time; those of one time keep their order."""
    return events[np.argsort(events["t"], kind="stable")]


def _reflected(times: Int64Array, duration_us: int) -> Int64Array:
    """Times mirrored at -1/2 and at the last half microsecond until they lie in the recording."""
    folded = times % max(2 * duration_us, 1)
    inside: Int64Array = np.minimum(folded, 2 * duration_us - 1 - folded)
    return inside


def _check_share(name: str, value: float) -> None:
    """A share lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")


def _check_amount(name: str, value: float) -> None:
    """An amount is finite and not negative."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and >= 0, got {value}")


def _check_number(name: str, value: int, most: int) -> None:
    """A number of things of which there are ``most``."""
    if value != int(value) or not 0 <= value <= most:
        raise ValueError(f"{name} must be a whole number in [0, {most}], got {value}")
