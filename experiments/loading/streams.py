"""Further modalities of a run's data: generated, or read from a folder of event files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.config import DataConfig, StreamConfig
from sensors.files import read_events
from sensors.recordings import Recording
from sensors.tactile import load_tactile
from spikefuse.errors import ConfigError, DataError

Progress = Callable[[int, int], None]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Streams:
    """Further modalities, split, and what to say about them.

    Parameters
    ----------
    splits : mapping of split to modality to recordings
    attribution : tuple of str
        One line for each modality.
    cache_hit : bool
        Whether the cache knew all that can be kept there.
    """

    splits: Mapping[str, Mapping[str, Sequence[Recording]]]
    attribution: tuple[str, ...]
    cache_hit: bool


def load_streams(
    config: DataConfig,
    classes: Sequence[str],
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Streams:
    """Recordings of every modality of ``config.modalities``.

    Parameters
    ----------
    config : DataConfig
    classes : sequence of str
        Names of the labels, as the other modalities have them.
    progress : callable (done, total), optional
    cache_dir : Path, optional

    Raises
    ------
    ConfigError
        If a folder is not there.
    DataError
        If a folder holds no recordings of a split, or of a class that the others do not have.
    """
    found: dict[str, list[Recording]] = {}
    said: list[str] = []
    hit = True
    for name, stream in config.modalities.items():
        if stream.source == "tactile":
            found[name], known = load_tactile(
                stream.tactile, len(classes), name, cache_dir, progress
            )
            hit = hit and known
            said.append(f"{name}: synthetic, spikefuse's own model of tactile afferents.")
        else:
            found[name] = _files(name, stream, classes)
            said.append(f"{name}: event files of {stream.root}.")
    return Streams(
        {s: {name: [r for r in items if r.split == s] for name, items in found.items()}
         for s in SPLITS},
        tuple(said),
        hit,
    )  # fmt: skip


def _files(modality: str, stream: StreamConfig, classes: Sequence[str]) -> list[Recording]:
    """Event files below ``{train,validation,test}/<class>/``."""
    root = Path(stream.root)
    if not root.is_dir():
        raise ConfigError(f"data.modalities.{modality}.root must be a folder, got {stream.root!r}")
    recordings: list[Recording] = []
    for split in SPLITS:
        folders = sorted(path for path in (root / split).glob("*") if path.is_dir())
        unknown = [path.name for path in folders if path.name not in classes]
        if unknown:
            raise DataError(
                f"{root / split} must hold folders of the classes {list(classes)}, got "
                f"{unknown[0]!r}"
            )
        paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
        if not paths:
            raise DataError(f"{root / split} must hold event files below <class>/, got none")
        for path in paths:
            events = replace(read_events(path), modality=modality)
            group = path.stem.partition("_")[0]
            source = path.relative_to(root).as_posix()
            label = classes.index(path.parent.name)
            recordings.append(Recording(events, label, source, group, split))
    sizes = {r.stream.sensor_size for r in recordings}
    if len(sizes) > 1:
        raise DataError(
            f"data.modalities.{modality}.root must hold recordings of one sensor size, got "
            f"{sorted(sizes)}"
        )
    return recordings
