"""A set of recordings that is listed at once and read one by one."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from sensors.recordings import Recording
from spikefuse._types import StructuredArray
from spikefuse.errors import DataError, EventError
from spikefuse.events import EventStream, SensorSize

# Position in the set -> events of any layout with fields t (us), x and perhaps y and p, and the
# recording's length in us where it is known. Must survive pickling into a spawned worker.
Reader = Callable[[int], tuple[StructuredArray, int | None]]

# What a decoder raises on a damaged file.
DAMAGE = (OSError, ValueError, KeyError, IndexError, EOFError, AssertionError, struct.error)


@dataclass(frozen=True)
class Entry:
    """What is known of a recording before its events are read.

    Parameters
    ----------
    label : int
    source : str
        Unique name in the set.
    group : str
        Speaker, subject or picture: what must not straddle a split.
    split : str or None
        "train", "validation" or "test" where the source fixes it.
    position : int
        Where the reader finds it.
    """

    label: int
    source: str
    group: str
    split: str | None
    position: int


@dataclass(frozen=True, eq=False)
class RecordedSet(Sequence[Recording]):
    """Recordings of one part of a data set; labels are known at once, events read on demand.

    Parameters
    ----------
    name, part : str
        Such as "SHD" and "train".
    modality : str
    sensor_size : (W, H, P)
    label_space : str
        What the labels mean; sets of one label space may be paired by label.
    class_names : tuple of str
        Name of label ``i`` at ``i``.
    entries : tuple of Entry
        In a fixed order, whatever the file system's.
    reader : callable
        Position to events; an open file is reopened in each process.
    sort_times : bool
        Sort events that are out of order (stably) instead of refusing them.
    """

    name: str
    part: str
    modality: str
    sensor_size: SensorSize
    label_space: str
    class_names: tuple[str, ...]
    entries: tuple[Entry, ...]
    reader: Reader
    sort_times: bool = False

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Recording: ...
    @overload
    def __getitem__(self, index: slice) -> RecordedSet: ...
    def __getitem__(self, index: int | slice) -> Recording | RecordedSet:
        if isinstance(index, slice):
            return replace(self, entries=self.entries[index])
        return self._read(self.entries[index])

    def __iter__(self) -> Iterator[Recording]:
        return map(self._read, self.entries)

    def _read(self, entry: Entry) -> Recording:
        """The one place where foreign events become an `EventStream`."""
        where = f"{self.name} {entry.source}"
        try:
            events, duration_us = self.reader(entry.position)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        except DAMAGE as error:
            # A KeyError's text is only the key; the type says what happened.
            raise DataError(
                f"{where} must be readable, got {type(error).__name__}: {error}"
            ) from error
        if self.sort_times and len(events):
            events = events[np.argsort(events["t"], kind="stable")]
        try:
            stream = EventStream.from_structured(
                events, self.sensor_size, duration_us, self.modality
            )
        except EventError as error:
            raise EventError(f"{where}: {error}") from error
        return Recording(stream, entry.label, entry.source, entry.group, entry.split)

    def select(self, indices: Iterable[int]) -> RecordedSet:
        """The recordings at ``indices``, in that order."""
        return replace(self, entries=tuple(self.entries[i] for i in indices))

    def without_groups(self, groups: Iterable[str]) -> RecordedSet:
        """The recordings whose speaker, subject or picture is none of ``groups``.

        A test part may share speakers with its train part (that of SHD does): this makes it
        disjoint.
        """
        gone = set(groups)
        return replace(self, entries=tuple(e for e in self.entries if e.group not in gone))

    def with_groups(self, groups: Iterable[str]) -> RecordedSet:
        """The recordings whose speaker, subject or picture is one of ``groups``."""
        kept = set(groups)
        return replace(self, entries=tuple(e for e in self.entries if e.group in kept))

    @property
    def groups(self) -> list[str]:
        """The groups that occur, sorted."""
        return sorted({e.group for e in self.entries})

    def class_counts(self) -> dict[str, int]:
        """Recordings per class, by its name, those without a recording included."""
        counts = Counter(e.label for e in self.entries)
        return {name: counts[label] for label, name in enumerate(self.class_names)}

    def describe(self) -> str:
        """One line to print at load: recordings, classes, smallest and largest class, groups."""
        counts = list(self.class_counts().values())
        return (
            f"{self.name} {self.part}: {len(self)} recordings, "
            f"{sum(n > 0 for n in counts)} of {len(counts)} classes, "
            f"{min(counts)} to {max(counts)} each, {len(self.groups)} groups"
        )
