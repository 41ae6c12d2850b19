"""What the types of a configuration do not say: ranges, names, and what fits together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spikefuse.errors import ConfigError

if TYPE_CHECKING:
    from experiments.config import Config

VISION_SETS = ("NMNIST", "DVSGesture", "DVSLip", "POKERDVS", "CIFAR10DVS")
_TAKEN = ("vision", "audio", "late", "dense", "snn")
AUDIO_SETS = ("SHD", "SSC", "NTIDIGITS18", "SMNIST", "wav", "DVSLip")
_WEIGHTS = (
    "window_weight",
    "auxiliary_weight",
    "balance_strength",
    "activity_weight",
    "activity_target",
    "warmup_epochs",
    "clip_norm",
    "distil_weight",
)
_WHY_NOT = {
    "patience_epochs": "the last epoch is kept then, however good an early one was",
    "checkpoint_steps": "operations are counted over the whole sample",
    "tbptt_steps": "operations are counted over the whole sample",
}
_COUNTS = ("aware_epochs", "patience_epochs", "checkpoint_steps", "tbptt_steps")


def check_values(config: Config) -> None:
    """Ranges that types do not say."""
    positive = {
        "train.epochs": config.train.epochs,
        "train.dense_epochs": config.train.dense_epochs,
        "train.batch_size": config.train.batch_size,
        "train.learning_rate": config.train.learning_rate,
        "train.dense_learning_rate": config.train.dense_learning_rate,
        "train.partners": config.train.partners,
        "train.threads": config.train.threads,
        "train.distil_temperature": config.train.distil_temperature,
        "train.prune_epochs": config.train.prune_epochs,
        "data.dt_ms": config.data.dt_ms,
        "data.duration_ms": config.data.duration_ms,
        "cost.frame_vision_ms": config.cost.frame_vision_ms,
        "cost.frame_audio_ms": config.cost.frame_audio_ms,
        "cost.latency_repeats": config.cost.latency_repeats,
    }
    for key, value in positive.items():
        if not value > 0:
            raise ConfigError(f"{key} must be positive, got {value}")
    for name in _WEIGHTS:
        if not 0 <= getattr(config.train, name) < math.inf:
            raise ConfigError(
                f"train.{name} must be >= 0 and finite, got {getattr(config.train, name)}"
            )
    for name in _COUNTS:
        if getattr(config.train, name) < 0:
            raise ConfigError(f"train.{name} must be >= 0, got {getattr(config.train, name)}")
    _check_activity(config)
    _check_edge(config)
    if not 0 <= config.train.modality_dropout <= 1:
        raise ConfigError(
            f"train.modality_dropout must lie in [0, 1], got {config.train.modality_dropout}"
        )
    further = {f"modalities.{name}": spec for name, spec in config.model.modalities.items()}
    for name, encoder in {
        "vision": config.model.vision,
        "audio": config.model.audio,
        **further,
    }.items():
        try:
            encoder.delays_steps(config.data.dt_ms)
        except ValueError as error:
            raise ConfigError(f"model.{name}.{error}") from error
    if not 0 <= config.data.fold < 5:
        raise ConfigError(f"data.fold must be 0 to 4, got {config.data.fold}")
    if not config.seeds or len(set(config.seeds)) != len(config.seeds) or min(config.seeds) < 0:
        raise ConfigError(f"seeds must be distinct integers >= 0, got {list(config.seeds)}")
    if not config.models or len(set(config.models)) != len(config.models):
        raise ConfigError(f"models must be distinct names, got {list(config.models)}")
    if any(not 0 < w <= config.data.duration_ms for w in config.cost.windows_ms):
        raise ConfigError(
            f"cost.windows_ms must lie in (0, data.duration_ms={config.data.duration_ms}], got "
            f"{list(config.cost.windows_ms)}"
        )
    if not all(0 < deadline < math.inf for deadline in config.cost.deadlines_ms):
        raise ConfigError(
            f"cost.deadlines_ms must be positive, got {list(config.cost.deadlines_ms)}"
        )
    _check_sets(config)
    _check_scene(config)
    _check_modalities(config)


def _check_activity(config: Config) -> None:
    """What a price of operations excludes, and chunks that fit into each other."""
    train = config.train
    for name in ("patience_epochs", "checkpoint_steps", "tbptt_steps"):
        if train.activity_weight > 0 and getattr(train, name):
            raise ConfigError(
                f"train.{name} must be 0 with train.activity_weight {train.activity_weight:g}, got "
                f"{getattr(train, name)}: {_WHY_NOT[name]}"
            )
    if train.checkpoint_steps and train.tbptt_steps % train.checkpoint_steps:
        raise ConfigError(
            "train.tbptt_steps must be a multiple of train.checkpoint_steps "
            f"{train.checkpoint_steps}, got {train.tbptt_steps}"
        )


def _check_edge(config: Config) -> None:
    """Widths, shares, and a teacher that is there when it is needed."""
    train, models = config.train, config.models
    if not 2 <= train.aware_bits <= 8:
        raise ConfigError(f"train.aware_bits must be 2 to 8, got {train.aware_bits}")
    if not 0 <= train.prune_share < 1:
        raise ConfigError(f"train.prune_share must lie in [0, 1), got {train.prune_share}")
    pupils = [models.index(name) for name in ("snn", "snn_late") if name in models]
    taught = "dense" in models and models.index("dense") < min(pupils, default=len(models))
    if train.distil_weight > 0 and pupils and not taught:
        raise ConfigError(
            f"models must name dense before snn with train.distil_weight {train.distil_weight:g}, "
            f"got {list(models)}: the teacher is trained first"
        )


def _check_sets(config: Config) -> None:
    """Names of data sets, and models that their modalities can feed."""
    data = config.data
    named = {"vision": (data.vision, VISION_SETS), "audio": (data.audio, AUDIO_SETS)}
    for key, (part, names) in named.items():
        if part.name and part.name not in names:
            raise ConfigError(f"data.{key}.name must be one of {list(names)}, got {part.name!r}")
        for size in ("width", "height", "max_per_class"):
            if getattr(part, size) < 0:
                raise ConfigError(f"data.{key}.{size} must be >= 0, got {getattr(part, size)}")
        if part.digits and part.name not in ("SHD", "NTIDIGITS18"):
            raise ConfigError(
                f"data.{key}.digits must be false but for SHD and NTIDIGITS18, got {part.name!r}"
            )
    if data.source != "sets":
        if data.vision.name or data.audio.name:
            raise ConfigError(
                f'data.source must be "sets" to use data.vision or data.audio, got {data.source!r}'
            )
        return
    if data.test_root:
        raise ConfigError(
            f'data.test_root must be empty with data.source "sets", got {data.test_root!r}'
        )
    if (data.test_speaker or data.validation_speaker) and data.audio.name != "wav":
        raise ConfigError(
            "data.test_speaker and data.validation_speaker must be empty unless data.audio.name is "
            f'"wav", got {data.test_speaker or data.validation_speaker!r}; data.fold rotates'
        )
    if data.pairing == "source" and config.train.partners != 1:
        raise ConfigError(
            'train.partners must be 1 with data.pairing "source": a recording has one partner, got '
            f"{config.train.partners}"
        )
    present = [key for key, (part, _) in named.items() if part.name]
    if not present:
        raise ConfigError("data.vision.name or data.audio.name must name a data set, got neither")
    if len(present) == 1 and data.pairing != "label":
        raise ConfigError(
            f'data.pairing must be "label" with {present[0]} alone, got {data.pairing!r}'
        )


def _check_scene(config: Config) -> None:
    """A scene that can be drawn, on its own clock, and nothing that belongs to other sources."""
    data = config.data
    if data.source != "scene":
        if data.scene != type(data.scene)():
            raise ConfigError(f'data.source must be "scene" to use data.scene, got {data.source!r}')
        return
    # Scenes import torch, which no other configuration needs.
    from experiments.loading.scene import build_scene

    scene = build_scene(data.scene)
    if data.duration_ms != scene.duration_ms:
        raise ConfigError(
            f"data.duration_ms must be {scene.duration_ms}, the length of scene "
            f"{data.scene.name}, got {data.duration_ms:g}"
        )
    for name in ("n_train", "n_validation", "n_test"):
        if getattr(data.scene, name) < scene.n_classes:
            raise ConfigError(
                f"data.scene.{name} must be at least {scene.n_classes}, got "
                f"{getattr(data.scene, name)}"
            )
    if data.scene.seed < 0:
        raise ConfigError(f"data.scene.seed must be >= 0, got {data.scene.seed}")
    for name in ("root", "test_root", "test_speaker", "validation_speaker", "modalities"):
        if getattr(data, name):
            raise ConfigError(
                f'data.{name} must be empty with data.source "scene", got {getattr(data, name)!r}'
            )
    if config.train.partners != 1:
        raise ConfigError(
            'train.partners must be 1 with data.source "scene": a sample is one event, got '
            f"{config.train.partners}"
        )


def modalities_of(config: Config) -> tuple[str, ...]:
    """Modalities of the data, in their order: vision, audio, then the further ones."""
    data = config.data
    built_in = (("vision", data.vision), ("audio", data.audio))
    own = [name for name, part in built_in if data.source != "sets" or part.name]
    return (*own, *data.modalities)


def _check_modalities(config: Config) -> None:
    """Further modalities, and models that the data can feed."""
    data = config.data
    for name, stream in data.modalities.items():
        if name in _TAKEN or not name.isidentifier():
            raise ConfigError(
                "data.modalities must have names of letters, digits and _ other than "
                f"{list(_TAKEN)}, got {name!r}"
            )
        if stream.source == "files" and not stream.root:
            raise ConfigError(
                f"data.modalities.{name}.root must be a folder with source \"files\", got ''"
            )
    if data.modalities and data.pairing != "label":
        raise ConfigError(
            f'data.pairing must be "label" with data.modalities, got {data.pairing!r}'
        )
    for key, table in (
        ("model.modalities", config.model.modalities),
        ("cost.sensors", config.cost.sensors),
        ("cost.frame_ms", config.cost.frame_ms),
    ):
        for name in table:
            if name not in data.modalities:
                raise ConfigError(
                    f"{key} must be of data.modalities {list(data.modalities)}, got {name!r}"
                )
    for name, frame_ms in config.cost.frame_ms.items():
        if not frame_ms > 0:
            raise ConfigError(f"cost.frame_ms.{name} must be positive, got {frame_ms}")
    present = modalities_of(config)
    alone = [f"snn_{name}" for name in present]
    allowed = (
        ["snn", "dense", *alone] if len(present) == 1 else ["snn", "snn_late", "dense", *alone]
    )
    for model in config.models:
        if model not in allowed:
            of = f"with {present[0]} alone" if len(present) == 1 else f"with {', '.join(present)}"
            raise ConfigError(f"models must be of {allowed} {of}, got {model!r}")
