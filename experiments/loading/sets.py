"""Public data sets for runs: names to open, parts, downloads, attributions, what is present."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.config import DataConfig, SetConfig
from sensors.data_sets import DATA_SETS, open_set
from sensors.recorded import RecordedSet
from sensors.sound_set import open_lip_audio
from spikefuse.errors import ConfigError, DataError

AUDIO_ROOT = "data.audio.root (or data.root)"
# Licences stand where the publisher's own page or file was seen to state them.
_SOURCES = {
    "NMNIST": "N-MNIST: Orchard et al. 2015, CC BY-SA 4.0.",
    "DVSGesture": "DVS128 Gesture: Amir et al., CVPR 2017, CC BY 4.0.",
    "DVSLip": "DVS-Lip: Tan et al., CVPR 2022.",
    "POKERDVS": "POKER-DVS: Serrano-Gotarredona and Linares-Barranco 2015.",
    "CIFAR10DVS": "CIFAR10-DVS: Li et al. 2017.",
    "SHD": "Spiking Heidelberg Digits: Cramer et al. 2022.",
    "SSC": "Spiking Speech Commands: Cramer et al. 2022, from Warden 2018.",
    "NTIDIGITS18": "N-TIDIGITS18: Anumula et al. 2018.",
    "SMNIST": "MNIST: LeCun and Cortes, as spikes of Tonic's SMNIST.",
}


def attribution(names: Sequence[str]) -> tuple[str, ...]:
    """What must be cited, one sentence for each set."""
    lines = [_SOURCES[name] for name in names if name in _SOURCES]
    if "wav" in names:
        lines.append(
            "Spoken digits: the folder's own licence (FSDD: Jackson et al., CC BY-SA 4.0)."
        )
    return tuple(dict.fromkeys(lines))


def source_parts(modality: str, name: str) -> tuple[str, ...]:
    """The parts in which a set is published."""
    if modality == "audio" and name == "DVSLip":
        return "train", "test"
    return tuple(DATA_SETS[name].parts)


def open_named(
    modality: str, config: DataConfig, part: str, download_missing: bool = False
) -> RecordedSet:
    """One part of the set that a modality names.

    Raises
    ------
    ConfigError
        If no folder is given.
    DataError
        If the set is missing or another argument is wrong, as `sensors.data_sets.open_set` says.
    """
    chosen = _of(modality, config)
    root = chosen.root or config.root
    if not root:
        raise ConfigError(
            f"data.root must be set for data.{modality}.name={chosen.name}: --set data.root=FOLDER"
        )
    if modality == "audio" and chosen.name == "DVSLip":
        return open_lip_audio(root, part, config.cochlea)
    options: dict[str, Any] = {"digits": True} if chosen.digits else {}
    return open_set(
        chosen.name,
        root,
        part,
        download_missing=download_missing,
        sort_times=chosen.sort_times,
        **options,
    )


def download_sets(config: DataConfig) -> list[str]:
    """Let Tonic's classes download what a configuration names; one line for each part.

    Raises
    ------
    ConfigError
        If the configuration names no public set.
    DataError
        If a set cannot be downloaded by Tonic's class.
    """
    if config.source != "sets":
        raise ConfigError(
            f'--download must be used with data.source = "sets", got {config.source!r}: nothing '
            "to download by Tonic's classes"
        )
    lines = []
    for modality in ("vision", "audio"):
        name = _of(modality, config).name
        if not name or name == "wav" or (modality == "audio" and name == "DVSLip"):
            continue
        for part in source_parts(modality, name):
            lines.append(open_named(modality, config, part, download_missing=True).describe())
    return lines


def present_sets(root: Path) -> list[dict[str, Any]]:
    """Every public set's parts: lengths and class counts where the files are, else what is missing.

    Parameters
    ----------
    root : Path
        Tonic's ``save_to``.
    """
    rows: list[dict[str, Any]] = []
    for name, data_set in DATA_SETS.items():
        for part, place in data_set.parts.items():
            row: dict[str, Any] = {"name": name, "part": part, "place": str(root / place)}
            if (root / place).exists():
                try:
                    recorded = open_set(name, root, part)
                    row |= {"says": recorded.describe(), "class_counts": recorded.class_counts()}
                    row["recordings"] = len(recorded)
                except DataError as error:
                    row["error"] = str(error)
            rows.append(row)
    return rows


def _of(modality: str, config: DataConfig) -> SetConfig:
    return config.vision if modality == "vision" else config.audio
