"""What sensors make of the same thing: a digit simulated and recorded, a word in three cochleas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import BLUE, GREY, ORANGE, VERMILION, house_style, save_figure
from spikefuse._types import FloatArray
from spikefuse.events import EventStream

# The middle of the second saccade: over the whole of three, ON and OFF cover each other.
_FRAME_US = (130_000, 160_000)
_FRAME_TEXT = f"{_FRAME_US[0] // 1000} to {_FRAME_US[1] // 1000} ms"


def draw_digit(
    picture: FloatArray,
    streams: Mapping[str, EventStream],
    title: str,
    folder: Path,
    name: str = "digit_events",
) -> list[Path]:
    """A picture, and for each stream where its events fell and when.

    Parameters
    ----------
    picture : array [h, w]
    streams : mapping of label to EventStream
        With two polarities; ON means brighter.
    title : str
    folder : Path
    name : str
    """
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(7.2, 1.1 + 2.1 * len(streams)), layout="constrained")
        grid = figure.add_gridspec(len(streams), 3, width_ratios=(1.0, 1.0, 2.6))
        still = figure.add_subplot(grid[0, 0])
        still.imshow(picture, cmap="gray")
        still.set_title("picture")
        _bare(still)
        data: dict[str, list[Any]] = {}
        for row, (label, stream) in enumerate(streams.items()):
            height = stream.sensor_size[1]
            frame = figure.add_subplot(grid[row, 1])
            frame.imshow(_two_colours(stream), interpolation="nearest")
            frame.set_title(f"{label}\n{_FRAME_TEXT}", fontsize=9)
            _bare(frame)
            raster = figure.add_subplot(grid[row, 2])
            _draw_events(raster, stream)
            raster.axvspan(*(t / 1e3 for t in _FRAME_US), color=GREY, alpha=0.15, linewidth=0)
            raster.set_title(f"{len(stream):,} events", fontsize=9, loc="left")
            raster.set_ylim(height, -1)
            raster.set_ylabel("pixel row")
            if row == len(streams) - 1:
                raster.set_xlabel("time (ms)")
            if row == 0:
                raster.legend(
                    loc="lower right",
                    bbox_to_anchor=(1.0, 1.0),
                    ncols=2,
                    markerscale=6,
                    handletextpad=0.1,
                )
            for key in ("t", "x", "y", "p"):
                data[f"{label}_{key}"] = stream.events[key].tolist()
        longest = max(stream.duration_us for stream in streams.values()) / 1e3
        for axis in figure.axes:
            if axis.get_ylabel():
                axis.set_xlim(0, longest)
        figure.suptitle(title, fontsize=10)
        return save_figure(figure, folder, name, data)


def draw_cochleas(
    wave: FloatArray,
    sample_rate: int,
    drive: FloatArray,
    streams: Mapping[str, EventStream],
    title: str,
    folder: Path,
    name: str = "word_cochleas",
) -> list[Path]:
    """A word's waveform, its cochleagram and the spikes of each cochlea, on one time axis.

    Parameters
    ----------
    wave : float array [n]
    sample_rate : int
        In hertz, of the waveform and the cochleagram.
    drive : float array [n_channels, n]
        Hair cells' drive, low channel first.
    streams : mapping of label to EventStream
    title : str
    folder : Path
    name : str
    """
    from matplotlib.figure import Figure

    with house_style():
        rows = 2 + len(streams)
        figure = Figure(figsize=(7.2, 1.7 * rows), layout="constrained")
        axes: Any = figure.subplots(
            rows, 1, sharex=True, height_ratios=[1.0, 1.3, *[1.5] * len(streams)]
        )
        seconds = len(wave) / sample_rate
        axes[0].plot(np.arange(len(wave)) * 1e3 / sample_rate, wave, color=GREY, linewidth=0.6)
        axes[0].set_ylabel("sound\npressure")
        axes[1].imshow(
            drive,
            aspect="auto",
            origin="lower",
            cmap="magma",
            extent=(0, seconds * 1e3, -0.5, len(drive) - 0.5),
            interpolation="nearest",
        )
        axes[1].set_ylabel("channel\n(hair cells' drive)")
        data: dict[str, list[Any]] = {"wave": wave.tolist()}
        for axis, (label, stream) in zip(axes[2:], streams.items(), strict=True):
            n = stream.sensor_size[0]
            size = 1.2 if n <= 128 else 0.5
            axis.scatter(stream.events["t"] / 1e3, stream.events["x"], s=size, color=ORANGE)
            axis.set_ylim(-1, n)
            axis.set_ylabel("channel")
            axis.set_title(f"{label}: {len(stream):,} spikes", fontsize=9, loc="left")
            for key in ("t", "x"):
                data[f"{label}_{key}"] = stream.events[key].tolist()
        axes[-1].set_xlim(0, seconds * 1e3)
        axes[-1].set_xlabel("time (ms)")
        figure.suptitle(title, fontsize=10)
        return save_figure(figure, folder, name, data)


def draw_corruptions(
    vision: Mapping[str, EventStream],
    audio: Mapping[str, EventStream],
    title: str,
    folder: Path,
    name: str = "corruptions",
) -> list[Path]:
    """The same recordings whole and damaged: events against time, vision above audio.

    Parameters
    ----------
    vision, audio : mapping of what was done to EventStream
        Of equal length, the whole one first.
    title : str
    folder : Path
    name : str
    """
    from matplotlib.figure import Figure

    with house_style():
        columns = len(vision)
        figure = Figure(figsize=(2.0 * columns, 5.6), layout="constrained")
        axes: Any = figure.subplots(3, columns, squeeze=False)
        data: dict[str, list[Any]] = {}
        for column, (label, stream) in enumerate(vision.items()):
            axes[0, column].imshow(_two_colours(stream), interpolation="nearest")
            axes[0, column].set_title(f"{label}\n{_FRAME_TEXT}", fontsize=9)
            _bare(axes[0, column])
            _draw_events(axes[1, column], stream)
            axes[1, column].set_ylim(stream.sensor_size[1], -1)
            axes[1, column].set_xlim(0, stream.duration_us / 1e3)
            data[f"vision {label}_t"] = stream.events["t"].tolist()
        for column, (label, stream) in enumerate(audio.items()):
            axis = axes[2, column]
            axis.scatter(
                stream.events["t"] / 1e3, stream.events["x"], s=1.0, color=ORANGE, linewidths=0
            )
            axis.set_ylim(-1, stream.sensor_size[0])
            axis.set_xlim(0, stream.duration_us / 1e3)
            axis.set_title(label, fontsize=9)
            axis.set_xlabel("time (ms)")
            data[f"audio {label}_t"] = stream.events["t"].tolist()
        axes[1, 0].set_ylabel("pixel row")
        axes[2, 0].set_ylabel("cochlea channel")
        for row in axes[1:]:
            for axis in row[1:]:
                axis.tick_params(labelleft=False)
        figure.suptitle(title, fontsize=10)
        return save_figure(figure, folder, name, data)


def _draw_events(axis: Any, stream: EventStream) -> None:
    """Time against row, ON and OFF apart."""
    for on, color, label in ((True, VERMILION, "ON (brighter)"), (False, BLUE, "OFF (darker)")):
        chosen = stream.events[stream.events["p"] == on]
        axis.scatter(chosen["t"] / 1e3, chosen["y"], s=0.6, color=color, label=label, linewidths=0)


def _two_colours(stream: EventStream) -> FloatArray:
    """Red and blue with the number of ON and OFF events in a short time, white for none."""
    width, height, _ = stream.sensor_size
    counts = np.zeros((2, height, width))
    start, end = np.searchsorted(stream.events["t"], _FRAME_US)
    events = stream.events[start:end]
    np.add.at(counts, (events["p"].astype(np.int64), events["y"], events["x"]), 1)
    share = counts / 3.0  # full colour from three events on
    picture = np.ones((height, width, 3))
    for level, color in zip(share[::-1], (VERMILION, BLUE), strict=True):
        rgb = np.array([int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        picture -= np.minimum(level, 1.0)[..., None] * (1 - rgb)
    return np.clip(picture, 0.0, 1.0)


def _bare(axis: Any) -> None:
    """No ticks."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
