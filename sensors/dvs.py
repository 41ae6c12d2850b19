"""DVS pixel array: linear frames to ON and OFF events of log intensity."""

from __future__ import annotations

from dataclasses import dataclass
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
    seed: int = 0


class DvsPixelArray:
    r"""An array of independent change-detecting pixels.

    A pixel remembers :math:`M`, the log intensity at its last event. While
    :math:`L = \log(I + I_{dark})` moves, it fires ON (OFF) whenever :math:`L - M` reaches
    :math:`\theta_{on}` (:math:`-\theta_{off}`), and :math:`M` steps by the threshold. Between
    frames :math:`L` is linear in time, so event times are interpolated.

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
        for name in ("threshold_mismatch", "refractory_us", "shot_noise_hz", "leak_hz"):
            if getattr(p, name) < 0:
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
        p = self.params
        n_films, _, height, width = frames.shape
        rng = np.random.default_rng(p.seed)
        spread = 1 + p.threshold_mismatch * rng.standard_normal((2, height, width))
        on_at, off_at = np.maximum(spread, 0.1) * np.array(
            [[[p.threshold_on]], [[p.threshold_off]]]
        )
        before = np.log(frames[:, 0].astype(np.float64) + p.dark_level)
        memory = before.copy()
        last_us = np.full(before.shape, -np.inf)
        found: list[tuple[Int64Array, ...]] = []
        for step in range(1, len(times)):
            start_us, end_us = float(times[step - 1]), float(times[step])
            now = np.log(frames[:, step].astype(np.float64) + p.dark_level)
            memory -= p.leak_hz * on_at * (end_us - start_us) * 1e-6
            found += _fire(before, now, start_us, end_us, memory, on_at, last_us, p, True)
            found += _fire(before, now, start_us, end_us, memory, off_at, last_us, p, False)
            before = now
        duration_us = int(times[-1]) + 1
        found.append(_noise(frames.shape, duration_us, p.shot_noise_hz, noise_rng or rng))
        columns = [np.concatenate(part) for part in zip(*found, strict=True)]
        return [
            EventStream(_sorted_events(columns, film), (width, height, 2), duration_us, modality)
            for film in range(n_films)
        ]


def _fire(
    before: FloatArray,
    now: FloatArray,
    start_us: float,
    end_us: float,
    memory: FloatArray,
    threshold: FloatArray,
    last_us: FloatArray,
    p: DvsParams,
    on: bool,
) -> list[tuple[Int64Array, ...]]:
    """Events of one polarity in one frame interval; updates ``memory`` and ``last_us``."""
    sign = 1.0 if on else -1.0
    found: list[tuple[Int64Array, ...]] = []
    while True:
        film, y, x = (sign * (now - memory) >= threshold).nonzero()
        if not len(film):
            return found
        memory[film, y, x] += sign * threshold[y, x]
        rise = now[film, y, x] - before[film, y, x]
        # A crossing caused by leak alone, in a still scene, falls at the interval's end.
        share = np.divide(
            memory[film, y, x] - before[film, y, x],
            rise,
            out=np.ones_like(rise),
            where=np.abs(rise) > 1e-12,
        )
        t = start_us + np.clip(share, 0.0, 1.0) * (end_us - start_us)
        ready = t - last_us[film, y, x] >= p.refractory_us
        film, y, x, t = film[ready], y[ready], x[ready], t[ready]
        last_us[film, y, x] = t
        found.append((film, t.astype(np.int64), x, y, np.full(len(film), int(on))))


def _noise(
    shape: tuple[int, ...], duration_us: int, rate_hz: float, rng: np.random.Generator
) -> tuple[Int64Array, ...]:
    """Poisson events over all films and pixels, half of them ON."""
    n_films, _, height, width = shape
    n = int(rng.poisson(n_films * height * width * rate_hz * duration_us * 1e-6))
    return (
        rng.integers(0, n_films, n),
        rng.integers(0, duration_us, n),
        rng.integers(0, width, n),
        rng.integers(0, height, n),
        rng.integers(0, 2, n),
    )


def _sorted_events(columns: list[Int64Array], film: int) -> StructuredArray:
    """One film's events by time."""
    mine = columns[0] == film
    t, x, y, polarity = (column[mine] for column in columns[1:])
    order = np.argsort(t, kind="stable")
    events = np.zeros(len(t), EVENT_DTYPE)
    events["t"], events["x"], events["y"] = t[order], x[order], y[order]
    events["p"] = polarity[order] > 0
    return events


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
    if not np.isfinite(frames).all() or frames.min() < 0 or frames.max() > 255:
        raise DataError(
            f"frames must be linear intensities in [0, 255], got {frames.min()} to {frames.max()}"
        )
    return times_us.astype(np.int64)
