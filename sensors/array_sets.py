"""Readers of sets that are a folder of files for each class: POKER-DVS arrays and AEDAT 4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spikefuse._types import StructuredArray
from spikefuse.errors import DataError


class ArrayReader:
    """Plain ``(N, C)`` arrays of numbers in ``.npy`` files.

    Parameters
    ----------
    paths : sequence of Path
    columns : tuple of str
        Field of each column, times in microseconds.
    """

    def __init__(self, paths: Sequence[Path], columns: tuple[str, ...]) -> None:
        self.paths = self.files = tuple(paths)
        self.columns = columns
        self.parameters = {"columns": columns}

    def __call__(self, position: int) -> tuple[StructuredArray, int | None]:
        values = np.load(self.paths[position], allow_pickle=False)
        if values.ndim != 2 or values.shape[1] != len(self.columns):
            raise DataError(
                f"array must be (N, {len(self.columns)}) of {', '.join(self.columns)}, "
                f"got shape {values.shape}"
            )
        events = np.empty(len(values), [(name, values.dtype) for name in self.columns])
        for index, name in enumerate(self.columns):
            events[name] = values[:, index]
        return events, None


class EventFileReader:
    """Event files of a format that `sensors.files` reads.

    Parameters
    ----------
    paths : sequence of Path
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = self.files = tuple(paths)
        self.parameters: dict[str, str] = {}

    def __call__(self, position: int) -> tuple[StructuredArray, int | None]:
        from sensors.files import read_raw

        raw = read_raw(self.paths[position])
        return raw.events, raw.duration_us


def class_files(folder: Path, classes: Sequence[str], suffix: str) -> list[tuple[int, Path]]:
    """``folder/<class>/*suffix``, sorted by path, with each file's label.

    Raises
    ------
    DataError
        If a folder with such files is none of the classes: its recordings would be lost.
    """
    found: list[tuple[int, Path]] = []
    for path in sorted(folder.glob(f"*/*{suffix}")):
        if path.parent.name not in classes:
            raise DataError(
                f"{folder} must hold folders named {list(classes)}, got {path.parent.name!r}"
            )
        found.append((classes.index(path.parent.name), path))
    return found
