"""Video files in front of the pixel array: frame by frame, at the container's own times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensors.dvs import DvsPixelArray
from spikefuse._types import FloatArray
from spikefuse.errors import DataError
from spikefuse.events import EventStream

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# What `spikefuse data convert` takes for a video; libav knows many more.
VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
# Luminance of linear red, green and blue light, primaries of sRGB (ITU-R BT.709-6, item 3.2).
_LUMINANCE = (0.2126, 0.7152, 0.0722)
# Transfer characteristics of high dynamic range (ITU-T H.273, table 3): PQ and HLG.
_HIGH_DYNAMIC_RANGE = (16, 18)


@dataclass(frozen=True, eq=False)
class VideoPicture:
    """One decoded frame.

    Parameters
    ----------
    time_us : int
        From the first frame's time stamp on.
    light : float array [H, W]
        Linear intensity, 0 to 255.
    """

    time_us: int
    light: FloatArray


def video_frames(path: Path | str, size: tuple[int, int] | None = None) -> Iterator[VideoPicture]:
    r"""Decode the first video stream of a file, one frame in memory at a time.

    Times are the container's presentation times, which need not be equally spaced. Colours become
    light by the inverse of the sRGB curve (IEC 61966-2-1), then luminance by the weights of BT.709:

    .. math:: c_{lin} = c / 12.92 \ (c \le 0.04045), \ ((c + 0.055) / 1.055)^{2.4} \text{ above},
              \quad I = 255 (0.2126 R + 0.7152 G + 0.0722 B)

    Parameters
    ----------
    path : Path or str
    size : (W, H), optional
        Scale to this size by averaging areas. The averages are those of the coded values, not of
        the light, so edges come out a little too dark.

    Yields
    ------
    VideoPicture

    Raises
    ------
    DataError
        If PyAV is not installed, or the file is missing, no video, damaged, truncated as far as its
        container can tell, of high dynamic range, or its times do not increase.

    Notes
    -----
    Real cameras and codecs do not follow the curve exactly, and what they clipped is lost. A tag
    that asks for a rotation is not followed.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} must be a file, got none there")
    try:
        import av
    except ImportError as error:
        raise DataError(
            f"{path.name}: videos need PyAV, which is not installed: pip install 'spikefuse[io]'"
        ) from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path} must hold a video stream, got none")
            yield from _decoded(path, container, size)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a whole video file, got {error}") from error


def encode_video(
    path: Path | str,
    array: DvsPixelArray | None = None,
    size: tuple[int, int] | None = None,
    n_between: int = 0,
    modality: str = "vision",
) -> Iterator[EventStream]:
    r"""Events of a video, a part for each frame interval; memory does not grow with its length.

    Parameters
    ----------
    path : Path or str
    array : DvsPixelArray, optional
    size : (W, H), optional
        See `video_frames`.
    n_between : int
        Frames put between two of the video, where the log of the light (the pixels' own, with
        their dark level) is linear in time. The pixels interpolate so by themselves, so this
        changes nothing unless they have a limited bandwidth, which acts once a frame.
    modality : str

    Yields
    ------
    EventStream
        Events after the last part's, on the clock of the first frame.

    Raises
    ------
    DataError
        As `video_frames`, or if the video has fewer than two frames.

    Notes
    -----
    No interpolation brings back what happened between two frames: a thing that moves by more than
    about a pixel in a frame interval fades from place to place instead of moving, its events are
    spread over the interval, and flicker above half the frame rate is lost or aliased. Film such
    things at a higher rate. Noise of 8-bit coding and block edges makes events of its own where
    the picture is dark: thresholds below 0.2 show it.
    """
    array = array if array is not None else DvsPixelArray()
    if n_between != int(n_between) or n_between < 0:
        raise ValueError(f"n_between must be a whole number >= 0, got {n_between}")
    pictures = video_frames(path, size)
    before = next(pictures, None)
    after = next(pictures, None)
    if before is None or after is None:
        raise DataError(f"{path} must hold at least 2 frames, got {int(before is not None)}")
    state = array.start(before.light, before.time_us)
    while after is not None:
        times = _times_between(path, before.time_us, after.time_us, int(n_between))
        frames = _between(before.light, after.light, int(n_between), array.params.dark_level)
        events, state = array.advance(frames, times, state, modality)
        yield events
        before, after = after, next(pictures, None)


def read_video(
    path: Path | str,
    array: DvsPixelArray | None = None,
    size: tuple[int, int] | None = None,
    n_between: int = 0,
    modality: str = "vision",
) -> EventStream:
    """All events of a video as one stream; see `encode_video`.

    Parameters
    ----------
    path, array, size, n_between, modality
        As of `encode_video`.

    Returns
    -------
    EventStream
        Of sensor size ``(W, H, 2)``; time 0 is the first frame's.
    """
    parts = list(encode_video(path, array, size, n_between, modality))
    events = np.concatenate([part.events for part in parts])
    last = parts[-1]
    return EventStream.trusted(events, last.sensor_size, last.duration_us, modality)


def _decoded(path: Path, container: Any, size: tuple[int, int] | None) -> Iterator[VideoPicture]:
    """Frames in the order of their times, checked."""
    stream = container.streams.video[0]
    first: Fraction | None = None
    last_us, longest_us, end = -1, 0, Fraction(0)
    for frame in container.decode(stream):
        if frame.is_corrupt:
            raise DataError(f"{path} must be a whole video file, got a damaged frame")
        if frame.color_trc in _HIGH_DYNAMIC_RANGE:
            raise DataError(
                f"{path} must be of standard dynamic range, got transfer {frame.color_trc}"
            )
        if frame.pts is None or frame.time_base is None:
            raise DataError(f"{path} must hold a time for each frame, got one without")
        time = frame.pts * frame.time_base
        first = time if first is None else first
        time_us = round((time - first) * 1_000_000)
        if time_us <= last_us:
            raise DataError(f"{path} must hold times that increase, got {last_us}, {time_us} us")
        if last_us >= 0:
            longest_us = max(longest_us, time_us - last_us)
        end = time + (frame.duration or 0) * frame.time_base
        last_us = time_us
        yield VideoPicture(time_us, _light(frame, size))
    _check_end(path, container, stream, float(end), longest_us * 1e-6)


def _check_end(path: Path, container: Any, stream: Any, end_s: float, longest_s: float) -> None:
    """Whether the last frame is where the container says that the video ends."""
    if stream.duration is not None:
        start, base = stream.start_time or 0, stream.time_base
        told_s = float((start + stream.duration) * base)
    elif container.duration is not None and len(container.streams) == 1:
        # From the first frame on or from 0: Matroska means the latter, and neither may be too much.
        told_s = container.duration * 1e-6
    else:
        return
    # Containers round, and a last frame may be as long as the longest one.
    if told_s - end_s > 2 * longest_s + 0.002:
        raise DataError(
            f"{path} must last {told_s:.3f} s as it says, got {end_s:.3f} s of frames: truncated?"
        )


def _light(frame: VideoFrame, size: tuple[int, int] | None) -> FloatArray:
    """Linear intensity of one frame, 0 to 255."""
    deep = max(part.bits for part in frame.format.components) > 8
    width, height = size if size is not None else (frame.width, frame.height)
    colours = frame.to_ndarray(
        format="rgb48le" if deep else "rgb24", width=width, height=height, interpolation="AREA"
    )
    return light_of(colours)


def light_of(colours: np.ndarray[Any, Any]) -> FloatArray:
    """Linear intensity [H, W], 0 to 255, of coded red, green and blue [H, W, 3], 8 or 16 bits."""
    curves = _curves(16 if colours.dtype.itemsize == 2 else 8)
    red, green, blue = (curve[colours[..., i]] for i, curve in enumerate(curves))
    light: FloatArray = red + green
    light += blue
    return np.clip(light, 0.0, 255.0, out=light)


@cache
def _curves(bits: int) -> FloatArray:
    """Share of the intensity that each coded value of red, green and blue gives, [3, 2 ** bits]."""
    coded = np.arange(2**bits) / (2**bits - 1)
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    curves: FloatArray = 255.0 * np.array(_LUMINANCE)[:, None] * linear
    return curves


def _between(before: FloatArray, after: FloatArray, n: int, dark_level: float) -> FloatArray:
    """Frames after ``before`` up to ``after``, [n + 1, H, W], with a linear log."""
    if n == 0:
        return after[None]
    start, end = np.log(before + dark_level), np.log(after + dark_level)
    share = (np.arange(1, n + 1) / (n + 1))[:, None, None]
    inner = np.exp(start + share * (end - start)) - dark_level
    return np.concatenate([np.clip(inner, 0.0, 255.0), after[None]])


def _times_between(path: Path | str, start_us: int, end_us: int, n: int) -> np.ndarray[Any, Any]:
    """Times of these frames."""
    times = start_us + (end_us - start_us) * np.arange(1, n + 2) // (n + 1)
    if times[0] <= start_us:
        raise DataError(
            f"n_between must leave a microsecond between frames of {path}, got {n} in "
            f"{end_us - start_us} us"
        )
    return times
