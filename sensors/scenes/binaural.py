"""Two ears: the time difference of a direction, clicks that carry one, and a place code of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikefuse._types import FloatArray, Int64Array
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream

HEAD_RADIUS_M = 0.0875
SOUND_M_S = 343.0
_CLICK_HZ = 1500.0
_CLICK_REACH_S = 1.5e-3  # the click's envelope is below 1e-19 there


def itd_us(azimuth_deg: FloatArray | float, head_radius_m: float = HEAD_RADIUS_M) -> FloatArray:
    r"""Interaural time difference of a distant source, positive to the right, in microseconds.

    :math:`\tau(\theta) = (r / c) (\theta + \sin \theta)`: the way around a rigid sphere [1]_, right
    for clicks and high frequencies [2]_.

    Parameters
    ----------
    azimuth_deg : float array
        In [-90, 90]; 0 is straight ahead.
    head_radius_m : float

    Raises
    ------
    ValueError
        If an azimuth is outside [-90, 90] or the radius is not positive.

    References
    ----------
    .. [1] Woodworth, "Experimental Psychology", Holt, New York, 1938.
    .. [2] Kuhn, "Model for the interaural time differences in the azimuthal plane", J. Acoust. Soc.
       Am. 62, 1977, doi:10.1121/1.381498.
    """
    theta = np.deg2rad(np.asarray(azimuth_deg, dtype=np.float64))
    if not (np.abs(theta) <= np.pi / 2).all():
        raise ValueError(f"azimuth_deg must lie in [-90, 90], got {azimuth_deg}")
    if not head_radius_m > 0:
        raise ValueError(f"head_radius_m must be positive, got {head_radius_m}")
    difference: FloatArray = 1e6 * head_radius_m / SOUND_M_S * (theta + np.sin(theta))
    return difference


def itd_slope_us(
    azimuth_deg: FloatArray | float, head_radius_m: float = HEAD_RADIUS_M
) -> FloatArray:
    """Microseconds of time difference per degree of azimuth, the derivative of `itd_us`."""
    theta = np.deg2rad(np.asarray(azimuth_deg, dtype=np.float64))
    slope: FloatArray = 1e6 * head_radius_m / SOUND_M_S * (1 + np.cos(theta)) * np.pi / 180
    return slope


def azimuth_deg(
    difference_us: FloatArray | float, head_radius_m: float = HEAD_RADIUS_M
) -> FloatArray:
    """Inverse of `itd_us` by Newton's method; differences beyond the head's give 90 degrees."""
    largest = float(itd_us(90.0, head_radius_m))
    goal = np.clip(np.asarray(difference_us, dtype=np.float64), -largest, largest)
    goal = goal * SOUND_M_S / (1e6 * head_radius_m)
    theta = goal / 2
    for _ in range(30):  # the slope is at least 1 here, and the function is concave: it converges
        theta = theta - (theta + np.sin(theta) - goal) / (1 + np.cos(theta))
    degrees: FloatArray = np.rad2deg(theta)
    return degrees


def ear_waves(
    times_us: Int64Array, differences_us: FloatArray, duration_us: int, sample_rate: int
) -> FloatArray:
    """Both ears' sound of clicks, each with its own time difference, ``[n, 2]``, left first.

    A click is a Ricker wavelet, evaluated at the samples, so a difference need not be a whole
    number of them. Each ear gets half of it: a click with a positive difference comes to the right
    ear early and to the left ear late.

    Parameters
    ----------
    times_us : int array [n_clicks]
    differences_us : float array [n_clicks]
    duration_us, sample_rate : int

    Raises
    ------
    DataError
        If there are not as many differences as clicks.
    """
    if len(times_us) != len(differences_us):
        raise DataError(
            f"differences_us must be one a click [{len(times_us)}], got {len(differences_us)}"
        )
    n_samples = round(duration_us * sample_rate / 1e6)
    reach = int(_CLICK_REACH_S * sample_rate) + 1
    waves = np.zeros((n_samples, 2))
    for ear, side in enumerate((0.5, -0.5)):
        at_s = (np.asarray(times_us) + side * np.asarray(differences_us)) * 1e-6
        nearest = np.rint(at_s * sample_rate).astype(np.int64)
        index = nearest[:, None] + np.arange(-reach, reach + 1)
        phase = (np.pi * _CLICK_HZ * (index / sample_rate - at_s[:, None])) ** 2
        click = (1 - 2 * phase) * np.exp(-phase)
        inside = (index >= 0) & (index < n_samples)
        np.add.at(waves[:, ear], index[inside], click[inside])
    return waves


def coincidences(
    ears: EventStream, delays_us: np.ndarray[Any, Any], half_width_us: int
) -> EventStream:
    r"""A place code of the time difference: detectors behind delay lines, in each channel.

    Detector :math:`d` of a channel fires for each pair of a left spike at :math:`t_l` and a right
    spike at :math:`t_r` with :math:`|t_l - t_r - d| \le h`, when both have arrived.

    Parameters
    ----------
    ears : EventStream
        Of two ears, sensor size ``(n_channels, 2, 1)``, left in row 0.
    delays_us : int array [D]
        Internal delays.
    half_width_us : int
        Half-width :math:`h` of the coincidence window.

    Returns
    -------
    EventStream
        Sensor size ``(D, n_channels, 1)``, at the later of the pair's two times.

    Raises
    ------
    DataError
        If the stream is not of two ears.
    ValueError
        If the half-width is negative.

    References
    ----------
    Jeffress, "A place theory of sound localization", J. Comp. Physiol. Psychol. 41, 1948.
    """
    n_channels, n_ears, _ = ears.sensor_size
    if n_ears != 2:
        raise DataError(f"ears must have sensor size (n_channels, 2, 1), got {ears.sensor_size}")
    if half_width_us < 0:
        raise ValueError(f"half_width_us must be >= 0, got {half_width_us}")
    delays = np.asarray(delays_us, dtype=np.int64)
    reach = int(np.abs(delays).max(initial=0)) + half_width_us
    rows: list[tuple[Int64Array, Int64Array, Int64Array]] = []
    for channel in range(n_channels):
        mine = ears.events[ears.events["x"] == channel]
        left, right = (mine["t"][mine["y"] == ear] for ear in (0, 1))
        first = np.searchsorted(right, left - reach, side="left")
        count = np.searchsorted(right, left + reach, side="right") - first
        # Every pair within reach: each left spike beside the right ones from its first one on.
        which = np.repeat(np.arange(len(left)), count)
        partner = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + first[which]
        early, late = left[which], right[partner]
        pair, delay = np.nonzero(np.abs((early - late)[:, None] - delays) <= half_width_us)
        rows.append(
            (np.maximum(early, late)[pair], delay, np.full(len(pair), channel, dtype=np.int64))
        )
    times, places, channels = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.lexsort((channels, places, times))
    events = np.zeros(len(order), EVENT_DTYPE)
    events["t"], events["x"], events["y"] = times[order], places[order], channels[order]
    events["p"] = True
    return EventStream(events, (len(delays), n_channels, 1), ears.duration_us, ears.modality)


def itd_from_coincidences(
    code: EventStream, delays_us: np.ndarray[Any, Any], reach_us: float = 400.0
) -> float:
    """The time difference that a place code stands for, in microseconds; NaN without a spike.

    The mean internal delay of the spikes within ``reach_us`` of itself, found from the busiest
    detector on. For evenly spaced detectors with Gaussian tuning and a wide reach this is the
    maximum-likelihood estimate; a narrow one is not drawn to the middle by chance coincidences.
    """
    delays = np.asarray(delays_us, dtype=np.float64)
    counts = np.bincount(code.events["x"], minlength=len(delays))
    if not counts.sum():
        return float("nan")
    centre = float(delays[np.argmax(counts)])
    for _ in range(50):
        weights = counts * (np.abs(delays - centre) <= reach_us)
        moved = float(np.average(delays, weights=weights))
        if moved == centre:
            break
        centre = moved
    return centre
