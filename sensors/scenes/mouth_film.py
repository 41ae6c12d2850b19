"""A film of a mouth: a dark aperture on a bright face, opened by an envelope."""

from __future__ import annotations

import numpy as np

from spikefuse._types import FloatArray

_FACE, _APERTURE = 190.0, 20.0
_EDGE_PX = 0.7  # half-width of the blurred edge


def mouth_film(opening: FloatArray, size: tuple[int, int]) -> FloatArray:
    r"""Frames of an elliptic aperture.

    The half-axes are :math:`0.36 W - 0.08 W o` across and :math:`0.04 H + 0.36 H o` down: a mouth
    narrows a little as it opens. Edges are blurred over about a pixel, so that the picture moves
    smoothly with the opening.

    Parameters
    ----------
    opening : float array [T]
        In [0, 1].
    size : (H, W)
        In pixels.

    Returns
    -------
    float array [T, H, W]
        Linear intensity, 0 to 255.

    Raises
    ------
    ValueError
        If an opening is outside [0, 1] or the size is smaller than 8.
    """
    opening = np.asarray(opening, dtype=np.float64)
    if opening.ndim != 1 or not ((opening >= 0) & (opening <= 1)).all():
        raise ValueError(f"opening must be [T] in [0, 1], got shape {opening.shape}")
    height, width = size
    if min(size) < 8:
        raise ValueError(f"size must be at least (8, 8), got {size}")
    down = np.arange(height) - (height - 1) / 2
    across = np.arange(width) - (width - 1) / 2
    half_across = (0.36 - 0.08 * opening)[:, None, None] * width
    half_down = (0.04 + 0.36 * opening)[:, None, None] * height
    radius = np.hypot(down[:, None] / half_down, across[None, :] / half_across)
    # The distance to the edge in pixels, to first order: along the ray from the centre.
    length = np.maximum(np.hypot(down[:, None], across[None, :]), 1e-9)
    distance = (radius - 1) * length / np.maximum(radius, 1e-9)
    shut = np.clip(0.5 + distance / (2 * _EDGE_PX), 0.0, 1.0)
    film: FloatArray = _APERTURE + (_FACE - _APERTURE) * shut
    return film
