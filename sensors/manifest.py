"""The manifest: what was paired with what, under which policy, and what that cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sensors.clock import ClockPolicy, place
from sensors.recorded import Entry, RecordedSet
from sensors.recordings import Recording

Pair = tuple[int, ...]  # index into each modality's recordings


def described(items: Sequence[Recording]) -> Sequence[Recording | Entry]:
    """Labels, sources and groups of recordings, without reading events that are read on demand."""
    return items.entries if isinstance(items, RecordedSet) else items


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
    known = {
        split: {name: described(items) for name, items in parts.items()}
        for split, parts in recordings.items()
    }
    policy: dict[str, Any] = {
        "pairing": "by label; train pairs redrawn every epoch, others fixed",
        "duration_ms": clock.duration_ms,
        "audio_offset_ms": clock.audio_offset_ms,
    }
    if clock.sensors:
        policy["onsets"] = clock.onsets
    return with_digest(
        {
            "schema": 1,
            "seed": seed,
            "policy": policy,
            "splits": {
                split: {name: [r.source for r in items] for name, items in parts.items()}
                for split, parts in known.items()
            },
            "groups": {
                split: {name: len({r.group for r in items}) for name, items in parts.items()}
                for split, parts in known.items()
            },
            "pairs": {
                split: source_pairs(known[split], pairs) for split, pairs in fixed_pairs.items()
            },
            "reuse": {split: reuse(known[split], pairs) for split, pairs in fixed_pairs.items()},
            "unused_labels": {split: unused_labels(parts) for split, parts in known.items()},
            "cut_events": {
                split: {
                    name: sum(place(r.stream, name, clock, r.source).cut_events for r in items)
                    for name, items in parts.items()
                }
                for split, parts in recordings.items()
            },
        }
    )


def with_digest(body: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest and the sha256 of its canonical JSON."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {**body, "sha256": digest}


def recording_digest(item: Recording) -> str:
    """sha256 of a recording's name, label, size, length and events."""
    stream = item.stream
    head = [item.source, item.label, *stream.sensor_size, stream.duration_us, len(stream)]
    return hashlib.sha256(json.dumps(head).encode() + stream.events.tobytes()).hexdigest()


def source_pairs(
    known: Mapping[str, Sequence[Recording | Entry]], pairs: Sequence[Pair]
) -> list[list[str]]:
    """Pairs by the names of their recordings."""
    return [[known[name][i].source for name, i in zip(known, p, strict=True)] for p in pairs]


def reuse(
    known: Mapping[str, Sequence[Recording | Entry]], pairs: Sequence[Pair]
) -> dict[str, Any]:
    """How often recordings occur in the fixed pairs."""
    report: dict[str, Any] = {"pairs": len(pairs)}
    for column, name in enumerate(known):
        uses = np.bincount([p[column] for p in pairs], minlength=len(known[name]))
        report[name] = {
            "recordings": int((uses > 0).sum()),
            "reused": int((uses > 1).sum()),
            "most_uses": int(uses.max(initial=0)),
        }
    return report


def unused_labels(known: Mapping[str, Sequence[Recording | Entry]]) -> dict[str, list[int]]:
    """Labels that some modality lacks, so that their recordings stay out."""
    labels = {name: {r.label for r in items} for name, items in known.items()}
    shared = set.intersection(*labels.values())
    return {name: sorted(found - shared) for name, found in labels.items() if found - shared}
