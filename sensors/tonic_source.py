"""Recordings read through Tonic's own data set classes (the only module that imports Tonic)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sensors.recordings import Recording
from spikefuse.errors import DataError, EventError
from spikefuse.events import EventStream

_NMNIST_EVENT_BYTES = 5


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
        dataset = _offline_nmnist(root, train)
        for index, path in enumerate(dataset.data):
            recordings.append(_read_nmnist(dataset, index, Path(path), folder))
    if not recordings:
        raise DataError(f"{folder} must hold Train/<digit>/*.bin or Test/<digit>/*.bin, got none")
    return recordings


def _offline_nmnist(root: Path, train: bool) -> Any:
    """Tonic's class with its completeness check passed, so that it never downloads."""
    import tonic

    # The class name is the folder name that Tonic looks for, so it must stay "NMNIST".
    offline = type("NMNIST", (tonic.datasets.NMNIST,), {"_check_exists": lambda self: True})
    return offline(save_to=str(root), train=train)


def _read_nmnist(dataset: Any, index: int, path: Path, folder: Path) -> Recording:
    """One recording, checked before Tonic reads it: Tonic cuts a truncated file short silently."""
    n_bytes = path.stat().st_size
    if n_bytes == 0 or n_bytes % _NMNIST_EVENT_BYTES:
        raise DataError(
            f"{path} must hold a whole number of 5-byte events, got {n_bytes} bytes: truncated?"
        )
    events, label = dataset[index]
    name = path.relative_to(folder).as_posix()
    try:
        stream = EventStream.from_structured(events, dataset.sensor_size, modality="vision")
    except EventError as error:
        raise EventError(f"{path}: {error}") from error
    # The group is the content, so that one recording under two names cannot straddle a split.
    group = hashlib.sha256(stream.events.tobytes()).hexdigest()[:12]
    return Recording(stream=stream, label=int(label), source=name, group=group, split=None)
