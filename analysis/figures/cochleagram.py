"""A cochleagram: how strongly each place of the cochlea is driven, over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import house_style, save_figure
from spikefuse._types import FloatArray

_TICKS_HZ = (100, 200, 500, 1000, 2000, 4000, 8000)


def draw_cochleagram(
    drive: FloatArray,
    rate_hz: float,
    folder: Path,
    *,
    centre_hz: FloatArray | None = None,
    title: str = "",
    name: str = "cochleagram",
) -> list[Path]:
    """Draw a cochleagram; the CSV holds every value, a column per channel.

    Parameters
    ----------
    drive : array [n_channels, n]
        Low channel first.
    rate_hz : float
        Values per second.
    folder : Path
    centre_hz : array [n_channels], optional
        Centre frequencies, which then stand at the axis.
    title, name : str

    Raises
    ------
    ValueError
        If the rate is not positive or frequencies are not one per channel.
    """
    if not rate_hz > 0:
        raise ValueError(f"rate_hz must be positive, got {rate_hz:g}")
    if centre_hz is not None and len(centre_hz) != len(drive):
        raise ValueError(f"centre_hz must be {len(drive)} frequencies, got {len(centre_hz)}")
    from matplotlib.figure import Figure

    n_channels, n = drive.shape
    with house_style():
        figure = Figure(figsize=(6.5, 3.2), layout="constrained")
        axis: Any = figure.subplots()
        image = axis.imshow(
            drive,
            aspect="auto",
            origin="lower",
            cmap="magma",
            extent=(0.0, 1e3 * n / rate_hz, -0.5, n_channels - 0.5),
            interpolation="nearest",
        )
        if centre_hz is None:
            axis.set_ylabel("channel")
        else:
            shown = [f for f in _TICKS_HZ if centre_hz[0] <= f <= centre_hz[-1]]
            places = np.interp(np.log(shown), np.log(centre_hz), np.arange(n_channels))
            axis.set_yticks(places, [f"{f:g}" for f in shown])
            axis.set_ylabel("centre frequency (Hz)")
        axis.set_xlabel("time (ms)")
        axis.set_title(title, loc="left")
        figure.colorbar(image, ax=axis, label="drive (arbitrary units)")
        times = (np.arange(n) * 1e3 / rate_hz).tolist()
        columns: dict[str, Any] = {"time_ms": times}
        columns |= {f"channel_{k}": row.tolist() for k, row in enumerate(drive)}
        return save_figure(figure, folder, name, columns)
