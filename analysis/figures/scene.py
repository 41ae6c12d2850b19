"""A timed scene on one clock: frames, bare spikes with their causes, and the sensors' events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figures.style import BLUE, GREY, ORANGE, VERMILION, house_style, save_figure
from spikefuse._types import FloatArray, Int64Array
from spikefuse.events import EventStream, MultiStream

_COLORS = {"vision": BLUE, "audio": ORANGE}
_SENSORS = {"vision": "retina\npixel column", "audio": "cochlea\nchannel"}
_FEW = 24


@dataclass(frozen=True, eq=False)
class ScenePicture:
    """What one sample's figure shows.

    Parameters
    ----------
    title : str
    bare, sensed : MultiStream
        Spikes before and after the sensors, of ``vision`` and ``audio``.
    cause : mapping of modality to int64 array
        Source event of each bare spike, negative for noise.
    source_us : mapping of modality to int64 array
        Time of each source event.
    film : float array [F, H, W]
        Intensity, 0 to 255.
    film_us : int64 array [F]
    """

    title: str
    bare: MultiStream
    sensed: MultiStream
    cause: Mapping[str, Int64Array]
    source_us: Mapping[str, Int64Array]
    film: FloatArray
    film_us: Int64Array


def draw_scene(picture: ScenePicture, folder: Path, name: str, n_frames: int = 8) -> list[Path]:
    """Draw one sample; PNG, SVG and CSV as `save_figure` writes them.

    Bare spikes that a source event evoked are upright strokes in the modality's colour, noise is
    grey crosses. Triangles at the top of a panel are the source events, hollow where no bare spike
    came of them; where they are few, thin lines carry them through all panels.

    Parameters
    ----------
    picture : ScenePicture
    folder : Path
    name : str
        Of the files.
    n_frames : int
        Pictures of the film.
    """
    from matplotlib.figure import Figure

    with house_style():
        # Fixed margins: a labelled panel of one channel sends the constrained layout astray.
        figure = Figure(figsize=(7.0, 6.4))
        grid = figure.add_gridspec(
            5,
            n_frames,
            height_ratios=(0.9, 0.9, 0.9, 1.3, 1.3),
            left=0.1,
            right=0.98,
            top=0.91,
            bottom=0.12,
            hspace=0.22,
        )
        for k, at in enumerate(_frames(picture, n_frames)):
            frame: Any = figure.add_subplot(grid[0, k])
            frame.imshow(picture.film[at], cmap="gray", vmin=0, vmax=255, aspect="auto")
            frame.set_title(f"{picture.film_us[at] / 1000:.0f} ms", fontsize=7)
            frame.set_xticks([])
            frame.set_yticks([])
        first: Any = None
        for row, modality in enumerate(("vision", "audio")):
            axis = figure.add_subplot(grid[1 + row, :], sharex=first)
            first = first if first is not None else axis
            _draw_bare(axis, picture, modality)
            axis.set_ylabel(f"{modality}\nbare channel", fontsize=8)
            axis.tick_params(labelbottom=False)
        for row, modality in enumerate(("vision", "audio")):
            axis = figure.add_subplot(grid[3 + row, :], sharex=first)
            _draw_sensed(axis, picture.sensed[modality])
            _draw_lines(axis, picture)
            ears = picture.sensed[modality].sensor_size[1]
            two = modality == "audio" and ears == 2
            axis.set_ylabel(
                "cochlea channel\nleft, right ear" if two else _SENSORS[modality], fontsize=8
            )
            axis.tick_params(labelbottom=row == 1)
        axis.set_xlabel("time (ms)")
        axis.set_xlim(0, picture.bare.duration_us / 1000)
        figure.legend(handles=_legend(), loc="lower center", ncols=5, fontsize=7, handletextpad=0.3)
        figure.align_ylabels()
        figure.suptitle(picture.title, fontsize=9.5, x=0.02, ha="left")
        return save_figure(figure, folder, name, _columns(picture))


def _frames(picture: ScenePicture, n_frames: int) -> Iterator[int]:
    """Of each of ``n_frames`` equal spans the frame furthest from the first: flashes are short."""
    change = np.abs(picture.film - picture.film[0]).mean(axis=(1, 2))
    inside = np.flatnonzero(picture.film_us <= picture.bare.duration_us)
    for span in np.array_split(inside, n_frames):
        yield int(span[change[span].argmax()])


def _draw_bare(axis: Any, picture: ScenePicture, modality: str) -> None:
    stream, cause = picture.bare[modality], picture.cause[modality]
    time_ms, channel = stream.events["t"] / 1000, stream.events["x"]
    evoked = cause >= 0
    axis.plot(time_ms[evoked], channel[evoked], "|", color=_COLORS[modality], markersize=8)
    axis.plot(time_ms[~evoked], channel[~evoked], "x", color=GREY, markersize=3.5)
    top = stream.sensor_size[0] - 0.1
    sources = picture.source_us[modality] / 1000
    answered = np.isin(np.arange(len(sources)), cause)
    for mask, face in ((answered, VERMILION), (~answered, "none")):
        axis.plot(
            sources[mask],
            np.full(int(mask.sum()), top),
            "v",
            color=VERMILION,
            markerfacecolor=face,
            markersize=4,
            clip_on=False,
        )
    axis.set_ylim(-0.6, top)
    n_channels = stream.sensor_size[0]
    axis.set_yticks(range(0, n_channels, max(1, n_channels // 4)))
    _draw_lines(axis, picture)


def _draw_lines(axis: Any, picture: ScenePicture) -> None:
    """Source times of both modalities, solid for vision and dashed for audio, where few."""
    if sum(len(times) for times in picture.source_us.values()) > _FEW:
        return
    for modality, style in (("vision", "-"), ("audio", "--")):
        for time_us in picture.source_us[modality]:
            axis.axvline(time_us / 1000, color=VERMILION, linewidth=0.7, linestyle=style, zorder=0)


def _draw_sensed(axis: Any, stream: EventStream) -> None:
    """Events by column or channel; the retina's ON and OFF events apart, and two ears."""
    events, n_rows = stream.events, stream.sensor_size[0]
    if stream.sensor_size[2] == 1:
        n_ears = stream.sensor_size[1]
        place = events["x"] + n_rows * events["y"].astype(np.int64)
        axis.plot(events["t"] / 1000, place, "|", color=ORANGE, markersize=3)
        for ear in range(1, n_ears):  # the left one below
            axis.axhline(ear * n_rows - 0.5, color=GREY, linewidth=0.5)
        n_rows *= n_ears
    else:
        for on, color in ((True, BLUE), (False, "black")):
            mine = events["p"] == on
            axis.plot(events["t"][mine] / 1000, events["x"][mine], "|", color=color, markersize=3)
    axis.set_ylim(-0.6, n_rows - 0.4)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(marker: str, color: str, label: str, **options: Any) -> Any:
        return Line2D([], [], linestyle="none", marker=marker, color=color, label=label, **options)

    return [
        mark("v", VERMILION, "source event (hollow: no spike came)", markersize=4),
        mark("|", BLUE, "evoked; retina ON"),
        mark("|", "black", "retina OFF"),
        mark("|", ORANGE, "evoked; cochlea"),
        mark("x", GREY, "noise", markersize=4),
    ]


def _columns(picture: ScenePicture) -> dict[str, Any]:
    """What is drawn, but for the frames."""
    columns: dict[str, Any] = {}
    for modality in ("vision", "audio"):
        columns[f"{modality}_source_us"] = picture.source_us[modality].tolist()
        for field in ("t", "x"):
            columns[f"{modality}_bare_{field}"] = picture.bare[modality].events[field].tolist()
        columns[f"{modality}_cause"] = picture.cause[modality].tolist()
        for field in ("t", "x"):
            columns[f"{modality}_sensed_{field}"] = picture.sensed[modality].events[field].tolist()
    return columns
