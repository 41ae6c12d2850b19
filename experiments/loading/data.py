"""A run's data: recordings by split, fixed pairs, what to say about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import sensors.audio_source
import sensors.cochlea
from experiments.config import DataConfig
from experiments.loading.splits import stratified_folds as stratified_folds
from experiments.loading.streams import load_streams
from sensors.audio_source import load_spoken_digits, spoken_digit_folder
from sensors.cache import cached_recordings
from sensors.cochlea import Cochlea
from sensors.digits import load_digits
from sensors.paired import (
    ClockPolicy,
    Pair,
    build_manifest,
    check_disjoint,
    pair_by_label,
)
from sensors.recordings import Recording
from sensors.tonic_source import load_nmnist
from spikefuse.errors import ConfigError, DataError
from spikefuse.opcounts import COUNT_FIELDS, PathCounts

Split = Mapping[str, Sequence[Recording]]
Progress = Callable[[int, int], None]
N_FOLDS = 5
DIGIT_NAMES = tuple(map(str, range(10)))
_SPEECH_RATE_HZ = 8000


class CountedCochlea(Protocol):
    """A cochlea that knows what it costs as a digital circuit."""

    def frontend_counts(self, n_samples: int, sample_rate: float) -> PathCounts:
        """Operations for ``n_samples`` audio samples."""
        ...


@dataclass(frozen=True)
class Hearing:
    """The digital cochlea that made the audio events, and the rate of the sound it heard.

    Parameters
    ----------
    cochlea : CountedCochlea
    sample_rate : int
        In hertz.
    """

    cochlea: CountedCochlea
    sample_rate: int = _SPEECH_RATE_HZ

    def counts(self, duration_ms: float, n: int) -> PathCounts:
        """Operations for ``n`` samples of ``duration_ms``."""
        heard = round(duration_ms * 1e-3 * self.sample_rate)
        one = self.cochlea.frontend_counts(heard, self.sample_rate)
        return replace(one, **{name: n * getattr(one, name) for name in COUNT_FIELDS})


@dataclass(frozen=True)
class PairedData:
    """Recordings of train, validation and test, with the fixed pairs of the last two.

    ``classes`` are the names of the labels. ``hearing`` is None where no digital cochlea of ours
    made the audio events, or there are none. ``train_pairs`` are given where recordings belong
    together and nothing is drawn. ``scene`` says of a timed scene what it is and what its ideal
    observer reaches on the test samples.
    """

    splits: Mapping[str, Split]
    fixed_pairs: Mapping[str, Sequence[Pair]]
    clock: ClockPolicy
    manifest: Mapping[str, Any]
    cache_hit: bool
    synthetic_speech: bool
    attribution: tuple[str, ...]
    notes: tuple[str, ...]
    classes: tuple[str, ...] = DIGIT_NAMES
    hearing: Hearing | None = field(default=None, compare=False)
    train_pairs: tuple[Pair, ...] | None = None
    scene: Mapping[str, Any] | None = None

    def epoch_pairs(self, seed: int, epoch: int, partners: int) -> list[Pair]:
        """Training pairs of an epoch, redrawn; every vision recording ``partners`` times."""
        rng = np.random.default_rng([seed, epoch, 0])
        if self.train_pairs is not None:
            return [self.train_pairs[i] for i in rng.permutation(len(self.train_pairs))]
        return [
            pair
            for _ in range(partners)
            for pair in pair_by_label(self.splits["train"], rng, exhaustive=False)
        ]

    @property
    def sensor_sizes(self) -> dict[str, tuple[int, int, int]]:
        """Sensor size of each modality."""
        return {name: items[0].stream.sensor_size for name, items in self.splits["train"].items()}


def load_data(
    config: DataConfig, progress: Progress | None = None, cache_dir: Path | None = None
) -> PairedData:
    """Load, split and pair the configured data.

    Raises
    ------
    ConfigError
        If a speaker is not there, or ``data.root`` is missing for a source that needs it.
    DataError
        If recordings are missing or damaged.
    """
    if config.source == "embedded_digits":
        return _embedded(config, progress, cache_dir)
    if config.source == "sets":
        from experiments.loading.public import load_sets

        return load_sets(config, progress, cache_dir)
    if config.source == "scene":
        from experiments.loading.scene import load_scene

        return load_scene(config, progress, cache_dir)
    return _real(config, progress, cache_dir)


def _embedded(config: DataConfig, progress: Progress | None, cache_dir: Path | None) -> PairedData:
    """The generated default: real handwritten digits, synthetic speech."""
    (vision, audio), hit = load_digits(config.digits, cache_dir=cache_dir, progress=progress)
    splits = {
        split: {
            "vision": [r for r in vision if r.split == split],
            "audio": [r for r in audio if r.split == split],
        }
        for split in ("train", "validation", "test")
    }
    return _paired(
        config,
        splits,
        hit,
        progress,
        cache_dir,
        synthetic_speech=True,
        attribution=(
            "Handwritten digits: scikit-learn's load_digits (UCI Optical Recognition of "
            "Handwritten Digits, CC BY 4.0), turned into events by spikefuse's pixel model.",
            "Speech: synthetic, spikefuse's own formant synthesiser.",
        ),
        hearing=Hearing(Cochlea(config.digits.cochlea)),
    )


def _real(config: DataConfig, progress: Progress | None, cache_dir: Path | None) -> PairedData:
    """N-MNIST recordings paired with spoken digits, speaker-disjoint."""
    if not config.root:
        raise ConfigError(
            "data.root must be set for data.source=nmnist_fsdd: --set data.root=FOLDER with "
            "NMNIST/ and FSDD/recordings/"
        )
    root = Path(config.root)
    if not root.is_dir():
        raise DataError(f"data.root must be a folder with NMNIST/ and FSDD/recordings/, got {root}")
    vision = load_nmnist(root)
    audio, hit = cached_speech(root, config, progress, cache_dir)
    speakers = sorted({r.group for r in audio})
    test_root = Path(config.test_root) if config.test_root else None
    if test_root is not None and not test_root.is_dir():
        raise DataError(f"data.test_root must be a folder, got {test_root}")
    test_speaker, validation_speaker = choose_speakers(
        speakers, config.test_speaker, config.validation_speaker, held_out=test_root is None
    )
    folds = stratified_folds(vision, N_FOLDS)
    validation_fold = (config.fold + 1) % N_FOLDS
    splits: dict[str, dict[str, list[Recording]]] = {
        "validation": {
            "vision": [r for r, f in zip(vision, folds, strict=True) if f == validation_fold],
            "audio": [r for r in audio if r.group == validation_speaker],
        }
    }
    if test_root is None:
        splits["test"] = {
            "vision": [r for r, f in zip(vision, folds, strict=True) if f == config.fold],
            "audio": [r for r in audio if r.group == test_speaker],
        }
        train_folds = {f for f in range(N_FOLDS) if f not in (config.fold, validation_fold)}
    else:
        test_audio, _ = cached_speech(test_root, config, progress, cache_dir)
        splits["test"] = {"vision": load_nmnist(test_root), "audio": test_audio}
        train_folds = {f for f in range(N_FOLDS) if f != validation_fold}
    splits["train"] = {
        "vision": [r for r, f in zip(vision, folds, strict=True) if f in train_folds],
        "audio": [r for r in audio if r.group not in (test_speaker, validation_speaker)],
    }
    return _paired(
        config,
        {name: splits[name] for name in ("train", "validation", "test")},
        hit,
        progress,
        cache_dir,
        synthetic_speech=False,
        attribution=(
            "N-MNIST: Orchard et al. 2015, CC BY-SA 4.0.",
            "Free Spoken Digit Dataset: Jackson et al., CC BY-SA 4.0.",
        ),
        hearing=Hearing(Cochlea(config.cochlea)),
    )


def cached_speech(
    root: Path, config: DataConfig, progress: Progress | None, cache_dir: Path | None
) -> tuple[list[Recording], bool]:
    """Spoken digits through the cochlea, encoded once per content of the folder."""
    from dataclasses import asdict

    paths = sorted(spoken_digit_folder(root).glob("*.wav"))
    files = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in paths]
    key = {"kind": "spoken_digits", "cochlea": asdict(config.cochlea), "files": files}
    return cached_recordings(
        key,
        lambda: load_spoken_digits(root, config.cochlea, progress),
        sources=[sensors.cochlea, sensors.audio_source],
        directory=cache_dir,
    )


def choose_speakers(
    speakers: Sequence[str], test: str, validation: str, held_out: bool
) -> tuple[str | None, str]:
    """Test and validation speaker; by default the last and the one before it.

    Raises
    ------
    ConfigError
        If a named speaker is absent, both are the same, or too few speakers are left to train on.
    """
    for key, name in (("data.test_speaker", test), ("data.validation_speaker", validation)):
        if name and name not in speakers:
            raise ConfigError(f"{key} must be one of {list(speakers)}, got {name!r}")
    if len(speakers) < (3 if held_out else 2):
        raise ConfigError(
            f"data.root must hold at least {3 if held_out else 2} speakers, got {list(speakers)}"
        )
    chosen_test = (test or speakers[-1]) if held_out else None
    left = [s for s in speakers if s != chosen_test]
    if not validation and chosen_test is not None:
        # The speaker before the test speaker, so that leave-one-speaker-out rotates both.
        validation = speakers[speakers.index(chosen_test) - 1]
    validation = validation or left[-1]
    if validation == chosen_test:
        raise ConfigError(
            f"data.validation_speaker must differ from data.test_speaker, got {validation!r} twice"
        )
    return chosen_test, validation


def _paired(
    config: DataConfig,
    splits: Mapping[str, Split],
    hit: bool,
    progress: Progress | None,
    cache_dir: Path | None,
    synthetic_speech: bool,
    attribution: tuple[str, ...],
    hearing: Hearing,
) -> PairedData:
    """Add further modalities, check the splits and fix the pairs of validation and test."""
    further = load_streams(config, DIGIT_NAMES, progress, cache_dir)
    splits = {name: {**parts, **further.splits[name]} for name, parts in splits.items()}
    check_disjoint(splits)
    clock = ClockPolicy(config.duration_ms, config.audio_offset_ms)
    fixed = {
        split: pair_by_label(
            splits[split],
            np.random.default_rng([config.pairing_seed, index]),
            exhaustive=True,
        )
        for index, split in enumerate(("validation", "test"), start=1)
    }
    manifest = build_manifest(splits, fixed, clock, config.pairing_seed)
    return PairedData(
        splits,
        fixed,
        clock,
        manifest,
        hit and further.cache_hit,
        synthetic_speech,
        (*attribution, *further.attribution),
        pairing_notes(manifest),
        hearing=hearing,
    )


def pairing_notes(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader must know about the pairing, in sentences."""
    notes: list[str] = []
    for split, report in manifest["reuse"].items():
        for name, uses in report.items():
            if isinstance(uses, dict) and uses["reused"]:
                notes.append(
                    f"{split}: {uses['reused']} of {uses['recordings']} {name} recordings occur in "
                    f"more than one of the {report['pairs']} pairs (at most {uses['most_uses']})."
                )
    for split, unused in manifest["unused_labels"].items():
        for name, labels in unused.items():
            notes.append(f"{split}: {name} recordings of labels {labels} have no partner, unused.")
    for split, cut in manifest["cut_events"].items():
        for name, n_events in cut.items():
            if n_events:
                notes.append(f"{split}: {n_events} {name} events beyond the duration were cut.")
    return tuple(notes)
