"""Event sets in HDF5 files: SHD and SSC (Heidelberg layout) and N-TIDIGITS18.

Read here and not through Tonic, whose classes for SHD and SSC open the file anew for every item and
never close it, and whose class for N-TIDIGITS18 cannot be pickled into a worker.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from spikefuse._types import StructuredArray
from spikefuse.errors import DataError


class Hdf5File:
    """A read-only HDF5 file that each process opens once and keeps open.

    Pickles as its path, so a spawned worker opens its own; a forked one does too, since a handle
    must not be shared between processes.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError
        If the file is missing, damaged or truncated, or lacks what is asked of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._owner = -1
        self._file: Any = None
        self._found: dict[str, Any] = {}

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, state: Path) -> None:
        self.__init__(state)  # type: ignore[misc]

    def __getitem__(self, name: str) -> Any:
        """The dataset or group ``name``."""
        if self._owner != os.getpid():
            self._open()
        if name not in self._found:
            try:
                self._found[name] = self._file[name]
            except (KeyError, OSError) as error:
                raise DataError(f"{self.path} must hold {name!r}, got: {error}") from error
        return self._found[name]

    def close(self) -> None:
        """Close the file; it opens again when something is read."""
        if self._file is not None and self._owner == os.getpid():
            self._file.close()
        self._owner, self._file, self._found = -1, None, {}

    def _open(self) -> None:
        import h5py

        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise DataError(f"{self.path} must be a whole HDF5 file, got: {error}") from error
        self._owner, self._found = os.getpid(), {}


def texts(values: Any) -> list[str]:
    """Strings of a dataset, which holds bytes or text."""
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values[()]]


class HeidelbergReader:
    """Events of SHD and SSC.

    ``spikes/times`` holds seconds, in float16 in the published files: the grid is 0.24 ms from
    0.25 s and 0.49 ms from 0.5 s on, so nothing here is precise to the microsecond.

    Parameters
    ----------
    file : Hdf5File
    """

    def __init__(self, file: Hdf5File) -> None:
        self.file = file
        self.files: tuple[Path, ...] = (file.path,)
        self.parameters: dict[str, Any] = {}

    def __call__(self, position: int) -> tuple[StructuredArray, int | None]:
        return _events(
            self.file["spikes/times"][position], self.file["spikes/units"][position], position
        ), None


class TidigitsReader:
    """Events of N-TIDIGITS18, one dataset of addresses and one of seconds for each recording.

    Parameters
    ----------
    file : Hdf5File
    part : str
        "train" or "test".
    ids : tuple of str
        Names of the recordings.
    """

    def __init__(self, file: Hdf5File, part: str, ids: tuple[str, ...]) -> None:
        self.file, self.part, self.ids = file, part, ids
        self.files: tuple[Path, ...] = (file.path,)
        self.parameters: dict[str, Any] = {"part": part, "ids": ids}

    def __call__(self, position: int) -> tuple[StructuredArray, int | None]:
        name = self.ids[position]
        times = self.file[f"{self.part}_timestamps"][name][()]
        return _events(times, self.file[f"{self.part}_addresses"][name][()], name), None


def _events(times_s: Any, channels: Any, name: object) -> StructuredArray:
    """Seconds and channels as a structured array in microseconds, checked for length."""
    if times_s.shape != channels.shape or times_s.ndim != 1:
        raise DataError(
            f"recording {name} must have one channel for each time, got {channels.shape} "
            f"channels and {times_s.shape} times"
        )
    events = np.empty(len(times_s), [("t", np.float64), ("x", channels.dtype)])
    # In float64, before the product: float16 ends at 65504.
    events["t"] = times_s.astype(np.float64) * 1e6
    events["x"] = channels
    return events
