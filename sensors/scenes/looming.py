"""An object on a collision course: when its edge crosses each ring of the retina, and its film."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikefuse._types import FloatArray

_SKY, _OBJECT = 200.0, 25.0


def crossing_before_ms(
    eccentricity_deg: np.ndarray[Any, Any], size_over_speed_ms: np.ndarray[Any, Any] | float
) -> FloatArray:
    r"""How long before contact the edge of an approaching disc crosses an eccentricity.

    A disc of half-size :math:`l` that approaches at constant speed :math:`v` is seen under the
    half-angle :math:`\rho`, :math:`\tan \rho(t) = (l / v) / (t_c - t)` [1]_ [2]_, so it crosses
    :math:`\rho` at :math:`t_c - (l / v) \cot \rho`.

    Parameters
    ----------
    eccentricity_deg : float array [R]
        In (0, 90).
    size_over_speed_ms : float array [...]
        :math:`l / v`.

    Returns
    -------
    float array [..., R]

    Raises
    ------
    ValueError
        If an eccentricity is outside (0, 90) or a ratio is not positive.

    References
    ----------
    .. [1] Lee, "A theory of visual control of braking based on information about
       time-to-collision", Perception 5, 1976.
    .. [2] Gabbiani, Krapp and Laurent, "Computation of object approach by a wide-field,
       motion-sensitive neuron", J. Neurosci. 19, 1999.
    """
    rings = np.asarray(eccentricity_deg, dtype=np.float64)
    ratio = np.asarray(size_over_speed_ms, dtype=np.float64)
    if not ((rings > 0) & (rings < 90)).all():
        raise ValueError(f"eccentricity_deg must lie in (0, 90), got {eccentricity_deg}")
    if not (ratio > 0).all():
        raise ValueError(f"size_over_speed_ms must be positive, got {size_over_speed_ms}")
    before: FloatArray = ratio[..., None] / np.tan(np.deg2rad(rings))
    return before


def contact_sd_ms(
    eccentricity_deg: np.ndarray[Any, Any], jitter_ms: float, hits: float, known_ratio: bool = False
) -> float:
    r"""Standard deviation of the best unbiased estimate of the time of contact.

    The crossing times are a line in :math:`a_i = \cot \rho_i`, :math:`c_i = t_c - (l / v) a_i`.
    With :math:`k` spikes a ring on average and a jitter :math:`\sigma`, least squares gives

    .. math:: \mathrm{var}(\hat t_c) = \frac{\sigma^2}{k}
              \frac{\sum_i a_i^2}{R \sum_i a_i^2 - (\sum_i a_i)^2},

    and :math:`\sigma^2 / (k R)` where :math:`l / v` is known. It is the Cramer-Rao bound of Poisson
    spikes with Gaussian jitter and no background.

    Parameters
    ----------
    eccentricity_deg : float array [R]
    jitter_ms, hits : float
    known_ratio : bool
    """
    slope = 1 / np.tan(np.deg2rad(np.asarray(eccentricity_deg, dtype=np.float64)))
    n = len(slope)
    spread = 1 / n if known_ratio else (slope**2).sum() / (n * (slope**2).sum() - slope.sum() ** 2)
    return float(jitter_ms * np.sqrt(spread / hits))


def looming_film(
    before_contact_ms: FloatArray, size_over_speed_ms: float, size: int, ring_px_per_tan: float
) -> FloatArray:
    """Frames of a dark disc that grows on a bright ground.

    Parameters
    ----------
    before_contact_ms : float array [T]
        Time left until contact; from 0 on the disc fills the picture.
    size_over_speed_ms : float
    size : int
        Pixels along one side of the square picture.
    ring_px_per_tan : float
        Focal length in pixels: radius on the picture for the tangent of the half-angle.

    Returns
    -------
    float array [T, size, size]
        Linear intensity, 0 to 255; the edge is blurred over one pixel.
    """
    left = np.maximum(np.asarray(before_contact_ms, dtype=np.float64), 1e-3)
    radius = np.minimum(ring_px_per_tan * size_over_speed_ms / left, 2.0 * size)
    at = np.arange(size) - (size - 1) / 2
    distance = np.hypot(at[:, None], at[None, :])
    outside = np.clip(0.5 + distance - radius[:, None, None], 0.0, 1.0)
    film: FloatArray = _OBJECT + (_SKY - _OBJECT) * outside
    return film
