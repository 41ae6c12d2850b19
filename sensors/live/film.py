"""Films through the streaming retina: video files, folders of pictures, arrays of frames."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sensors.dvs import DvsPixelArray
from sensors.video import VideoPicture, light_of, video_frames
from spikefuse.errors import DataError
from spikefuse.runtime.buffer import Chunk

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
FILM_SUFFIXES = (".gif", ".npy")


class FilmSource:
    """Frames in front of the pixel array, an interval at a time.

    Parameters
    ----------
    path : Path or str
        A video or GIF (PyAV), a folder of PNG or JPEG pictures in the order of their names
        (Pillow), or a ``.npy`` array of linear intensity ``[T, H, W]``, 0 to 255.
    modality : str
    array : DvsPixelArray, optional
    size : (W, H), optional
        Scale to it; arrays must have it.
    fps : float
        Frames a second of what does not hold its times.

    Raises
    ------
    DataError
        If the path is no film, while it is read, too.
    """

    live = False

    def __init__(
        self,
        path: Path | str,
        modality: str = "vision",
        array: DvsPixelArray | None = None,
        size: tuple[int, int] | None = None,
        fps: float = 30.0,
    ) -> None:
        self.path, self.modality = Path(path), modality
        if not self.path.exists():
            raise DataError(f"{path} must be a film, got none there")
        if not fps > 0:
            raise ValueError(f"fps must be positive, got {fps}")
        self._array = array if array is not None else DvsPixelArray()
        self._size, self._fps = size, fps

    def chunks(self) -> Iterator[Chunk]:
        """The events of each interval between two frames."""
        frames = film_frames(self.path, self._size, self._fps)
        first = next(frames, None)
        if first is None:
            raise DataError(f"{self.path} must hold at least 2 frames, got 0")
        state, n = self._array.start(first.light, first.time_us), 1
        for frame in frames:
            times = np.array([frame.time_us], dtype=np.int64)
            stream, state = self._array.advance(frame.light[None], times, state, self.modality)
            n += 1
            yield Chunk(self.modality, stream.events, frame.time_us)
        if n < 2:
            raise DataError(f"{self.path} must hold at least 2 frames, got {n}")

    def close(self) -> None:
        """Files close with the iterator."""


def film_frames(
    path: Path, size: tuple[int, int] | None = None, fps: float = 30.0
) -> Iterator[VideoPicture]:
    """Frames of a film of any kind, one in memory at a time but for arrays; see `FilmSource`."""
    if path.is_dir():
        yield from _pictures(path, size, fps)
    elif path.suffix.lower() == ".npy":
        yield from _array_frames(path, size, fps)
    else:
        yield from video_frames(path, size)


def _pictures(folder: Path, size: tuple[int, int] | None, fps: float) -> Iterator[VideoPicture]:
    from PIL import Image, UnidentifiedImageError

    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _PICTURES)
    for k, path in enumerate(paths):
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"{path} must be a picture, got {error}") from error
        if size is not None and picture.size != size:
            picture = picture.resize(size, Image.Resampling.BOX)
        yield VideoPicture(round(k * 1e6 / fps), light_of(np.asarray(picture)))


def _array_frames(path: Path, size: tuple[int, int] | None, fps: float) -> Iterator[VideoPicture]:
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} must be a numpy array, got {error}") from error
    if frames.ndim != 3 or (size is not None and frames.shape[:0:-1] != size):
        raise DataError(
            f"{path} must hold frames [T, H, W] of size {size or 'any'}, got {frames.shape}"
        )
    for k, frame in enumerate(frames):
        yield VideoPicture(round(k * 1e6 / fps), np.asarray(frame, dtype=np.float64))
