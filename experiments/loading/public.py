"""A run's data from public data sets: opened by name, split, paired, with what must be said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import DataConfig
from experiments.loading.data import (
    Hearing,
    PairedData,
    cached_speech,
    choose_speakers,
    pairing_notes,
)
from experiments.loading.sets import AUDIO_ROOT, attribution, open_named, source_parts
from experiments.loading.splits import SPLITS, Parts, follow_sources, split_parts
from experiments.loading.streams import load_streams
from sensors.clock import ClockPolicy, place
from sensors.cochlea import Cochlea
from sensors.cochlea_shd import ShdCochlea
from sensors.data_sets import DIGITS
from sensors.manifest import build_manifest, described, with_digest
from sensors.paired import Pair, check_disjoint
from sensors.pairing import DECLARATIONS, Assignment, Pairing, assign, pair
from sensors.recorded import RecordedSet
from sensors.recordings import Recording
from sensors.sample_cache import CachedSet, cached_set
from sensors.transforms import downsample
from spikefuse.errors import ConfigError, DataError

Progress = Callable[[int, int], None]
Splits = dict[str, dict[str, Sequence[Recording]]]
_HEIDELBERG_RATE_HZ = 48_000


@dataclass(frozen=True)
class Opened:
    """Both modalities, split, before they are paired.

    Parameters
    ----------
    splits : dict of split to modality to recordings
    protocol : dict of modality to how its splits were made, in words
    described : dict of modality to one line for each part
    notes : list of str
    cache_hit : bool
        Whether the cache knew every set before.
    """

    splits: Splits
    protocol: dict[str, str]
    described: dict[str, list[str]]
    notes: list[str]
    cache_hit: bool


def load_sets(
    config: DataConfig, progress: Progress | None = None, cache_dir: Path | None = None
) -> PairedData:
    """Open, split and pair the data sets that a configuration names.

    Parameters
    ----------
    config : DataConfig
        With ``source = "sets"``.
    progress : callable (done, total), optional
    cache_dir : Path, optional

    Returns
    -------
    PairedData

    Raises
    ------
    ConfigError
        If a folder or a speaker is not there.
    DataError
        If a set is missing (what to download, by which class, where to put it), its labels do not
        fit the pairing, or a speaker or subject would be in two splits.
    """
    opened = _open_all(config, progress, cache_dir)
    splits, notes = opened.splits, list(opened.notes)
    joint: Assignment | None = None
    if config.pairing == "assigned":
        splits, joint = _assigned(splits)
    further = load_streams(config, _classes(splits["train"]), progress, cache_dir)
    splits = {name: {**parts, **further.splits[name]} for name, parts in splits.items()}
    notes += _check_splits(splits, config)
    clock = ClockPolicy(config.duration_ms, config.audio_offset_ms)
    by = "source" if config.pairing == "source" else "label"
    fixed = {
        name: pair(splits[name], by=by, clock=clock, seed=2 * config.pairing_seed + index)
        for index, name in enumerate(("validation", "test"))
    }
    train_pairs: tuple[Pair, ...] | None = None
    if by == "source":
        train_pairs = pair(splits["train"], by=by, clock=clock).pairs
    else:
        pair(splits["train"], clock=clock)  # refuses labels of different meaning
    manifest = _manifest(config, opened, splits, fixed, clock, joint)
    notes = [*_declarations(manifest), *notes, *pairing_notes(manifest)]
    return PairedData(
        {name: splits[name] for name in SPLITS},
        {name: found.pairs for name, found in fixed.items()},
        clock,
        manifest,
        opened.cache_hit and further.cache_hit,
        synthetic_speech=False,
        attribution=(
            *attribution((config.vision.name, config.audio.name)),
            *further.attribution,
        ),
        notes=tuple(notes),
        classes=_classes(splits["train"]),
        hearing=_hearing(config),
        train_pairs=train_pairs,
    )


def _open_all(config: DataConfig, progress: Progress | None, cache_dir: Path | None) -> Opened:
    """Every modality that has a name, split."""
    parts: dict[str, Parts] = {}
    described_parts: dict[str, list[str]] = {}
    protocol: dict[str, str] = {}
    notes: list[str] = []
    hit = True
    for modality, part in (("vision", config.vision), ("audio", config.audio)):
        if not part.name:
            continue
        if part.name == "wav":
            parts[modality], line, known = _spoken_words(config, progress, cache_dir)
            described_parts[modality], hit = [line], hit and known
            protocol[modality] = "by speaker: one tests, one validates, the others train"
            continue
        found: dict[str, CachedSet] = {}
        for name in source_parts(modality, part.name):
            recorded = open_named(modality, config, name)
            if part.max_per_class:
                recorded = recorded.select(_first_of_each(recorded, part.max_per_class))
            found[name], known = _cached(recorded, part.width, part.height, cache_dir)
            hit = hit and known
        described_parts[modality] = [items.describe() for items in found.values()]
        parts[modality], protocol[modality], said = split_parts(
            dict(found), config.fold, config.test_part
        )
        notes += said
    if config.pairing == "source" and len(parts) == 2:
        parts["audio"] = follow_sources(parts["audio"], parts["vision"])
        protocol["audio"] = "that of the vision recordings of the same names"
    splits: Splits = {name: {m: found[name] for m, found in parts.items()} for name in SPLITS}
    for name, by_modality in splits.items():
        for modality, items in by_modality.items():
            if not len(items):
                raise DataError(f"{name} must hold {modality} recordings, got none")
    return Opened(splits, protocol, described_parts, notes, hit)


def _cached(
    recorded: RecordedSet, width: int, height: int, cache_dir: Path | None
) -> tuple[CachedSet, bool]:
    """The set with its streams read, pooled and kept once; whether anything was kept before."""
    columns, rows, _ = recorded.sensor_size
    chain = []
    if (width, height) != (0, 0):
        size = (width or columns, height or rows)
        if size[0] > columns or size[1] > rows:
            raise ConfigError(
                f"data.{recorded.modality}.width and height must be at most {columns} and {rows}, "
                f"got {size[0]} and {size[1]}"
            )
        chain = [partial(downsample, width=size[0], height=size[1])]
    kept = cached_set(recorded, chain, cache_dir)
    store = kept.store
    return kept, store is not None and store.folder.is_dir() and any(store.folder.iterdir())


def _spoken_words(
    config: DataConfig, progress: Progress | None, cache_dir: Path | None
) -> tuple[Parts, str, bool]:
    """Spoken digits from a folder of wav files, split by speaker."""
    root = Path(config.audio.root or config.root)
    if not (config.audio.root or config.root) or not root.is_dir():
        raise ConfigError(f"{AUDIO_ROOT} must be a folder with wav files, got {str(root)!r}")
    recordings, hit = cached_speech(root, config, progress, cache_dir)
    speakers = sorted({r.group for r in recordings})
    test, validation = choose_speakers(
        speakers, config.test_speaker, config.validation_speaker, held_out=True
    )
    parts: Parts = {
        "train": [r for r in recordings if r.group not in (test, validation)],
        "validation": [r for r in recordings if r.group == validation],
        "test": [r for r in recordings if r.group == test],
    }
    if config.audio.max_per_class:
        n = config.audio.max_per_class
        parts = {k: [v[i] for i in _first_of_each(v, n)] for k, v in parts.items()}
    line = f"wav: {len(recordings)} recordings, {len(speakers)} speakers"
    return parts, line, hit


def _first_of_each(items: Sequence[Recording], n: int) -> list[int]:
    """Positions of the first ``n`` recordings of each class."""
    seen: dict[int, int] = {}
    kept = []
    for index, item in enumerate(described(items)):
        seen[item.label] = seen.get(item.label, 0) + 1
        if seen[item.label] <= n:
            kept.append(index)
    return kept


def _assigned(splits: Splits) -> tuple[Splits, Assignment]:
    """Labels replaced by joint classes, the same ones in every split."""
    joint: Assignment | None = None
    found: Splits = {}
    for name in SPLITS:
        sets = {m: items for m, items in splits[name].items() if isinstance(items, RecordedSet)}
        if len(sets) < 2:
            raise ConfigError('data.pairing "assigned" must be of two data sets, got others')
        relabelled, joint = assign(sets, joint)
        found[name] = dict(relabelled)
    if joint is None:
        raise DataError("splits must not be empty, got none")
    return found, joint


def _check_splits(splits: Splits, config: DataConfig) -> list[str]:
    """Refuse shared speakers and subjects, or say which there are in the published parts."""
    notes = []
    for modality in splits["train"]:
        alone = {name: {modality: parts[modality]} for name, parts in splits.items()}
        try:
            check_disjoint(alone)
        except DataError as error:
            if config.test_part != "published":
                raise
            notes.append(f"Published parts were kept as they are: {error}.")
    return notes


def _manifest(
    config: DataConfig,
    opened: Opened,
    splits: Splits,
    fixed: Mapping[str, Pairing],
    clock: ClockPolicy,
    joint: Assignment | None,
) -> dict[str, Any]:
    """What was opened, split and paired how; cut and padded time; with its own hash."""
    pairs = {name: found.pairs for name, found in fixed.items()}
    seed = config.pairing_seed
    body = {k: v for k, v in build_manifest(splits, pairs, clock, seed).items() if k != "sha256"}
    how = f"by {'declared assignment of classes' if joint is not None else config.pairing}"
    redrawn = "the same pairs" if config.pairing == "source" else "train pairs redrawn"
    body["policy"] = {
        **body["policy"],
        "pairing": f"{how}; {redrawn} every epoch, others fixed",
        "onsets": clock.onsets,
        "duration": (
            f"every sample lasts {clock.duration_ms:g} ms: a longer recording is cut (counted), a "
            "shorter one is followed by silence, which models read as silence; no step is left "
            "out of the answer"
        ),
    }
    body["declaration"] = fixed["test"].declaration
    if joint is not None:
        body["declaration"] = DECLARATIONS["assigned"]
    if len(splits["test"]) == 1:
        body["declaration"] = "one modality: nothing is paired, nothing is fused"
    body["sets"] = opened.described
    body["split_protocol"] = opened.protocol
    body["silent_share"] = {
        name: {m: _silent_share(items, m, clock) for m, items in parts.items()}
        for name, parts in splits.items()
    }
    if joint is not None:
        names = _classes(splits["train"])
        body["assignment"] = {names[k]: dict(row) for k, row in sorted(joint.items())}
    return with_digest(body)


def _silent_share(items: Sequence[Recording], modality: str, clock: ClockPolicy) -> float:
    """Mean share of a sample's time in which the sensor was not recording."""
    whole = clock.duration_ms * 1e3
    shares = []
    for item in items:
        placed = place(item.stream, modality, clock, item.source)
        shares.append(1 - (placed.end_us - placed.start_us) / whole)
    return round(float(np.mean(shares)), 4)


def _declarations(manifest: Mapping[str, Any]) -> list[str]:
    """What a reader must know first."""
    declaration = str(manifest["declaration"])
    silent = ", ".join(
        f"{name} {100 * share:.0f} %" for name, share in manifest["silent_share"]["test"].items()
    )
    return [
        declaration[0].upper() + declaration[1:] + ".",
        f"Share of the test samples' time after the recording has ended: {silent}.",
    ]


def _classes(parts: Mapping[str, Sequence[Recording]]) -> tuple[str, ...]:
    """Names of the labels; plain lists hold digits."""
    for items in parts.values():
        if isinstance(items, RecordedSet):
            return items.class_names
    return DIGITS


def _hearing(config: DataConfig) -> Hearing | None:
    """The cochlea that a digital sensor would have to run for these events."""
    if config.audio.name in ("wav", "DVSLip"):
        return Hearing(Cochlea(config.cochlea))
    if config.audio.name in ("SHD", "SSC"):
        return Hearing(ShdCochlea(), _HEIDELBERG_RATE_HZ)
    return None
