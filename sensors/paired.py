"""Pair recordings of several modalities by label, reproducibly and with a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sensors.clock import ClockPolicy as ClockPolicy
from sensors.clock import on_clock as on_clock
from sensors.clock import place
from sensors.manifest import Pair as Pair
from sensors.manifest import build_manifest as build_manifest
from sensors.manifest import described
from sensors.recordings import Recording
from spikefuse.errors import DataError
from spikefuse.events import MultiStream


def pair_by_label(
    recordings: Mapping[str, Sequence[Recording]], rng: np.random.Generator, exhaustive: bool
) -> list[Pair]:
    """Draw pairs (or larger tuples) of one label each.

    Parameters
    ----------
    recordings : mapping of modality to its recordings of one split
    rng : numpy Generator
    exhaustive : bool
        True uses every recording of every modality at least once (test, validation): the scarcer
        modality is repeated in shuffled rounds. False uses every recording of the first modality
        once and draws partners without replacement until they run out (one training epoch).

    Returns
    -------
    list of index tuples, in random order

    Raises
    ------
    DataError
        If no label has recordings in every modality.
    """
    labels = {name: [r.label for r in described(items)] for name, items in recordings.items()}
    return draw_pairs(labels, rng, exhaustive)


def draw_pairs(
    labels: Mapping[str, Sequence[int | None]], rng: np.random.Generator, exhaustive: bool
) -> list[Pair]:
    """`pair_by_label` from the labels alone; a recording whose label is None stays out."""
    by_label = {name: _indices_by_label(found) for name, found in labels.items()}
    shared = sorted(set.intersection(*(set(found) for found in by_label.values())))
    if not shared:
        raise DataError(
            "paired recordings must share at least one label, got "
            + ", ".join(f"{name}: {sorted(found)}" for name, found in by_label.items())
        )
    first = next(iter(labels))
    pairs: list[Pair] = []
    for label in shared:
        pools = [by_label[name][label] for name in labels]
        n_pairs = max(map(len, pools)) if exhaustive else len(by_label[first][label])
        columns = [_rounds(pool, n_pairs, rng) for pool in pools]
        pairs += [tuple(int(i) for i in row) for row in zip(*columns, strict=True)]
    order = rng.permutation(len(pairs))
    return [pairs[i] for i in order]


def assemble(
    recordings: Mapping[str, Sequence[Recording]], pair: Pair, clock: ClockPolicy
) -> MultiStream:
    """Put one pair on one clock.

    Raises
    ------
    DataError
        If the labels of the pair differ.
    """
    chosen = {name: recordings[name][i] for name, i in zip(recordings, pair, strict=True)}
    labels = {item.label for item in chosen.values()}
    if len(labels) > 1:
        raise DataError(
            "paired recordings must have one label, got "
            + ", ".join(f"{name} {item.source}: {item.label}" for name, item in chosen.items())
        )
    provenance = {f"{name}_source": item.source for name, item in chosen.items()}
    placed = {name: place(r.stream, name, clock, r.source) for name, r in chosen.items()}
    return MultiStream(
        {name: item.stream for name, item in placed.items()},
        label=labels.pop(),
        provenance=provenance,
        recorded_us=max(item.end_us for item in placed.values()),
    )


def check_disjoint(recordings: Mapping[str, Mapping[str, Sequence[Recording]]]) -> None:
    """No group (speaker, picture) of any modality may occur in two splits.

    Raises
    ------
    DataError
        Naming the modality, the splits and one of the groups.
    """
    splits = list(recordings)
    groups = {
        split: {name: {r.group for r in described(items)} for name, items in parts.items()}
        for split, parts in recordings.items()
    }
    for i, first in enumerate(splits):
        for second in splits[i + 1 :]:
            for name in recordings[first]:
                shared = groups[first][name] & groups[second][name]
                if shared:
                    raise DataError(
                        f"{name} groups must not be shared between {first} and {second}, got "
                        f"{sorted(shared)[0]!r} in both"
                    )


def _indices_by_label(labels: Sequence[int | None]) -> dict[int, list[int]]:
    """Positions of each label's recordings."""
    found: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        if label is not None:
            found.setdefault(label, []).append(index)
    return found


def _rounds(pool: list[int], n: int, rng: np.random.Generator) -> list[int]:
    """``n`` draws in shuffled rounds, so that no member is used k + 2 times before all have k."""
    drawn: list[int] = []
    while len(drawn) < n:
        drawn += [pool[i] for i in rng.permutation(len(pool))]
    return drawn[:n]
