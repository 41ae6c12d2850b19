"""A line through lags over time: the best of a grid, then refined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikefuse._types import FloatArray

_SMOOTH_MS = 2.0  # standard deviation of the kernel that gathers lags into a peak
_LOCAL_MS = 25.0  # lags about the line that the refinement looks at
_ROUNDS = 40


@dataclass(frozen=True)
class GridLine:
    """The best line of a grid: lag at the middle time, slope, and how far it stands out."""

    lag_ms: float
    slope: float
    z: float


@dataclass(frozen=True)
class LagLine:
    """A fitted line, surest at ``at_ms``, with standard errors and the lags' spread about it."""

    lag_ms: float
    slope: float
    at_ms: float
    lag_se_ms: float
    slope_se: float
    spread_ms: float


def find_line(
    times_ms: FloatArray, lags_ms: FloatArray, counts: FloatArray, max_slope: float
) -> GridLine:
    """The line with the largest sum of smoothed counts.

    Parameters
    ----------
    times_ms : float array [n]
        Of the windows.
    lags_ms : float array [L]
        Evenly spaced.
    counts : float array [n, L]
    max_slope : float
        In milliseconds of lag a millisecond.

    Returns
    -------
    GridLine
        ``z``: the sum along it less the mean over all lines, in robust standard deviations.
    """
    step = float(lags_ms[1] - lags_ms[0])
    smooth = _smoothed(counts - counts.mean(1, keepdims=True), _SMOOTH_MS / step)
    since = times_ms - times_ms.mean()
    length = max(float(np.ptp(times_ms)), 1.0)
    n_side = int(np.ceil(max_slope * length / _SMOOTH_MS))
    slopes = np.linspace(-max_slope, max_slope, 2 * n_side + 1) if n_side else np.zeros(1)
    n_lags = len(lags_ms)
    sums = np.zeros((len(slopes), n_lags))
    for found, slope in zip(sums, slopes, strict=True):
        for row, move in zip(smooth, np.rint(slope * since / step).astype(int), strict=True):
            low, high = max(0, -move), min(n_lags, n_lags - move)
            if low < high:
                found[low:high] += row[low + move : high + move]
    best = np.unravel_index(int(sums.argmax()), sums.shape)
    centre = float(np.median(sums))
    scatter = 1.4826 * float(np.median(np.abs(sums - centre)))
    z = (float(sums[best]) - centre) / scatter if scatter > 0 else 0.0
    return GridLine(float(lags_ms[best[1]]), float(slopes[best[0]]), z)


def refine_line(
    times_ms: FloatArray, lags_ms: FloatArray, counts: FloatArray, start: GridLine
) -> LagLine:
    r"""Expectation maximisation of a Gaussian about a line and a uniform background.

    .. math:: p(l \mid t) = \pi N(l; a + b (t - \bar t), \sigma^2) + (1 - \pi) / L

    Standard errors are those of a weighted regression with whole windows as the independent units.
    """
    at = float(times_ms.mean())
    since = times_ms - at
    step = float(lags_ms[1] - lags_ms[0])
    first = lags_ms - (start.lag_ms + start.slope * since)[:, None]
    near = np.where(np.abs(first) <= _LOCAL_MS, counts, 0.0)
    in_all = float(near.sum())
    if in_all <= 0:
        return LagLine(start.lag_ms, start.slope, at, np.inf, np.inf, _SMOOTH_MS)
    lag, slope, spread, share = start.lag_ms, start.slope, _SMOOTH_MS, 0.3
    for _ in range(_ROUNDS):
        off = lags_ms - (lag + slope * since)[:, None]
        mine = near * _belonging(off, spread, share)
        change = _solved(mine.sum(1), (mine * off).sum(1), since)
        lag, slope = lag + change[0], slope + change[1]
        total = max(float(mine.sum()), 1e-12)
        spread = max(float(np.sqrt((mine * off**2).sum() / total)), step)
        share = float(np.clip(total / in_all, 0.02, 0.98))
    off = lags_ms - (lag + slope * since)[:, None]
    belongs = _belonging(off, spread, share)
    score = (near * belongs * off).sum(1)
    # What a pair tells of the line, less what is not known of whether it belongs to it.
    told = (near * belongs * (1 - (1 - belongs) * (off / spread) ** 2)).sum(1)
    inverse = np.linalg.pinv(_design(told, since))
    scores = np.stack([score, score * since], axis=1)
    errors = np.sqrt(np.maximum(np.diag(inverse @ (scores.T @ scores) @ inverse), 0.0))
    return LagLine(lag, slope, at, float(errors[0]), float(errors[1]), spread)


def _belonging(off: FloatArray, spread: float, share: float) -> FloatArray:
    """Chance that a lag at this distance from the line is not background."""
    inner = share / (spread * np.sqrt(2 * np.pi)) * np.exp(-0.5 * (off / spread) ** 2)
    chance: FloatArray = inner / (inner + (1 - share) / (2 * _LOCAL_MS))
    return chance


def _design(weight: FloatArray, since: FloatArray) -> FloatArray:
    across = weight @ since
    return np.array([[weight.sum(), across], [across, weight @ (since * since)]])


def _solved(weight: FloatArray, moment: FloatArray, since: FloatArray) -> tuple[float, float]:
    """Change of lag and slope by weighted least squares."""
    right = np.array([moment.sum(), moment @ since])
    change = np.linalg.lstsq(_design(weight, since), right, rcond=None)[0]
    return float(change[0]), float(change[1])


def _smoothed(rows: FloatArray, sigma: float) -> FloatArray:
    """Rows convolved with a Gaussian, edges as if zero followed."""
    half = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return np.stack([np.convolve(row, kernel, mode="same") for row in rows])
