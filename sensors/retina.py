"""Films for the pixel array: a picture seen by a camera that moves along a path."""

from __future__ import annotations

from typing import Any

import numpy as np

from sensors.dvs import DvsParams
from spikefuse._types import FloatArray, Int64Array
from spikefuse.errors import DataError

# Fitted to recordings of the first 250 pictures of N-MNIST; see docs/retina_cochlea.md.
NMNIST_DVS = DvsParams(threshold_on=0.63, threshold_off=0.63, shot_noise_hz=0.5)
NMNIST_PSF_PX = 0.0
_NMNIST_CORNERS_PX = ((2.0, 2.95), (-3.9, 1.05), (1.85, -2.95), (2.0, 2.95))
_NMNIST_STARTS_US = (0, 102_000, 214_000)
_NMNIST_MOVE_US, _NMNIST_END_US = 95_000, 310_000


def nmnist_path(step_us: int = 4000) -> tuple[FloatArray, Int64Array]:
    """The camera's way in N-MNIST, fitted to recordings: offsets [T, 2] and times [T].

    With bright digits on black the recordings' polarity bit is 1 where the light falls: compare
    it with the opposite of an event's polarity.
    """
    corners = np.array(_NMNIST_CORNERS_PX)
    times_us = np.arange(0, _NMNIST_END_US + 1, step_us, dtype=np.int64)
    leg = np.searchsorted(_NMNIST_STARTS_US, times_us, side="right") - 1
    share = np.clip((times_us - np.array(_NMNIST_STARTS_US)[leg]) / _NMNIST_MOVE_US, 0.0, 1.0)
    eased = 0.5 - 0.5 * np.cos(np.pi * share)
    path: FloatArray = corners[leg] + eased[:, None] * (corners[leg + 1] - corners[leg])
    return path, times_us


def pan(
    picture: np.ndarray[Any, Any],
    path_px: FloatArray,
    size: tuple[int, int],
    psf_px: float = 0.0,
    background: float = 0.0,
) -> FloatArray:
    r"""Film of a still picture in front of a camera that moves.

    Frame ``k`` shows, at row ``i`` and column ``j``, the picture at
    :math:`(i, j) + c + \mathrm{path}_k`, interpolated bilinearly; ``c`` centres the picture. What
    lies outside the picture has the background's intensity.

    Parameters
    ----------
    picture : array [h, w]
        Linear intensity, 0 to 255.
    path_px : float array [T, 2]
        The camera's offset (row, column) in pixels.
    size : (H, W)
        Of the sensor.
    psf_px : float
        Standard deviation of the lens's point spread, a Gaussian, in pixels.
    background : float
        Intensity around the picture.

    Returns
    -------
    float array [T, H, W]

    Raises
    ------
    DataError
        If shapes or values do not fit.
    """
    picture, path_px = np.asarray(picture), np.asarray(path_px, dtype=np.float64)
    if picture.ndim != 2 or not picture.size:
        raise DataError(f"picture must be [h >= 1, w >= 1], got shape {picture.shape}")
    if path_px.ndim != 2 or path_px.shape[1] != 2 or not np.isfinite(path_px).all():
        raise DataError(f"path_px must be finite [T, 2], got shape {path_px.shape}")
    if min(size) < 1:
        raise DataError(f"size must be (H >= 1, W >= 1), got {size}")
    if not psf_px >= 0:
        raise DataError(f"psf_px must be >= 0, got {psf_px}")
    # Enough background around the picture for the whole way and the tail of the spread.
    reach = np.abs(path_px).max(axis=0, initial=0.0)
    half = (np.array(size) - picture.shape) / 2
    edge = np.ceil(np.maximum(half, 0) + reach + 4 * psf_px).astype(int) + 1
    scene = np.pad(
        picture.astype(np.float64), [(int(n), int(n)) for n in edge], constant_values=background
    )
    if psf_px > 0:
        from scipy.ndimage import gaussian_filter

        scene = gaussian_filter(scene, psf_px, mode="nearest")
    films = np.empty((len(path_px), *size))
    for film, offset in zip(films, path_px, strict=True):
        corner = edge - half + offset
        (row, column), (down, right) = np.floor(corner).astype(int), corner - np.floor(corner)
        view = scene[row : row + size[0] + 1, column : column + size[1] + 1]
        across = (1 - right) * view[:, :-1] + right * view[:, 1:]
        film[...] = (1 - down) * across[:-1] + down * across[1:]
    return films
