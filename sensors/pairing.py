"""Pair recordings of any number of modalities by label, by declared assignment or by source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any, overload

import numpy as np

from sensors.clock import ClockPolicy, Placed, place
from sensors.manifest import (
    Pair,
    described,
    recording_digest,
    reuse,
    source_pairs,
    with_digest,
)
from sensors.paired import draw_pairs
from sensors.recorded import RecordedSet
from sensors.recordings import Recording
from spikefuse._types import BoolArray
from spikefuse.errors import DataError
from spikefuse.events import MultiStream

Recordings = Mapping[str, Sequence[Recording]]
# Joint class -> label of each modality.
Assignment = Mapping[int, Mapping[str, int]]
# Modality -> source -> when the recording began (us), on the clock of recordings made together.
Starts = Mapping[str, Mapping[str, int]]

DECLARATIONS = {
    "label": "recordings of one label, made apart: independent of each other given the label",
    "assigned": (
        "assigned pairing: the modalities' classes have nothing to do with each other and were "
        "matched by us; recordings are independent given the joint class"
    ),
    "source": "recordings of one event, made together: one clock, one label",
}


@dataclass(frozen=True, eq=False)
class PairedSample:
    """One sample, and where each sensor was recording in it.

    Parameters
    ----------
    sample : MultiStream
    placed : mapping of modality to Placed
    """

    sample: MultiStream
    placed: Mapping[str, Placed]

    def masks(self, n_steps: int, dt_ms: float) -> dict[str, BoolArray]:
        """Time steps that hold recorded time, ``[T]`` for each modality; the rest is padding."""
        return {name: item.mask(n_steps, dt_ms) for name, item in self.placed.items()}


@dataclass(frozen=True, eq=False)
class Pairing(Sequence[MultiStream]):
    """Pairs of recordings on one clock; samples are read on demand.

    Parameters
    ----------
    by : str
        "label", "assigned" or "source".
    recordings : mapping of modality to recordings
    pairs : tuple of index tuples
    labels : tuple of int
        Joint class of each pair.
    clock : ClockPolicy
    seed : int
    assignment : mapping or None
        Joint class to the label of each modality.
    starts_us : mapping or None
        Modality to source to the recording's start.
    """

    by: str
    recordings: Recordings
    pairs: tuple[Pair, ...]
    labels: tuple[int, ...]
    clock: ClockPolicy
    seed: int
    assignment: Assignment | None = None
    starts_us: Starts | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> MultiStream: ...
    @overload
    def __getitem__(self, index: slice) -> Pairing: ...
    def __getitem__(self, index: int | slice) -> MultiStream | Pairing:
        if isinstance(index, slice):
            return replace(self, pairs=self.pairs[index], labels=self.labels[index])
        return self.placed(index).sample

    @property
    def declaration(self) -> str:
        """What kind of pairs these are, to be printed with every result on them."""
        return DECLARATIONS[self.by]

    def placed(self, index: int) -> PairedSample:
        """One sample with where each sensor was recording in it and what was cut."""
        return self._placed(self._chosen(index), self.labels[index])

    def manifest(self) -> dict[str, Any]:
        """What was paired with what under which policy, with hashes; reads every pair.

        Returns
        -------
        dict
            Declaration, policy, pairs by source name, reuse, unpaired recordings, cut events and
            recordings, sha256 of the recordings used, and the manifest's own sha256.
        """
        known = {name: described(items) for name, items in self.recordings.items()}
        digests: dict[str, dict[str, str]] = {name: {} for name in known}
        cut = {name: {"recordings_cut": 0, "events_cut": 0, "events": 0} for name in known}
        for index, label in enumerate(self.labels):
            chosen = self._chosen(index)
            for name, item in self._placed(chosen, label).placed.items():
                if chosen[name].source not in digests[name]:
                    digests[name][chosen[name].source] = recording_digest(chosen[name])
                cut[name]["recordings_cut"] += item.cut_events > 0
                cut[name]["events_cut"] += item.cut_events
                cut[name]["events"] += len(chosen[name].stream)
        body = {
            "schema": 1,
            "pairing": self.by,
            "declaration": self.declaration,
            "seed": self.seed,
            "policy": {
                "onsets": self.clock.onsets,
                "duration": (
                    f"every sample lasts {self.clock.duration_ms:g} ms: a shorter recording is "
                    "followed by silence (masked), a longer one is cut (counted)"
                ),
                "clock": asdict(self.clock),
            },
            "sets": {
                name: f"{items.name} {items.part}"
                for name, items in self.recordings.items()
                if isinstance(items, RecordedSet)
            },
            "assignment": self._named_assignment(),
            "pairs": source_pairs(known, self.pairs),
            "labels": list(self.labels),
            "reuse": reuse(known, self.pairs),
            "unpaired": {
                name: len(items) - len({pair[column] for pair in self.pairs})
                for column, (name, items) in enumerate(known.items())
            },
            "cut": cut,
            "recordings_sha256": digests,
        }
        return with_digest(body)

    def _chosen(self, index: int) -> dict[str, Recording]:
        """The recordings of one pair."""
        pair = self.pairs[index]
        return {
            name: self.recordings[name][i] for name, i in zip(self.recordings, pair, strict=True)
        }

    def _placed(self, chosen: Mapping[str, Recording], label: int) -> PairedSample:
        """One pair on one clock."""
        starts = {n: self._start_us(n, item.source) for n, item in chosen.items()}
        earliest = min(starts.values())
        placed = {
            n: place(item.stream, n, self.clock, item.source, starts[n] - earliest)
            for n, item in chosen.items()
        }
        sources = {f"{n}_source": item.source for n, item in chosen.items()}
        streams = {n: item.stream for n, item in placed.items()}
        return PairedSample(MultiStream(streams, label, {**sources, "pairing": self.by}), placed)

    def _start_us(self, name: str, source: str) -> int:
        """When a recording began; all at once where nothing is known."""
        if self.starts_us is None or name not in self.starts_us:
            return 0
        return self.starts_us[name][source]

    def _named_assignment(self) -> dict[str, dict[str, str]] | None:
        """The assignment with the names of the classes, where they are known."""
        if self.assignment is None:
            return None
        return {
            str(joint): {name: _class_name(self.recordings[name], i) for name, i in row.items()}
            for joint, row in self.assignment.items()
        }


def pair(
    recordings: Recordings,
    *,
    by: str = "label",
    clock: ClockPolicy | None = None,
    seed: int = 0,
    exhaustive: bool = True,
    assignment: Assignment | None = None,
    starts_us: Starts | None = None,
) -> Pairing:
    """Pair recordings of any number of modalities.

    Parameters
    ----------
    recordings : mapping of modality to recordings
        Lists of `Recording` or sets from `open_set`, of one split.
    by : str
        "label": equal labels, which must mean the same. "assigned": classes that have nothing to
        do with each other are matched one to one, and every manifest says so. "source": recordings
        of one event, whose source names are equal but for the suffix.
    clock : ClockPolicy, optional
    seed : int
        Of the draw; by source nothing is drawn.
    exhaustive : bool
        As in `pair_by_label`: use every recording of every modality, or each of the first once.
    assignment : mapping of joint class to modality to label, optional
        By assignment only. By default the k-th label that occurs in each modality becomes class k,
        up to the smallest number of labels.
    starts_us : mapping of modality to source to microseconds, optional
        By source only: when recordings began on their common clock. The earliest of a pair is at
        zero. Without it (or for a modality that is not named) recordings began together.

    Returns
    -------
    Pairing

    Raises
    ------
    DataError
        If nothing pairs, labels do not mean the same, sources are not unique, or a start is
        missing.
    """
    if by not in DECLARATIONS:
        raise DataError(f"by must be one of {sorted(DECLARATIONS)}, got {by!r}")
    if not recordings:
        raise DataError("recordings must hold at least one modality, got none")
    for name, given, owner in (
        ("assignment", assignment, "assigned"),
        ("starts_us", starts_us, "source"),
    ):
        if given is not None and by != owner:
            raise DataError(f"{name} must be None unless by={owner!r}, got by={by!r}")
    clock = clock or ClockPolicy()
    if by == "source":
        pairs = _by_source(recordings, starts_us)
        joint = _labels(recordings)
    else:
        if by == "assigned":
            assignment = assignment or _in_order(recordings)
            joint = _assigned(recordings, assignment)
        else:
            _check_label_spaces(recordings)
            joint = _labels(recordings)
        pairs = draw_pairs(joint, np.random.default_rng(seed), exhaustive)
    first = joint[next(iter(recordings))]
    # Those without a label were not drawn.
    labels = tuple(label for label in (first[p[0]] for p in pairs) if label is not None)
    return Pairing(by, recordings, tuple(pairs), labels, clock, seed, assignment, starts_us)


def assign(
    recordings: Mapping[str, RecordedSet], assignment: Assignment | None = None
) -> tuple[dict[str, RecordedSet], Assignment]:
    """Sets whose labels are the joint classes of an assignment, so that they pair by label.

    Parameters
    ----------
    recordings : mapping of modality to RecordedSet
    assignment : mapping of joint class to modality to label, optional
        By default as in `pair`, by="assigned". Classes that are in none stay out.

    Returns
    -------
    recordings : dict of modality to RecordedSet
        Of one label space; a class is named by all of its parts.
    assignment : mapping
        To be used for the other splits too.

    Raises
    ------
    DataError
        If the assignment does not name every modality or is not one to one.
    """
    chosen = assignment or _in_order(recordings)
    labels = _assigned(recordings, chosen)
    names = tuple(
        " + ".join(_class_name(recordings[name], label) for name, label in chosen[joint].items())
        for joint in sorted(chosen)
    )
    space = "joint classes of " + " and ".join(items.name for items in recordings.values())
    joint_sets = {
        name: replace(
            items,
            label_space=space,
            class_names=names,
            entries=tuple(
                replace(entry, label=joint)
                for entry, joint in zip(items.entries, labels[name], strict=True)
                if joint is not None
            ),
        )
        for name, items in recordings.items()
    }
    return joint_sets, chosen


def _labels(recordings: Recordings) -> dict[str, list[int | None]]:
    """Labels of each modality."""
    return {name: [r.label for r in described(items)] for name, items in recordings.items()}


def _check_label_spaces(recordings: Recordings) -> None:
    """Equal numbers must mean equal things; a plain list vouches for itself."""
    spaces = {
        name: items.label_space
        for name, items in recordings.items()
        if isinstance(items, RecordedSet)
    }
    if len(set(spaces.values())) > 1:
        raise DataError(
            "labels paired by label must mean the same, got "
            + ", ".join(f"{name}: {space}" for name, space in spaces.items())
            + "; open digit sets with digits=True, or pair by='assigned' and say so"
        )


def _in_order(recordings: Recordings) -> Assignment:
    """The k-th label that occurs in each modality as joint class k."""
    found = {n: sorted({r.label for r in described(items)}) for n, items in recordings.items()}
    n_joint = min(map(len, found.values()))
    return {k: {name: labels[k] for name, labels in found.items()} for k in range(n_joint)}


def _assigned(recordings: Recordings, assignment: Assignment) -> dict[str, list[int | None]]:
    """Joint class of every recording, None where its class was not assigned."""
    for joint, row in assignment.items():
        if set(row) != set(recordings):
            raise DataError(
                f"assignment of class {joint} must name {sorted(recordings)}, got {sorted(row)}"
            )
    found: dict[str, list[int | None]] = {}
    for name, items in recordings.items():
        joint_of = {row[name]: joint for joint, row in assignment.items()}
        if len(joint_of) < len(assignment):
            raise DataError(
                f"assignment must be one to one, got a label of {name} in two classes: "
                f"{sorted(row[name] for row in assignment.values())}"
            )
        found[name] = [joint_of.get(r.label) for r in described(items)]
    return found


def _by_source(recordings: Recordings, starts_us: Starts | None) -> list[Pair]:
    """Recordings whose sources are equal but for the suffix, in the order of the first modality."""
    places: dict[str, dict[str, int]] = {}
    for name, items in recordings.items():
        places[name] = {}
        for index, item in enumerate(described(items)):
            key = PurePosixPath(item.source).with_suffix("").as_posix()
            if key in places[name]:
                raise DataError(f"sources of {name} must be unique but for the suffix, got {key}")
            places[name][key] = index
    first = next(iter(recordings))
    shared = [key for key in places[first] if all(key in found for found in places.values())]
    if not shared:
        examples = ", ".join(f"{n}: {next(iter(found), 'none')}" for n, found in places.items())
        raise DataError(f"sources must be equal but for the suffix, got such as {examples}")
    pairs = [tuple(found[key] for found in places.values()) for key in shared]
    for pair_ in pairs:
        chosen = {n: described(recordings[n])[i] for n, i in zip(recordings, pair_, strict=True)}
        if len({item.label for item in chosen.values()}) > 1:
            raise DataError(
                "recordings of one source must have one label, got "
                + ", ".join(f"{n} {item.source}: {item.label}" for n, item in chosen.items())
            )
        for name in starts_us or {}:
            if name not in chosen:
                raise DataError(f"starts_us must be of {sorted(chosen)}, got {name!r}")
            if chosen[name].source not in (starts_us or {})[name]:
                raise DataError(f"starts_us must hold {name} {chosen[name].source}, got none")
    return pairs


def _class_name(items: Sequence[Recording], label: int) -> str:
    """A class by name where the set knows it."""
    return items.class_names[label] if isinstance(items, RecordedSet) else str(label)
