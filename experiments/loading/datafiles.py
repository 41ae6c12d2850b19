"""``spikefuse data``: look into event files, convert them, play them in the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikefuse.errors import ConfigError, DataError

if TYPE_CHECKING:
    from sensors.files import FileSummary
    from spikefuse.events import EventStream, SensorSize

data = typer.Typer(
    name="data",
    help="Event files (info, convert, play) and public data sets (list, download, gallery).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FileArgument = Annotated[Path, typer.Argument(help=".npz .h5 .bin .bs2 .raw .aedat4 .es")]
SizeOption = Annotated[
    str | None,
    typer.Option("--size", help="Sensor as WxHxP, for files that do not say it: 346x260x2."),
]
SortOption = Annotated[bool, typer.Option("--sort", help="Bring events into the order of time.")]

# What a cell of the terminal shows: nothing, OFF, ON, both.
_GLYPHS = " -+#"


@data.command()
def info(
    file: FileArgument,
    size: SizeOption = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Also write it here.")] = None,
) -> None:
    """Print counts, duration, rates, ON share and the checks of order and range."""
    from sensors.files import read_raw, summarise

    summary = summarise(read_raw(file, _size_of(size)))
    for name, value in _lines(summary):
        typer.echo(f"{name:<18} {value}")
    if json_path is not None:
        from experiments.files import write_json

        write_json(json_path, json.loads(json.dumps(asdict(summary))))
    if not summary.is_sound:
        raise typer.Exit(1)


@data.command()
def convert(
    file: FileArgument,
    out: Annotated[Path, typer.Argument(help="The new file: .npz, .h5, .bin or .bs2.")],
    size: SizeOption = None,
    sort: SortOption = False,
    rebase: Annotated[
        bool, typer.Option("--rebase", help="Move the first event to time 0.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the new file.")] = False,
) -> None:
    """Write the events of one file into another format, then read them back and compare.

    A video (.mp4, .mkv, .mov, .webm, .avi) becomes the events that our pixel model has of it, at
    the size of --size.
    """
    from sensors.files import read_events, write_events
    from sensors.transforms import crop_time
    from sensors.video import VIDEO_SUFFIXES, read_video

    if out.exists() and not force:
        raise ConfigError(f"{out} must not exist, got a file; --force overwrites it")
    if file.suffix.lower() in VIDEO_SUFFIXES:
        wanted = _size_of(size)
        stream = read_video(file, size=wanted[:2] if wanted is not None else None)
    else:
        stream = read_events(file, _size_of(size), sort)
    if rebase and len(stream):
        stream = crop_time(stream, int(stream.events["t"][0]), stream.duration_us)
    write_events(out, stream)
    keeps_all = out.suffix.lower() in (".npz", ".h5")
    again = read_events(out, None if keeps_all else stream.sensor_size)
    if again.events.tobytes() != stream.events.tobytes():
        raise DataError(f"{out} must hold the events of {file}, got others")
    typer.echo(f"{len(stream)} events: {file} -> {out}")
    if again.duration_us != stream.duration_us:
        typer.echo(
            f"the format holds no duration: {stream.duration_us} us became {again.duration_us} us"
        )


@data.command()
def play(
    file: FileArgument,
    size: SizeOption = None,
    sort: SortOption = False,
    frame_ms: Annotated[float, typer.Option("--frame-ms", help="Time that a frame shows.")] = 33.0,
    speed: Annotated[
        float, typer.Option("--speed", help="1 is real time, 0.1 slow motion, 0 without waiting.")
    ] = 1.0,
    columns: Annotated[int, typer.Option("--columns", help="Width of the picture.")] = 64,
) -> None:
    """Show the events as frames of characters: + is ON, - is OFF, # is both."""
    from sensors.files import read_events

    for name, value, fits in (
        ("--frame-ms", frame_ms, frame_ms >= 0.001),
        ("--speed", speed, speed >= 0),
        ("--columns", columns, columns >= 1),
    ):
        if not fits:
            raise ConfigError(f"{name} must be positive (--speed also 0), got {value}")
    stream = read_events(file, _size_of(size), sort)
    width, height, _ = stream.sensor_size
    n_columns = min(columns, width)
    # A character is about twice as high as wide.
    n_rows = max(1, min(height, round(height * n_columns / width / 2)))
    began, first_us = time.monotonic(), None
    for start_us, text in pictures(stream, round(frame_ms * 1e3), n_columns, n_rows):
        first_us = start_us if first_us is None else first_us
        if speed > 0:
            due = began + (start_us - first_us) * 1e-6 / speed
            time.sleep(max(0.0, due - time.monotonic()))
        typer.echo(f"{start_us / 1e3:.1f} ms\n{text}")


def pictures(
    stream: EventStream, frame_us: int, columns: int, rows: int
) -> Iterator[tuple[int, str]]:
    """Yield the start of each frame in microseconds and its picture, from the first event on.

    Parameters
    ----------
    stream : EventStream
    frame_us : int
    columns, rows : int
        At most the sensor's.
    """
    from sensors.transforms import crop_time, downsample, time_frames

    small = downsample(stream, columns, rows)
    # Cameras count from when they were switched on, or from 1970: begin where something happens.
    first_us = int(stream.events["t"][0]) // frame_us * frame_us if len(stream) else 0
    for start_us in range(first_us, max(stream.duration_us, 1), frame_us):
        end_us = min(start_us + frame_us, stream.duration_us)
        frame = (
            time_frames(crop_time(small, start_us, end_us), frame_us)[0] > 0
        )  # [P, rows, columns]
        shown = frame[0] + 2 * frame[1] if len(frame) == 2 else 2 * frame[0]
        yield start_us, "\n".join("".join(_GLYPHS[cell] for cell in row) for row in shown.tolist())


def _lines(summary: FileSummary) -> list[tuple[str, str]]:
    """The summary in words."""
    width, height, polarities = summary.sensor_size
    pixels = width * height
    share = "-" if summary.on_share is None else f"{summary.on_share:.3f}"
    rates = [
        "-" if rate is None else f"{rate:.6g}{unit}"
        for rate, unit in (
            (summary.rate_hz, " events/s"),
            (summary.rate_per_address_hz, " Hz per address"),
        )
    ]
    span = "-" if summary.first_us is None else f"{summary.first_us} to {summary.last_us} us"
    return [
        ("events", str(summary.n_events)),
        ("modality", summary.modality),
        ("sensor (W, H, P)", f"{width} x {height} x {polarities}"),
        ("duration", f"{summary.duration_us} us"),
        ("event times", span),
        ("rate", ", ".join(rates)),
        ("ON share", share),
        ("active pixels", f"{summary.n_active} of {pixels}"),
        ("order", _verdict(summary.n_backward, "events before the one they follow; try --sort")),
        ("range", _verdict(summary.n_outside, "events outside the sensor or the duration")),
        *(("skipped", f"{n} {what}") for what, n in summary.skipped.items()),
    ]


def _verdict(n_bad: int, what: str) -> str:
    """One check."""
    return "ok" if n_bad == 0 else f"BAD: {n_bad} {what}"


def _size_of(text: str | None) -> SensorSize | None:
    """``WxHxP`` as numbers."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--size must be WxHxP, such as 346x260x2, got {text!r}")
    width, height, polarities = (int(part) for part in parts)
    if min(width, height, polarities) < 1 or max(width, height) > 32767 or polarities > 2:
        raise ConfigError(f"--size must be up to 32767x32767x2 and positive, got {text!r}")
    return width, height, polarities
