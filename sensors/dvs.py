"""DVS pixel array: linear frames to ON and OFF events of log intensity.

The pixels run in one pass of compiled code per frame interval (`sensors._numba.dvs`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spikefuse._types import FloatArray, Int64Array, StructuredArray
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream


@dataclass(frozen=True)
class DvsParams:
    """Parameters of the pixel model.

    Parameters
    ----------
    threshold_on, threshold_off : float
        Change of log intensity that fires an event, both positive.
    threshold_mismatch : float
        Standard deviation of each pixel's thresholds, as a share of the threshold.
    refractory_us : int
        Dead time of a pixel after an event.
    shot_noise_hz : float
        Rate of random events per pixel, half of them ON.
    leak_hz : float
        Rate of ON events that junction leakage alone would cause.
    dark_level : float
        Added to the linear intensity before the logarithm (dark current).
    cutoff_hz : float
        Bandwidth of a photoreceptor that sees white (255); 0 leaves it unlimited. It is
        proportional to the photocurrent, so dark pixels are slower.
    seed : int
        Seed of mismatch and noise.
    """

    threshold_on: float = 0.25
    threshold_off: float = 0.25
    threshold_mismatch: float = 0.03
    refractory_us: int = 500
    shot_noise_hz: float = 0.1
    leak_hz: float = 0.1
    dark_level: float = 10.0
    cutoff_hz: float = 0.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class DvsState:
    """What the pixels remember between two calls of `DvsPixelArray.advance`.

    Parameters
    ----------
    memory, light : float array [H, W]
        Log intensity at each pixel's last event, and at the last frame (after the photoreceptor).
    last_us : float array [H, W]
        Time of each pixel's last event, minus infinity before the first.
    thresholds : float array [2, H, W]
        ON and OFF thresholds of each pixel.
    time_us : int
        Time of the last frame.
    n_intervals : int
        Frame intervals seen: the shot noise of interval ``k`` is seeded by ``k``.
    """

    memory: FloatArray
    light: FloatArray
    last_us: FloatArray
    thresholds: FloatArray
    time_us: int
    n_intervals: int = 0


class DvsPixelArray:
    r"""An array of independent change-detecting pixels.

    A pixel remembers :math:`M`, the log intensity at its last event. While
    :math:`L = \log(I + I_{dark})` moves, it fires ON (OFF) whenever :math:`L - M` reaches
    :math:`\theta_{on}` (:math:`-\theta_{off}`), and :math:`M` steps by the threshold. Between
    frames :math:`L` is linear in time, so event times are interpolated. With ``cutoff_hz`` the
    photoreceptor follows its target by :math:`1 - \exp(-2 \pi f \Delta t)` of the way in an
    interval, :math:`f = f_c (I + I_{dark}) / (255 + I_{dark})`.

    Parameters
    ----------
    params : DvsParams

    References
    ----------
    Lichtsteiner, Posch and Delbruck, "A 128x128 120 dB 15 us latency asynchronous temporal contrast
    vision sensor", IEEE JSSC 43(2), 2008, doi:10.1109/JSSC.2007.914337.
    """

    def __init__(self, params: DvsParams | None = None) -> None:
        p = self.params = params if params is not None else DvsParams()
        for name in ("threshold_on", "threshold_off", "dark_level"):
            if not getattr(p, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(p, name)}")
        for name in (
            "threshold_mismatch",
            "refractory_us",
            "shot_noise_hz",
            "leak_hz",
            "cutoff_hz",
        ):
            if not getattr(p, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(p, name)}")

    def encode(
        self, frames: np.ndarray[Any, Any], times_us: np.ndarray[Any, Any], modality: str = "vision"
    ) -> EventStream:
        """Events of a film; every call starts from a fresh pixel state at the first frame.

        Parameters
        ----------
        frames : array [T, H, W]
            Linear intensity, 0 to 255, uint8 or float.
        times_us : int array [T]
            Time of each frame, strictly increasing, from 0 on.
        modality : str

        Returns
        -------
        EventStream
            Sensor size ``(W, H, 2)``; the duration ends one microsecond after the last frame.

        Raises
        ------
        DataError
            If shapes, values or times do not fit.
        """
        frames = np.asarray(frames)
        if frames.ndim != 3:
            raise DataError(f"frames must be [T, H, W], got shape {frames.shape}")
        return self.encode_batch(frames[None], times_us, modality)[0]

    def encode_batch(
        self,
        frames: np.ndarray[Any, Any],
        times_us: np.ndarray[Any, Any],
        modality: str = "vision",
        noise_rng: np.random.Generator | None = None,
    ) -> list[EventStream]:
        """Events of several films with common times, ``frames [B, T, H, W]``; see `encode`.

        ``noise_rng`` draws the shot noise, so that batches of one data set differ in it; the
        default is seeded by the parameters, and mismatch always is: it belongs to the chip.
        """
        frames = np.asarray(frames)
        times = _checked_times(frames, np.asarray(times_us))
        n_films, _, height, width = frames.shape
        rng = np.random.default_rng(self.params.seed)
        thresholds = self._thresholds((height, width), rng)
        duration_us = int(times[-1]) + 1
        found = [
            np.concatenate(
                self._sense(film[1:], times[1:], self._fresh(film[0], int(times[0]), thresholds))[0]
            )
            for film in frames
        ]
        which, noise = _noise(
            (n_films, height, width), 0, duration_us, self.params.shot_noise_hz, noise_rng or rng
        )
        return [
            EventStream.trusted(
                _merged(events, noise[which == film]), (width, height, 2), duration_us, modality
            )
            for film, events in enumerate(found)
        ]

    def start(self, frame: np.ndarray[Any, Any], time_us: int = 0) -> DvsState:
        """Pixels adapted to a first picture, ``frame [H, W]``, at ``time_us``; see `advance`."""
        frame = np.asarray(frame)
        _checked_times(frame[None, None], np.array([time_us]))
        thresholds = self._thresholds(frame.shape, np.random.default_rng(self.params.seed))
        return self._fresh(frame, time_us, thresholds)

    def advance(
        self,
        frames: np.ndarray[Any, Any],
        times_us: np.ndarray[Any, Any],
        state: DvsState,
        modality: str = "vision",
    ) -> tuple[EventStream, DvsState]:
        """Events of the next frames of a film, and the pixels after them.

        However a film is cut into calls, their events in a row are the same. `encode` gives them
        too, but for the shot noise: it draws the noise of a whole film at once, `advance` that of
        each frame interval by itself (the same process, other events).

        Parameters
        ----------
        frames : array [T, H, W]
            Linear intensity, 0 to 255, uint8 or float.
        times_us : int array [T]
            On the film's clock, strictly increasing, after ``state.time_us``.
        state : DvsState
            From `start` or the call before; it is not changed.
        modality : str

        Returns
        -------
        events : EventStream
            Those after ``state.time_us``, on the film's clock.
        state : DvsState

        Raises
        ------
        DataError
            If shapes, values or times do not fit.
        """
        frames = np.asarray(frames)
        if frames.ndim != 3 or frames.shape[1:] != state.memory.shape:
            raise DataError(f"frames must be [T, *{state.memory.shape}], got shape {frames.shape}")
        times = _checked_times(frames[None], np.asarray(times_us))
        if times[0] <= state.time_us:
            raise DataError(f"times_us must lie after {state.time_us}, got {times[0]}")
        parts, after = self._sense(frames, times, state)
        height, width = frames.shape[1:]
        for k, end_us in enumerate(times if self.params.shot_noise_hz > 0 else ()):
            rng = np.random.default_rng([self.params.seed, 1, state.n_intervals + k])
            start_us = int(times[k - 1]) if k else state.time_us
            _, noise = _noise(
                (1, height, width), start_us, int(end_us), self.params.shot_noise_hz, rng
            )
            parts[k] = _merged(parts[k], noise)
        events = np.concatenate(parts)
        return (
            EventStream.trusted(events, (width, height, 2), int(times[-1]) + 1, modality),
            after,
        )

    def _thresholds(self, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
        """ON and OFF thresholds of each pixel, ``[2, H, W]``."""
        p = self.params
        spread = 1 + p.threshold_mismatch * rng.standard_normal((2, *shape))
        thresholds: FloatArray = np.maximum(spread, 0.1) * np.array(
            [[[p.threshold_on]], [[p.threshold_off]]]
        )
        return thresholds

    def _fresh(self, frame: np.ndarray[Any, Any], time_us: int, thresholds: FloatArray) -> DvsState:
        """Pixels that have seen ``frame`` for a long time."""
        light = np.log(frame.astype(np.float64) + self.params.dark_level)
        return DvsState(light, light, np.full(light.shape, -np.inf), thresholds, time_us)

    def _log_intensity(self, frame: np.ndarray[Any, Any]) -> FloatArray:
        """What the photoreceptors are after, flat."""
        return _by_level(frame, lambda level: np.log(level + self.params.dark_level))

    def _share(self, frame: np.ndarray[Any, Any], interval_us: int) -> FloatArray:
        """How much of the way to it they go in one interval, flat."""
        p = self.params
        rate = 2e-6 * np.pi * p.cutoff_hz * interval_us / (255 + p.dark_level)
        return _by_level(frame, lambda level: -np.expm1(-rate * (level + p.dark_level)))

    def _sense(
        self, frames: np.ndarray[Any, Any], times: Int64Array, state: DvsState
    ) -> tuple[list[StructuredArray], DvsState]:
        """Events of each frame interval, without noise, and the pixels after the last one."""
        from sensors._numba.dvs import PIXEL_BITS, TIME_BITS, cross, low_pass, write_sorted

        if state.memory.size >> PIXEL_BITS:
            raise DataError(
                f"frames must have less than {1 << PIXEL_BITS} pixels, got {state.memory.size}"
            )
        if int(times[-1] if len(times) else 0) - state.time_us >> TIME_BITS:
            raise DataError(f"times_us must span less than {1 << TIME_BITS} us, got {times[-1]}")
        p = self.params
        width = state.memory.shape[1]
        on_at, off_at = state.thresholds.reshape(2, -1)
        memory, last_us = state.memory.flatten(), state.last_us.flatten()
        before = state.light.flatten()
        most_per_unit = 1 / float(state.thresholds.min())
        found = np.empty(max(before.size // 2, 1024), np.int64)
        parts = [np.zeros(0, EVENT_DTYPE)]
        start_us = state.time_us
        for frame, end in zip(frames, times, strict=True):
            end_us = int(end)
            now = self._log_intensity(frame)
            if p.cutoff_hz > 0:
                low_pass(before, self._share(frame, end_us - start_us), now)
            pixel = n_found = 0
            while True:
                pixel, n_found = cross(
                    before,
                    now,
                    memory,
                    on_at,
                    off_at,
                    last_us,
                    float(start_us),
                    float(end_us),
                    p.leak_hz,
                    float(p.refractory_us),
                    most_per_unit,
                    pixel,
                    found,
                    n_found,
                )
                if pixel == len(now):
                    break
                found = np.concatenate([found, np.empty_like(found)])
            events = np.empty(n_found, EVENT_DTYPE)
            if n_found:
                write_sorted(found[:n_found], np.empty(n_found, np.int64), start_us, width, events)
            parts.append(events)
            before, start_us = now, end_us
        after = replace(
            state,
            memory=memory.reshape(state.memory.shape),
            light=before.reshape(state.memory.shape),
            last_us=last_us.reshape(state.memory.shape),
            time_us=start_us,
            n_intervals=state.n_intervals + len(times),
        )
        return (parts[1:] or parts), after


def _by_level(
    frame: np.ndarray[Any, Any], function: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """A function of the intensity of each pixel, flat; 8-bit pictures look it up."""
    if frame.dtype != np.uint8:
        return function(frame.astype(np.float64).ravel())
    from sensors._numba.dvs import look_up

    out = np.empty(frame.size)
    look_up(function(np.arange(256.0)), np.ascontiguousarray(frame).ravel(), out)
    return out


def _noise(
    shape: tuple[int, int, int],
    start_us: int,
    end_us: int,
    rate_hz: float,
    rng: np.random.Generator,
) -> tuple[Int64Array, StructuredArray]:
    """Poisson events over all films and pixels, half of them ON: film and event, by time."""
    n_films, height, width = shape
    n = int(rng.poisson(n_films * height * width * rate_hz * (end_us - start_us) * 1e-6))
    film = rng.integers(0, n_films, n)
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = rng.integers(start_us, end_us, n)
    events["x"] = rng.integers(0, width, n)
    events["y"] = rng.integers(0, height, n)
    events["p"] = rng.integers(0, 2, n) > 0
    order = np.argsort(events["t"], kind="stable")
    return film[order], events[order]


def _merged(events: StructuredArray, noise: StructuredArray) -> StructuredArray:
    """Both in order of time, noise after events of the same microsecond."""
    if not len(noise):
        return events
    from sensors._numba.dvs import merge

    out = np.empty(len(events) + len(noise), EVENT_DTYPE)
    merge(events, noise, out)
    return out


def _checked_times(frames: np.ndarray[Any, Any], times_us: np.ndarray[Any, Any]) -> Int64Array:
    """Frame times as integers, if frames and times fit together."""
    if frames.ndim != 4 or frames.shape[1] < 1 or min(frames.shape[2:]) < 1:
        raise DataError(f"frames must be [T >= 1, H >= 1, W >= 1], got shape {frames.shape[1:]}")
    if times_us.shape != (frames.shape[1],) or times_us.dtype.kind not in "iu":
        raise DataError(
            f"times_us must be integers [{frames.shape[1]}], got {times_us.dtype} {times_us.shape}"
        )
    if (np.diff(times_us) <= 0).any() or times_us[0] < 0:
        raise DataError("times_us must be strictly increasing from >= 0, got times that are not")
    if frames.dtype != np.uint8 and not (frames.min() >= 0 and frames.max() <= 255):
        raise DataError(
            f"frames must be linear intensities in [0, 255], got {frames.min()} to {frames.max()}"
        )
    return times_us.astype(np.int64)
