"""How well could anybody tell the clocks of a stream of S1? The observer that knows the scene."""

from __future__ import annotations

import numpy as np

from sensors.scenes.base import SceneSample
from sensors.scenes.onset import OnsetParams
from spikefuse._types import FloatArray

# As fine as no clock is: on the scene's own grid of 1 ms a lag of a whole step would stand out.
_GRID_MS = 0.25
_LAG_MS = np.arange(-4.0, 4.01, 0.1)  # lines looked at: amid the stream, and
_SLOPE = np.arange(-80, 81) * 1e-6  # their slopes, about the planted one


def ideal_errors(
    params: OnsetParams, samples: list[SceneSample], in_sync: bool, seconds: int
) -> tuple[float, float]:
    r"""Errors of the likeliest drift, ppm, and of the lag at the end, ms.

    The observer knows where each sample begins, that it holds one bounce and one click, what each
    channel's answer and noise are like, how far bounce and click may be apart, and which
    line is near. A sample's lag is :math:`l` with likelihood

    .. math:: \sum_d p(d) \sum_t L_v(t) L_a(t + d + l),

    :math:`d` being 0, or drawn as the scene draws it. No clock is planted: whatever it is, the
    observer would see the same.

    Parameters
    ----------
    params : OnsetParams
    samples : list of SceneSample
        One after another.
    in_sync : bool
        Whether the stream holds samples in sync only.
    seconds : int
        The stream's length.
    """
    by_lag = np.stack([_lag_likelihood(params, sample) for sample in samples])
    middle = by_lag.shape[1] // 2
    apart = np.rint(np.array(params.offsets_ms) / _GRID_MS).astype(np.int64)
    if not in_sync:
        steps = np.concatenate([-apart, apart])
        shifted = np.mean([np.roll(by_lag, -step, axis=1) for step in steps], axis=0)
        by_lag = 0.5 * (by_lag + shifted)
    onsets = np.array([_onset_ms(sample) for sample in samples])
    times = np.arange(len(samples)) * params.period_ms + onsets
    half_ms = seconds * 500.0
    rows = np.arange(len(samples))
    log_likelihood = np.log(by_lag)
    heights = np.empty((len(_SLOPE), len(_LAG_MS)))
    for each, slope in zip(heights, _SLOPE, strict=True):
        place = middle + (_LAG_MS[:, None] + slope * (times - half_ms)) / _GRID_MS
        low = np.floor(place).astype(np.int64)
        part = place - low
        each[:] = (
            log_likelihood[rows, low] * (1 - part) + log_likelihood[rows, low + 1] * part
        ).sum(axis=1)
    best = np.unravel_index(int(heights.argmax()), heights.shape)
    slope = float(_SLOPE[best[0]])
    return slope * 1e6, float(_LAG_MS[best[1]]) + slope * half_ms


def _lag_likelihood(params: OnsetParams, sample: SceneSample) -> FloatArray:
    """Sum over onsets of vision's likelihood times hearing's some lag later, [2 reach + 1]."""
    onsets_ms = np.arange(0, params.period_ms, _GRID_MS)
    likely = {}
    for name in ("vision", "audio"):
        stream = sample.stream[name]
        ratio = np.full((params.n_channels, len(onsets_ms)), 1 - params.p_evoke)
        for time_us, channel in zip(stream.events["t"], stream.addresses(), strict=True):
            late = (time_us / 1000 - onsets_ms) / params.jitter_ms
            density = np.exp(-0.5 * late**2) / (params.jitter_ms * np.sqrt(2 * np.pi))
            ratio[channel] += params.p_evoke / (params.noise_hz / 1000) * density
        likely[name] = ratio.prod(axis=0)
    reach = round(2 * max(params.offsets_ms) / _GRID_MS)
    heard = np.pad(likely["audio"], reach)
    found: FloatArray = np.correlate(heard, likely["vision"], mode="valid")
    return np.maximum(found, np.finfo(float).tiny)


def _onset_ms(sample: SceneSample) -> float:
    return float(sample.truth.sources["vision"].time_us[0]) / 1000
