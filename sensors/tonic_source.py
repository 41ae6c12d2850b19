"""Recordings read through Tonic's own data set classes (the only module that imports Tonic)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sensors.recorded import DAMAGE
from sensors.recordings import Recording
from spikefuse._types import StructuredArray
from spikefuse.errors import DataError, EventError
from spikefuse.events import EventStream

_NMNIST_EVENT_BYTES = 5
_SMNIST_PIXELS = 28 * 28


class TonicReader:
    """One part of a data set as Tonic's class reads it, offline, in a fixed order.

    The class's completeness check is passed over, so a subset loads and nothing is ever downloaded.
    Tonic lists some folders in the file system's order; here recordings are sorted by path. Each
    process makes its own Tonic object: pickling keeps the arguments alone.

    Parameters
    ----------
    name : str
        Class in ``tonic.datasets``.
    root : Path
        Tonic's ``save_to``.
    options : mapping
        Passed on to the class.

    Raises
    ------
    DataError
        If the files do not have the layout that the class expects.
    """

    def __init__(self, name: str, root: Path, options: Mapping[str, Any]) -> None:
        self.name, self.root, self.options = name, Path(root), dict(options)
        self._dataset: Any = None
        self._order: list[int] = []
        self._expected: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_dataset": None, "_order": [], "_expected": len(self)}

    @property
    def dataset(self) -> Any:
        """Tonic's object of this process."""
        if self._dataset is None:
            try:
                dataset = offline(self.name, self.root, self.options)
            except DAMAGE as error:
                raise DataError(
                    f"{self.root} must hold files as tonic.datasets.{self.name} expects them, "
                    f"got {type(error).__name__}: {error}"
                ) from error
            paths = self._paths(dataset)
            if self._expected not in (None, len(paths)):
                raise DataError(
                    f"{self.root} must not change while it is read, got {len(paths)} recordings "
                    f"of {self.name} after {self._expected}"
                )
            self._order = sorted(range(len(paths)), key=paths.__getitem__)
            self._dataset = dataset
        return self._dataset

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def sources(self) -> list[str]:
        """Path of each recording below the set's folder, or its number where one file has all."""
        paths = self._paths(self.dataset)
        return [paths[i] for i in self._order]

    @property
    def files(self) -> list[Path]:
        """The files that hold the recordings, in the order of the recordings."""
        dataset = self.dataset
        if dataset.data:
            return [Path(dataset.data[i]) for i in self._order]
        return [path for path in sorted((self.root / "smnist").iterdir()) if path.is_file()]

    @property
    def parameters(self) -> dict[str, Any]:
        """What else shapes them."""
        return {"name": self.name, "options": self.options}

    @property
    def labels(self) -> list[int]:
        """Class of each recording."""
        dataset = self.dataset
        found = dataset.label_data if self.name == "SMNIST" else dataset.targets
        return [int(found[i]) for i in self._order]

    def field(self, name: str) -> list[Any]:
        """An attribute that Tonic keeps for each recording, such as ``users``."""
        values = getattr(self.dataset, name)
        return [values[i] for i in self._order]

    def __call__(self, position: int) -> tuple[StructuredArray, int | None]:
        dataset = self.dataset
        if self.name == "NMNIST":
            _check_whole(Path(dataset.data[self._order[position]]))
        events, _ = dataset[self._order[position]]
        if self.name != "SMNIST":
            return events, None
        # Tonic's duplicates of one pixel follow one another as t, t + dt, t, t + dt.
        events = events[np.argsort(events["t"], kind="stable")]
        steps = _SMNIST_PIXELS * (2 if dataset.duplicate else 1)
        return events, round(steps * dataset.dt)

    @staticmethod
    def _paths(dataset: Any) -> list[str]:
        """What to sort by: a path, or a number of fixed width."""
        if not dataset.data:
            return [f"{i:06d}" for i in range(len(dataset))]
        return [Path(p).relative_to(dataset.location_on_system).as_posix() for p in dataset.data]


def download(name: str, root: Path, options: Mapping[str, Any]) -> None:
    """Let Tonic fetch a data set into ``root``, unless all of it is there.

    Raises
    ------
    DataError
        If the download fails.
    """
    import tonic

    try:
        getattr(tonic.datasets, name)(save_to=str(root), **options)
    except (OSError, RuntimeError, ValueError) as error:  # what Tonic and its requests raise
        raise DataError(f"tonic.datasets.{name} must be able to download, got: {error}") from error


def tonic_function(name: str) -> Any:
    """A function of ``tonic.functional``, to compare our transforms with."""
    import tonic.functional

    return getattr(tonic.functional, name)


def class_list(name: str) -> tuple[str, ...]:
    """The class names that Tonic keeps for a data set."""
    import tonic

    return tuple(str(c) for c in getattr(tonic.datasets, name).classes)


def load_nmnist(root: Path) -> list[Recording]:
    """Every N-MNIST recording below ``root/NMNIST/{Train,Test}/<digit>/*.bin``, sorted.

    Train and Test are pooled, because a subset's Test may lack a class; splits are made by the
    caller. A subset loads without a network: nothing is ever downloaded.

    Parameters
    ----------
    root : Path
        The folder that holds ``NMNIST/`` (Tonic's ``save_to``).

    Returns
    -------
    list of Recording
        Source is ``Train/5/00001.bin``; the group is a hash of the events.

    Raises
    ------
    DataError
        If the folder is missing or empty, or a file is truncated or holds bad events (it is named).
    """
    folder = Path(root) / "NMNIST"
    if not folder.is_dir():
        raise DataError(
            f"data.root must be a folder that holds NMNIST/{{Train,Test}}/<digit>/*.bin, got {root}"
            " without NMNIST/; download the data set of tonic.datasets.NMNIST and unpack it there"
        )
    recordings: list[Recording] = []
    for train in (True, False):
        dataset = offline("NMNIST", Path(root), {"train": train})
        for index, path in enumerate(dataset.data):
            recordings.append(_read_nmnist(dataset, index, Path(path), folder))
    if not recordings:
        raise DataError(f"{folder} must hold Train/<digit>/*.bin or Test/<digit>/*.bin, got none")
    return recordings


def offline(name: str, root: Path, options: Mapping[str, Any]) -> Any:
    """Tonic's class with its completeness check passed, so that it never downloads."""
    import tonic

    # The class name is the folder name that Tonic looks for, so it must stay the same.
    base = getattr(tonic.datasets, name)
    return type(name, (base,), {"_check_exists": lambda self: True})(save_to=str(root), **options)


def _read_nmnist(dataset: Any, index: int, path: Path, folder: Path) -> Recording:
    """One recording of the pooled set."""
    _check_whole(path)
    events, label = dataset[index]
    name = path.relative_to(folder).as_posix()
    try:
        stream = EventStream.from_structured(events, dataset.sensor_size, modality="vision")
    except EventError as error:
        raise EventError(f"{path}: {error}") from error
    # The group is the content, so that one recording under two names cannot straddle a split.
    group = hashlib.sha256(stream.events.tobytes()).hexdigest()[:12]
    return Recording(stream=stream, label=int(label), source=name, group=group, split=None)


def _check_whole(path: Path) -> None:
    """Checked before Tonic reads an N-MNIST file: it cuts a truncated one short silently."""
    n_bytes = path.stat().st_size
    if n_bytes == 0 or n_bytes % _NMNIST_EVENT_BYTES:
        raise DataError(
            f"{path} must hold a whole number of 5-byte events, got {n_bytes} bytes: truncated?"
        )
