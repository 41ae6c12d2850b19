"""Train, validation and test from the parts that a data set is published in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from sensors.manifest import described
from sensors.recorded import RecordedSet
from sensors.recordings import Recording
from spikefuse.errors import DataError

SPLITS = ("train", "validation", "test")
Parts = dict[str, Sequence[Recording]]
_N_FOLDS = 5


def split_parts(
    parts: Mapping[str, RecordedSet], fold: int, test_part: str
) -> tuple[Parts, str, list[str]]:
    """Splits of one modality.

    A published validation part is used as it is; otherwise a fifth of the train part validates:
    speakers or subjects where they are known, else a fifth of each class. A set in one part is
    dealt into five folds.

    Parameters
    ----------
    parts : mapping of "train", "validation", "test" or "all" to RecordedSet
    fold : int
        Which of five validates (or tests, of a set in one part).
    test_part : "disjoint" or "published"
        Whether test recordings of groups of the train part stay out.

    Returns
    -------
    splits : dict of split to recordings
    protocol : str
        How they were made, in words.
    notes : list of str
        What was left out.

    Raises
    ------
    DataError
        If a split would be empty.
    """
    if "all" in parts:
        whole = parts["all"]
        folds = stratified_folds(whole, _N_FOLDS)
        validation = (fold + 1) % _N_FOLDS
        splits: dict[str, RecordedSet] = {
            "train": _where(whole, [f not in (fold, validation) for f in folds]),
            "validation": _where(whole, [f == validation for f in folds]),
            "test": _where(whole, [f == fold for f in folds]),
        }
        protocol = f"published whole: fold {fold} of five tests, the next one validates"
        return _checked(splits), protocol, []
    train, test, notes = parts["train"], parts["test"], []
    if test_part == "disjoint":
        test = parts["test"].without_groups(train.groups)
        gone = len(parts["test"]) - len(test)
        if gone:
            notes.append(
                f"test: {gone} of {len(parts['test'])} {train.name} recordings are of speakers or "
                "subjects of the train part and stay out; data.test_part=published keeps them."
            )
    if "validation" in parts:
        protocol = "the published parts"
        splits = {"train": train, "validation": parts["validation"], "test": test}
    else:
        held, how = _validation(train, fold)
        splits = {
            "train": _where(train, [not h for h in held]),
            "validation": _where(train, held),
            "test": test,
        }
        protocol = f"the published parts; of train, {how} validates"
    protocol += "" if test_part == "published" else "; test without speakers or subjects of train"
    return _checked(splits), protocol, notes


def _validation(train: RecordedSet, fold: int) -> tuple[list[bool], str]:
    """Which recordings of the train part validate, and how they were chosen."""
    groups = train.groups
    if len(groups) == len(train):
        return [
            f == fold for f in stratified_folds(train, _N_FOLDS)
        ], f"fold {fold} of five of each class"
    if len(groups) < 2:
        raise DataError(
            f"{train.name} must hold at least 2 speakers or subjects to train and to validate on, "
            f"got {groups}"
        )
    # With fewer than five groups, each is a fold of its own.
    chosen = set(groups[fold % min(_N_FOLDS, len(groups)) :: _N_FOLDS])
    held = [entry.group in chosen for entry in train.entries]
    return (
        held,
        f"{len(chosen)} of {len(groups)} speakers or subjects ({', '.join(sorted(chosen))})",
    )


def stratified_folds(recordings: Sequence[Recording], n_folds: int) -> list[int]:
    """Fold of each recording: every class is dealt out in the order of its index."""
    seen: dict[int, int] = {}
    folds: list[int] = []
    for item in described(recordings):
        position = seen.get(item.label, 0)
        folds.append(position % n_folds)
        seen[item.label] = position + 1
    return folds


def follow_sources(parts: Parts, leader: Parts) -> Parts:
    """Train and validation of recordings that were made together with another modality's.

    Parameters
    ----------
    parts : dict of split to recordings
        Their train and validation are pooled and dealt out as the leader's were.
    leader : dict of split to recordings
    """
    train, validation = parts["train"], parts["validation"]
    if not isinstance(train, RecordedSet) or not isinstance(validation, RecordedSet):
        raise DataError("recordings paired by source must be a data set's, got a list")
    # Both come from one part, so that one reader serves all positions.
    entries = sorted((*train.entries, *validation.entries), key=lambda entry: entry.position)
    whole = replace(train, entries=tuple(entries))
    held = {_stem(item.source) for item in described(leader["validation"])}
    validates = [_stem(entry.source) in held for entry in entries]
    return {
        "train": _where(whole, [not v for v in validates]),
        "validation": _where(whole, validates),
        "test": parts["test"],
    }


def _stem(source: str) -> str:
    """A recording's name without the suffix, as pairing by source compares it."""
    return PurePosixPath(source).with_suffix("").as_posix()


def _where(items: RecordedSet, chosen: Sequence[bool]) -> RecordedSet:
    return items.select([i for i, yes in enumerate(chosen) if yes])


def _checked(splits: Mapping[str, RecordedSet]) -> Parts:
    """The splits, none of which may be empty."""
    for name, items in splits.items():
        if not len(items):
            raise DataError(
                f"{name} of {items.name} must hold a recording, got none; more recordings are "
                "needed, or data.test_part=published where all test speakers are in the train part"
            )
    return {name: splits[name] for name in SPLITS}
