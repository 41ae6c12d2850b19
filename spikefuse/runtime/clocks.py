"""How far one sensor's clock is from another's, and how fast they part, from their events alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikefuse._types import BoolArray, FloatArray, Int64Array
from spikefuse.runtime.lag_line import find_line, refine_line
from spikefuse.runtime.snapshot import State


@dataclass(frozen=True)
class ClockParams:
    """What an estimator of two clocks looks for, and over how long.

    Parameters
    ----------
    max_offset_ms : float
        Largest lag of the other sensor behind the reference, or before it.
    max_drift_ppm : float
        Largest difference of the clocks' rates, parts per million.
    bin_us : int
        Rates are counted in bins of this width.
    window_ms : float
        Events of the reference are compared with the other's window by window.
    history_windows : int
        Windows remembered; older ones are forgotten, so slow changes of a drift are followed.
    min_windows : int
        No estimate before so many.
    onset_ms : float
        Silence of an address before an event that counts, where addresses are given.
    min_z : float
        Height of the correlation along the line found, in standard deviations of those of all
        lines looked at, from which on an estimate is ``locked``.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    max_offset_ms: float = 500.0
    max_drift_ppm: float = 300.0
    bin_us: int = 500
    window_ms: float = 1000.0
    history_windows: int = 120
    min_windows: int = 10
    onset_ms: float = 20.0
    min_z: float = 7.0

    def __post_init__(self) -> None:
        for name in ("max_offset_ms", "max_drift_ppm", "bin_us", "onset_ms", "min_z"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.window_ms * 1e3 >= 10 * self.bin_us:
            raise ValueError(f"window_ms must hold 10 bins, got {self.window_ms}")
        if not 3 <= self.min_windows <= self.history_windows:
            raise ValueError(
                f"min_windows must lie in [3, history_windows={self.history_windows}], got "
                f"{self.min_windows}"
            )


@dataclass(frozen=True)
class ClockEstimate:
    r"""The other sensor's clock against the reference's, :math:`t' = o + t (1 + d \cdot 10^{-6})`.

    The convention of `sensors.clock.ModalityClock`. What the sensors themselves take to answer is
    part of the offset.

    Parameters
    ----------
    offset_ms : float
        :math:`o`, at the reference's time 0.
    drift_ppm : float
    at_ms : float
        Middle of the windows that it rests on, where it is surest.
    lag_se_ms, drift_se_ppm : float
        Standard errors of the lag at ``at_ms`` and of the drift, from the scatter of windows.
    spread_ms : float
        Standard deviation of the lag of one pair of events about the line.
    n_windows : int
    z : float
        Height of the correlation; see `ClockParams.min_z`.
    locked : bool
        Whether it is to be believed: a peak that stands out.
    """

    offset_ms: float
    drift_ppm: float
    at_ms: float
    lag_se_ms: float
    drift_se_ppm: float
    spread_ms: float
    n_windows: int
    z: float
    locked: bool

    def lag_ms(self, time_ms: float) -> float:
        """How much later the other sensor's clock reads at the reference's time."""
        return self.offset_ms + self.drift_ppm * 1e-6 * time_ms

    def lag_se_at_ms(self, time_ms: float) -> float:
        """Standard error of the lag at a time of the reference."""
        reach = (time_ms - self.at_ms) * self.drift_se_ppm * 1e-6
        return float(np.hypot(self.lag_se_ms, reach))

    def to_reference(self, times_us: np.ndarray[Any, Any]) -> Int64Array:
        """The other sensor's times on the reference's clock, microseconds."""
        moved = (times_us - self.offset_ms * 1e3) / (1.0 + self.drift_ppm * 1e-6)
        return np.rint(moved).astype(np.int64)


class _Rate:
    """Events a bin of one sensor, over a span that moves on with time."""

    def __init__(self, n_bins: int, bin_us: int) -> None:
        self.counts = np.zeros(n_bins, np.int32)
        self.bin_us = bin_us
        self.first = 0  # bin number of counts[0]
        self.now_us = 0
        self.onsets_only = False

    def weights(self, n_bins: int) -> FloatArray:
        """Of the first bins: counts; their square roots where bursts may be in them."""
        counts = self.counts[:n_bins].astype(np.float64)
        return counts if self.onsets_only else np.sqrt(counts)

    def add(self, times_us: Int64Array) -> None:
        at = times_us // self.bin_us - self.first
        inside = (at >= 0) & (at < len(self.counts))
        self.counts += np.bincount(at[inside], minlength=len(self.counts)).astype(np.int32)

    def move(self, first: int) -> None:
        step = first - self.first
        if step >= len(self.counts):
            self.counts[:] = 0
        else:
            self.counts[:-step] = self.counts[step:]
            self.counts[-step:] = 0
        self.first = first

    def plain(self) -> dict[str, Any]:
        """Plain values of a snapshot."""
        names = ("first", "now_us", "onsets_only")
        return {name: getattr(self, name) for name in names}

    def restore(self, counts: Tensor, plain: Mapping[str, Any]) -> None:
        """Put back what a snapshot holds."""
        self.counts[:] = _of_length(counts, len(self.counts), "counts")
        self.first, self.now_us = int(plain["first"]), int(plain["now_us"])
        self.onsets_only = bool(plain["onsets_only"])


class Onsets:
    """Events that are an address's first after some silence.

    Parameters
    ----------
    silence_us : int
    """

    def __init__(self, silence_us: int) -> None:
        self._silence_us = silence_us
        self.last_us = np.full(0, -silence_us, np.int64)  # of each address

    def first(self, times_us: Int64Array, addresses: Int64Array) -> BoolArray:
        """Which events count, bool [n]; times in order."""
        if not len(times_us):
            return np.zeros(0, np.bool_)
        missing = int(addresses.max()) + 1 - len(self.last_us)
        if missing > 0:
            self.last_us = np.append(self.last_us, np.full(missing, -self._silence_us))
        order = np.argsort(addresses, kind="stable")
        times, at = times_us[order], addresses[order]
        begins = np.concatenate(([True], at[1:] != at[:-1]))
        before = np.concatenate(([0], times[:-1]))
        before[begins] = self.last_us[at[begins]]
        counts = np.empty(len(times), np.bool_)
        counts[order] = times - before >= self._silence_us
        self.last_us[at] = times  # of one address the last one stays
        return counts


class ClockEstimator:
    r"""Offset and drift of a sensor against a reference, while their events arrive.

    What happens in the world evokes events in both; everything else coincides by chance. For every
    window of the reference's clock the counts a bin are correlated at every lag; their square roots
    where addresses are not known, so that bursts do not outweigh the rest. Lags of common causes
    lie on a line in time: the best of a grid of lines is found, and refined by expectation
    maximisation over a Gaussian of lags about the line and a uniform background. Memory is that of
    ``history_windows`` correlations, however long the stream.

    Parameters
    ----------
    params : ClockParams, optional

    Notes
    -----
    A scene that repeats itself with a period below twice the largest offset has more than one line;
    ``z`` cannot tell them apart. Both sensors have to see the same thing now and then: without it
    nothing is locked.
    """

    def __init__(self, params: ClockParams | None = None) -> None:
        p = self.params = params if params is not None else ClockParams()
        self._window = round(p.window_ms * 1e3 / p.bin_us)
        self._reach = int(np.ceil(p.max_offset_ms * 1e3 / p.bin_us))
        # A window, the lags around it, and some time for one sensor to be ahead of the other.
        span = 4 * self._window + 4 * self._reach
        self._rates = {name: _Rate(span, p.bin_us) for name in ("reference", "other")}
        self._rates["other"].first = -self._reach
        self._onsets = {name: Onsets(round(p.onset_ms * 1e3)) for name in self._rates}
        self._n_done = 0
        self._correlations = np.zeros((p.history_windows, 2 * self._reach + 1), np.float32)
        self._middles_ms = np.zeros(p.history_windows)
        self._n_fft = 1 << (self._window + 2 * self._reach).bit_length()
        self.skipped = 0

    @property
    def n_windows(self) -> int:
        """Windows that an estimate would rest on."""
        return min(self._n_done - self.skipped, self.params.history_windows)

    def push(
        self,
        sensor: str,
        times_us: Int64Array,
        now_us: int | None = None,
        addresses: Int64Array | None = None,
    ) -> None:
        """Events of a sensor, in order, on its own clock.

        Parameters
        ----------
        sensor : "reference" or "other"
        times_us : int64 array [n]
        now_us : int, optional
            How far its clock has come; by default to its last event.
        addresses : int64 array [n], optional
            With them only an address's first event after ``onset_ms`` of silence counts: what
            follows in a burst tells less of when its cause was.

        Raises
        ------
        ValueError
            If there is no such sensor.
        """
        if sensor not in self._rates:
            raise ValueError(f"sensor must be 'reference' or 'other', got {sensor!r}")
        rate = self._rates[sensor]
        end = rate.now_us if now_us is None else max(rate.now_us, now_us)
        times = np.asarray(times_us, dtype=np.int64)
        if addresses is not None:
            times = times[self._onsets[sensor].first(times, addresses)]
            rate.onsets_only = True
        while len(times):
            room_us = (rate.first + len(rate.counts)) * rate.bin_us
            n = int(np.searchsorted(times, room_us, side="left"))
            rate.add(times[:n])
            if n:
                rate.now_us = max(rate.now_us, int(times[n - 1]) + 1)
            self._compare()
            times = times[n:]
            if len(times) and times[0] >= (rate.first + len(rate.counts)) * rate.bin_us:
                self._skip_to(int(times[0]))
        rate.now_us = max(rate.now_us, end)
        self._compare()

    def estimate(self) -> ClockEstimate | None:
        """What the windows so far tell; None before there are enough."""
        n = self.n_windows
        if n < self.params.min_windows:
            return None
        order = np.argsort(self._middles_ms[:n])
        times, found = self._middles_ms[:n][order], self._correlations[:n][order]
        steps = np.arange(-self._reach, self._reach + 1, dtype=np.float64)
        lags = steps * (self.params.bin_us * 1e-3)
        start = find_line(times, lags, found.astype(np.float64), self.params.max_drift_ppm * 1e-6)
        line = refine_line(times, lags, found.astype(np.float64), start)
        return ClockEstimate(
            line.lag_ms - line.slope * line.at_ms,
            line.slope * 1e6,
            line.at_ms,
            line.lag_se_ms,
            line.slope_se * 1e6,
            line.spread_ms,
            n,
            start.z,
            bool(start.z >= self.params.min_z),
        )

    def settings(self) -> dict[str, Any]:
        """As of `Part`."""
        return asdict(self.params)

    def state(self) -> State:
        """As of `Part`: rates, onsets and the correlations that are remembered."""
        n = self.n_windows
        held: dict[str, np.ndarray[Any, Any]] = {
            "correlations": self._correlations[:n],
            "middles_ms": self._middles_ms[:n],
        }
        for name, rate in self._rates.items():
            held[f"counts.{name}"] = rate.counts
            held[f"onsets.{name}"] = self._onsets[name].last_us
        return {name: torch.from_numpy(x.copy()) for name, x in held.items()}, {
            "rates": {name: rate.plain() for name, rate in self._rates.items()},
            "n_done": self._n_done,
            "skipped": self.skipped,
        }

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Part`."""
        self._n_done, self.skipped = int(plain["n_done"]), int(plain["skipped"])
        n = self.n_windows
        self._correlations[:n] = _of_length(tensors["correlations"], n, "correlations")
        self._middles_ms[:n] = _of_length(tensors["middles_ms"], n, "middles_ms")
        for name, rate in self._rates.items():
            rate.restore(tensors[f"counts.{name}"], plain["rates"][name])
            self._onsets[name].last_us = tensors[f"onsets.{name}"].numpy().astype(np.int64)

    def _compare(self) -> None:
        """Correlate every window that both sensors have passed."""
        reference, other = self._rates["reference"], self._rates["other"]
        bin_us = self.params.bin_us
        while (
            reference.now_us >= (reference.first + self._window) * bin_us
            and other.now_us >= (reference.first + self._window + self._reach) * bin_us
        ):
            near = reference.weights(self._window)
            self._keep(near, other.weights(self._window + 2 * self._reach))
            self._move(reference.first + self._window)

    def _keep(self, near: FloatArray, far: FloatArray) -> None:
        spectrum = np.conj(np.fft.rfft(near, self._n_fft)) * np.fft.rfft(far, self._n_fft)
        by_lag = np.fft.irfft(spectrum, self._n_fft)[: 2 * self._reach + 1]
        at = (self._n_done - self.skipped) % self.params.history_windows
        self._correlations[at] = np.maximum(by_lag, 0.0)
        weight = near.sum()
        centre = float(near @ np.arange(len(near)) / weight) if weight else len(near) / 2
        first = self._rates["reference"].first
        self._middles_ms[at] = (first + centre + 0.5) * self.params.bin_us * 1e-3

    def _move(self, first: int) -> None:
        self._n_done += 1
        self._rates["reference"].move(first)
        self._rates["other"].move(first - self._reach)

    def _skip_to(self, time_us: int) -> None:
        """Pass over windows that the slower sensor never reached, to make room for a time."""
        reference = self._rates["reference"]
        ahead = time_us // self.params.bin_us - reference.first - 2 * self._window - self._reach
        n = max(1, ahead // self._window)
        self.skipped += n
        self._n_done += n - 1
        self._move(reference.first + n * self._window)


def _of_length(content: Tensor, n: int, name: str) -> np.ndarray[Any, Any]:
    """A snapshot's array, of the length that it must have."""
    if len(content) != n:
        raise ValueError(f"{name} must be {n} long, got {len(content)}")
    return content.numpy()
