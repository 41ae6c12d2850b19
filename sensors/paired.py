"""Pair recordings of several modalities by label, reproducibly and with a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensors.recordings import Recording
from spikefuse.errors import DataError
from spikefuse.events import EventStream, MultiStream

Pair = tuple[int, ...]  # index into each modality's recordings


@dataclass(frozen=True)
class ClockPolicy:
    """How recordings that were made apart are put on one clock.

    Parameters
    ----------
    duration_ms : float
        Length of every sample; shorter recordings are followed by silence, longer ones are cut and
        the cut events are counted in the manifest.
    audio_offset_ms : float
        Onset of audio after the onset of vision; negative delays vision instead. 0 aligns onsets.
    """

    duration_ms: float = 500.0
    audio_offset_ms: float = 0.0


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
    by_label = {name: _indices_by_label(items) for name, items in recordings.items()}
    shared = sorted(set.intersection(*(set(labels) for labels in by_label.values())))
    if not shared:
        raise DataError(
            "paired recordings must share at least one label, got "
            + ", ".join(f"{name}: {sorted(labels)}" for name, labels in by_label.items())
        )
    first = next(iter(recordings))
    pairs: list[Pair] = []
    for label in shared:
        pools = [by_label[name][label] for name in recordings]
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
    return MultiStream(
        {name: on_clock(item.stream, name, clock) for name, item in chosen.items()},
        label=labels.pop(),
        provenance=provenance,
    )


def on_clock(stream: EventStream, modality: str, clock: ClockPolicy) -> EventStream:
    """One recording shifted by its onset and cut or padded to the sample's duration."""
    offset_us = round(clock.audio_offset_ms * 1e3)
    delay_us = max(offset_us, 0) if modality == "audio" else max(-offset_us, 0)
    shifted = stream.shifted(delay_us) if delay_us else stream
    return shifted.cropped(round(clock.duration_ms * 1e3))


def build_manifest(
    recordings: Mapping[str, Mapping[str, Sequence[Recording]]],
    fixed_pairs: Mapping[str, Sequence[Pair]],
    clock: ClockPolicy,
    seed: int,
) -> dict[str, Any]:
    """What was paired with what, with its own sha256, for the run directory.

    Parameters
    ----------
    recordings : mapping of split to modality to recordings
    fixed_pairs : mapping of split (validation, test) to its pairs
    clock : ClockPolicy
    seed : int
        Seed of the pairing.

    Returns
    -------
    dict
        Sources by split, fixed pairs by source name, reuse and truncation counts, disjointness.
    """
    body: dict[str, Any] = {
        "schema": 1,
        "seed": seed,
        "policy": {
            "pairing": "by label; train pairs redrawn every epoch, others fixed",
            "duration_ms": clock.duration_ms,
            "audio_offset_ms": clock.audio_offset_ms,
        },
        "splits": {
            split: {name: [r.source for r in items] for name, items in parts.items()}
            for split, parts in recordings.items()
        },
        "groups": {
            split: {name: len({r.group for r in items}) for name, items in parts.items()}
            for split, parts in recordings.items()
        },
        "pairs": {
            split: [
                [
                    recordings[split][name][i].source
                    for name, i in zip(recordings[split], p, strict=True)
                ]
                for p in pairs
            ]
            for split, pairs in fixed_pairs.items()
        },
        "reuse": {split: _reuse(recordings[split], pairs) for split, pairs in fixed_pairs.items()},
        "unused_labels": {split: _unused_labels(parts) for split, parts in recordings.items()},
        "cut_events": {
            split: {
                name: sum(len(r.stream) - len(on_clock(r.stream, name, clock)) for r in items)
                for name, items in parts.items()
            }
            for split, parts in recordings.items()
        },
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {**body, "sha256": digest}


def check_disjoint(recordings: Mapping[str, Mapping[str, Sequence[Recording]]]) -> None:
    """No group (speaker, picture) of any modality may occur in two splits.

    Raises
    ------
    DataError
        Naming the modality, the splits and one of the groups.
    """
    splits = list(recordings)
    for i, first in enumerate(splits):
        for second in splits[i + 1 :]:
            for name in recordings[first]:
                shared = {r.group for r in recordings[first][name]} & {
                    r.group for r in recordings[second][name]
                }
                if shared:
                    raise DataError(
                        f"{name} groups must not be shared between {first} and {second}, got "
                        f"{sorted(shared)[0]!r} in both"
                    )


def _indices_by_label(items: Sequence[Recording]) -> dict[int, list[int]]:
    """Positions of each label's recordings."""
    found: dict[int, list[int]] = {}
    for index, item in enumerate(items):
        found.setdefault(item.label, []).append(index)
    return found


def _rounds(pool: list[int], n: int, rng: np.random.Generator) -> list[int]:
    """``n`` draws in shuffled rounds, so that no member is used k + 2 times before all have k."""
    drawn: list[int] = []
    while len(drawn) < n:
        drawn += [pool[i] for i in rng.permutation(len(pool))]
    return drawn[:n]


def _reuse(parts: Mapping[str, Sequence[Recording]], pairs: Sequence[Pair]) -> dict[str, Any]:
    """How often recordings occur in the fixed pairs."""
    report: dict[str, Any] = {"pairs": len(pairs)}
    for column, name in enumerate(parts):
        uses = np.bincount([p[column] for p in pairs], minlength=len(parts[name]))
        report[name] = {
            "recordings": int((uses > 0).sum()),
            "reused": int((uses > 1).sum()),
            "most_uses": int(uses.max(initial=0)),
        }
    return report


def _unused_labels(parts: Mapping[str, Sequence[Recording]]) -> dict[str, list[int]]:
    """Labels that some modality lacks, so that their recordings stay out."""
    labels = {name: {r.label for r in items} for name, items in parts.items()}
    shared = set.intersection(*labels.values())
    return {name: sorted(found - shared) for name, found in labels.items() if found - shared}
