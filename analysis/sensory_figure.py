"""A scene on one clock: frames, the retina's events, the cochlea's spikes, and the sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analysis.style import BLUE, GREY, ORANGE, VERMILION, house_style, save_figure
from spikefuse._types import FloatArray, Int64Array
from spikefuse.events import MultiStream


def draw_sensory_scene(
    film: FloatArray,
    times_us: Int64Array,
    bare: MultiStream,
    felt: MultiStream,
    sources_us: dict[str, Int64Array],
    title: str,
    folder: Path,
    name: str,
    n_frames: int = 8,
) -> list[Path]:
    """Draw one sample; PNG, SVG and CSV as `analysis.style.save_figure` writes them.

    Parameters
    ----------
    film : float array [T, H, W]
        On the clock ``times_us``.
    times_us : int64 array [T]
    bare, felt : MultiStream
        Bare trains and the sensors' events, ``"vision"`` and ``"audio"``.
    sources_us : mapping of modality to int64 array
        Times of the source events, drawn as lines.
    title : str
    folder : Path
    name : str
    n_frames : int
    """
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(7.0, 6.2), layout="constrained")
        grid = figure.add_gridspec(5, n_frames, height_ratios=(1.0, 1.0, 1.0, 1.3, 1.3))
        inside = np.flatnonzero(times_us <= felt.duration_us)
        for k, at in enumerate(inside[np.linspace(0, len(inside) - 1, n_frames).astype(int)]):
            axis: Any = figure.add_subplot(grid[0, k])
            axis.imshow(film[at], cmap="gray", vmin=0, vmax=255, aspect="auto")
            axis.set_title(f"{times_us[at] / 1000:g} ms", fontsize=7)
            axis.set_xticks([])
            axis.set_yticks([])
        rows = (
            (bare["vision"], "channel\n(bare vision)", BLUE),
            (bare["audio"], "channel\n(bare sound)", ORANGE),
            (felt["vision"], "column\n(retina)", BLUE),
            (felt["audio"], "channel\n(cochlea)", ORANGE),
        )
        first: Any = None
        for k, (stream, label, color) in enumerate(rows):
            axis = figure.add_subplot(grid[k + 1, :], sharex=first)
            first = first if first is not None else axis
            if k == 3:
                axis.set_xlabel("time (ms)")
            else:
                axis.tick_params(labelbottom=False)
            place = stream.events["x"].astype(float)
            if stream.sensor_size[1] == 2:  # two ears, one above the other
                place = place + stream.sensor_size[0] * stream.events["y"]
                axis.axhline(stream.sensor_size[0] - 0.5, color=GREY, linewidth=0.5)
                label = "channel\n(left, right ear)"
            axis.plot(stream.events["t"] / 1000, place, "|", color=color, markersize=3)
            if len(sources_us[stream.modality]) <= 12:
                for time_us in sources_us[stream.modality]:
                    axis.axvline(time_us / 1000, color=VERMILION, linewidth=0.8, linestyle="--")
            axis.set_ylabel(label, fontsize=7)
            axis.set_xlim(0, felt.duration_us / 1000)
        figure.suptitle(title, fontsize=9)
        data = {
            f"{m}_{key}": stream.events[key].tolist()
            for m, stream in felt.streams.items()
            for key in ("t", "x")
        }
        return save_figure(figure, folder, name, data)
