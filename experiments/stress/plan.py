"""Which conditions the measures of a stress suite need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from experiments.stress.conditions import (
    CLEAN,
    DRIFTS_PPM,
    GAIN_DROPS,
    NOISES,
    OFFSETS_MS,
    Condition,
    all_dropped,
    drift,
    foreign,
    incongruent,
    missing,
    noise,
    noise_levels,
    noise_only,
    offset,
    sound_noise,
)
from experiments.stress.sound import LEVELS, MODALITY, Sounds
from experiments.stress.swaps import Donors
from spikefuse.events import MultiStream
from spikefuse.objectives.modality_dropout import without

Size = tuple[int, int, int]
# Families whose conditions take a modality from a test sample of another class.
EXCHANGING = frozenset({"consistency", "intervention"})


def plan(
    families: Sequence[str],
    sizes: Mapping[str, Size],
    donors: Donors,
    sounds: Sounds | None = None,
) -> list[Condition]:
    """Conditions of the named families, the clean one first, each once.

    Parameters
    ----------
    families : sequence of names in `experiments.stress.conditions.FAMILIES`
    sizes : mapping of modality to sensor size
    donors : Donors
        The clean samples.
    sounds : Sounds, optional
        Where there is none, there is no noise of sound.
    """
    names = tuple(sizes)
    found = [Condition(CLEAN, (), lambda sample, place, seed: sample)]
    if "noise" in families:
        for name, size in sizes.items():
            for kind in NOISES:
                found += [noise(name, kind, level) for level in noise_levels(kind, size)[1:]]
        if sounds is not None and MODALITY in sizes:
            found += [sound_noise(ratio, sounds) for ratio in LEVELS[1:]]
    if len(names) > 1:
        for family in families:
            found += _of_pair(family, names, donors)
    return list({condition.name: condition for condition in found}.values())


def _of_pair(family: str, names: tuple[str, ...], donors: Donors) -> list[Condition]:
    """Conditions of a family that needs two modalities or more."""
    if family in ("missing", "imbalance", "anytime"):
        return [missing([name]) for name in names]
    if family == "misalignment":
        return [c for name in names[1:] for c in _misaligned(name, names)]
    if family == "consistency":
        swaps = [foreign(name, False, donors) for name in names]
        weak = [incongruent(names[-1], name, donors, names) for name in names]
        return [only(name, names) for name in names] + swaps + weak
    if family == "gain":
        dropped = [all_dropped(names, share) for share in GAIN_DROPS[1:]]
        alone = [_alone(condition, name, names) for condition in dropped for name in names]
        return [only(name, names) for name in names] + dropped + alone
    if family == "intervention":
        kinds = [foreign(name, same, donors) for name in names for same in (True, False)]
        return kinds + [noise_only(name) for name in names]
    return []


def only(name: str, names: Sequence[str]) -> Condition:
    """All but one modality empty."""
    return missing([other for other in names if other != name])


def alone_name(condition: str, name: str) -> str:
    """Name of a condition with every modality but one empty besides."""
    return f"{condition}/only_{name}"


def _alone(condition: Condition, name: str, names: Sequence[str]) -> Condition:
    """A condition with every modality but one empty besides."""
    others = [other for other in names if other != name]

    def change(sample: MultiStream, place: int, seed: int) -> MultiStream:
        return without(condition.change(sample, place, seed), others)

    return replace(condition, name=alone_name(condition.name, name), change=change)


def _misaligned(name: str, names: tuple[str, ...]) -> list[Condition]:
    """Offsets and drifts of one modality, those of 0 left out."""
    moved = [offset(name, value, names) for value in OFFSETS_MS if value]
    return moved + [drift(name, value) for value in DRIFTS_PPM if value]
