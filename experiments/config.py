"""The experiment's configuration: TOML in and out, overrides, errors that name the key."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from experiments.config_checks import check_values
from experiments.config_data import DataConfig as DataConfig
from experiments.config_data import SceneConfig as SceneConfig
from experiments.config_data import SetConfig as SetConfig
from experiments.config_data import StreamConfig as StreamConfig
from spikefuse.encoders.spec import ConvSpec, EncoderSpec
from spikefuse.errors import ConfigError
from spikefuse.neurons.lif import LIFParams


@dataclass(frozen=True)
class EncoderConfig(EncoderSpec):
    """An encoder, and where it comes from if it is not trained from scratch.

    ``pretrained`` is a run directory (or one folder of its ``checkpoints``) whose encoder of the
    same modality it starts from; with ``frozen`` it also stays so.
    """

    pretrained: str = ""


@dataclass(frozen=True)
class ModelConfig:
    """Encoders per modality, fusion operator and its options, neurons.

    ``modalities`` holds the encoders of further modalities. The dense twin has the same topology.
    ``dense_fusion`` is its operator, one of `spikefuse.baselines.DENSE_OPERATORS`, or ``twin``: the
    one that answers to ``fusion``; ``dense_options`` are its options.
    """

    vision: EncoderConfig = field(default_factory=EncoderConfig)
    audio: EncoderConfig = field(default_factory=EncoderConfig)
    fusion: str = "concat"
    fusion_hidden: int = 128
    fusion_options: dict[str, float | int | str | bool | list[float] | list[str]] = field(
        default_factory=dict
    )
    dense_fusion: str = "twin"
    dense_options: dict[str, float | int] = field(default_factory=dict)
    lif: LIFParams = field(default_factory=LIFParams)
    readout_tau_ms: float = 100.0
    modalities: dict[str, EncoderConfig] = field(default_factory=dict)

    def encoder(self, modality: str) -> EncoderConfig:
        """The encoder of a modality; that of a further one is the default where none is given."""
        given = {"vision": self.vision, "audio": self.audio, **self.modalities}
        return given.get(modality, EncoderConfig())


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training events: pixels, relative time, cochlea channels, dropped share."""

    shift_px: int = 2
    time_stretch: float = 0.15
    channel_shift: int = 4
    event_drop: float = 0.1


@dataclass(frozen=True)
class TrainConfig:
    """Optimiser and schedule; spiking and dense models each have what suits them.

    ``partners`` audio recordings are drawn for every vision recording in an epoch.
    ``window_weight`` weighs the loss after a random window against that of the whole sample.

    ``modality_dropout`` is the share of training samples that lose one of their modalities.
    ``auxiliary_weight`` weighs the loss of a readout of each encoder, which only training has.
    ``balance = "ogm"`` slows the encoder of the modality that those readouts find ahead, by
    ``balance_strength``. ``activity_weight`` weighs the synaptic operations of a sample beyond
    ``activity_target``, in units of those of the untrained model; with ``activity_prunes`` weights
    pay for the events that they meet as well, and vanish if they do not earn it.

    ``aware_epochs`` trains a copy of each model on behind the rounding to ``aware_bits`` bits, at
    0.3 times the learning rate; profiles that price whole numbers of 8 bits then price that copy.

    ``distil_weight`` weighs how far a spiking model that fuses is from the answers of the run's
    dense twin, which is trained before it, at ``distil_temperature``. Of a trained spiking model,
    weights that cause ``prune_share`` of the counted operations are taken out, and the rest is
    trained on for ``prune_epochs``.

    ``schedule`` is half a cosine over the epochs, or constant, after ``warmup_epochs`` of linear
    rise. Gradients longer than ``clip_norm`` are scaled down to it (0: never). Training ends after
    ``patience_epochs`` without a better epoch on validation (0: never early).

    ``mask_padding`` takes a spiking model's evidence from recorded time alone: steps after the end
    of the longest recording of a sample do not count. ``checkpoint_steps`` keeps activations of so
    many steps at a time and computes them again for the gradient; ``tbptt_steps`` cuts the gradient
    between chunks of so many (0: neither). ``tensorboard`` also logs for TensorBoard.
    """

    epochs: int = 20
    dense_epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 1e-2
    dense_learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    partners: int = 1
    window_weight: float = 0.3
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    dense_augment: AugmentConfig = field(default_factory=AugmentConfig)
    modality_dropout: float = 0.0
    auxiliary_weight: float = 0.0
    balance: Literal["none", "ogm"] = "none"
    balance_strength: float = 0.5
    activity_weight: float = 0.0
    activity_target: float = 0.0
    activity_prunes: bool = True
    aware_epochs: int = 0
    aware_bits: int = 8
    distil_weight: float = 0.0
    distil_temperature: float = 2.0
    prune_share: float = 0.0
    prune_epochs: int = 5
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float = 0.0
    clip_norm: float = 1.0
    patience_epochs: int = 0
    mask_padding: bool = False
    checkpoint_steps: int = 0
    tbptt_steps: int = 0
    tensorboard: bool = False
    threads: int = 2


@dataclass(frozen=True)
class CostConfig:
    """Profiles and sensors that price a run, and the dense twin's frames and windows.

    ``sensors`` and ``frame_ms`` are those of further modalities. A sensor that is not named leaves
    the energy with sensors open; a frame lasts ``frame_audio_ms`` where nothing is said. The share
    of answers that come by each of ``deadlines_ms`` is reported.
    """

    profiles: tuple[str, ...] = (
        "horowitz_45nm_fp32",
        "horowitz_45nm_int8",
        "loihi1_davies2018",
    )
    frontend_profile: str = "horowitz_45nm_int8"
    vision_sensor: str = "dvs128"
    audio_sensor: str = "mems_mic_mp34dt05"
    audio_frontend: Literal["digital", "silicon"] = "digital"
    reuse: Literal["ideal", "none"] = "ideal"
    frame_vision_ms: float = 50.0
    frame_audio_ms: float = 20.0
    windows_ms: tuple[float, ...] = (50.0, 100.0, 150.0, 200.0, 300.0)
    latency_repeats: int = 20
    deadlines_ms: tuple[float, ...] = (100.0, 200.0, 300.0, 400.0)
    sensors: dict[str, str] = field(default_factory=dict)
    frame_ms: dict[str, float] = field(default_factory=dict)

    def frame_of(self, modality: str) -> float:
        """Length of the dense twin's frames of a modality, in ms."""
        given = {"vision": self.frame_vision_ms, "audio": self.frame_audio_ms, **self.frame_ms}
        return given.get(modality, self.frame_audio_ms)


@dataclass(frozen=True)
class Config:
    """Everything that defines a run.

    ``models`` are ``snn``, ``snn_late``, ``dense``, and ``snn_<modality>`` for each alone. ``over``
    are axes ``key=value,value`` that ``spikefuse sweep`` takes where it is given none.
    """

    name: str = "demo"
    models: tuple[str, ...] = ("snn", "dense", "snn_vision", "snn_audio")
    seeds: tuple[int, ...] = (0,)
    over: tuple[str, ...] = ()
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    cost: CostConfig = field(default_factory=CostConfig)


_ADAPTER: TypeAdapter[Config] = TypeAdapter(Config)


def load_config(path_or_recipe: str | None, overrides: Sequence[str] = ()) -> Config:
    """Configuration from a TOML file or a packaged recipe, with ``key=value`` overrides.

    Parameters
    ----------
    path_or_recipe : str, optional
        A path, or the name of a recipe (see `recipe_names`); None gives the defaults.
    overrides : sequence of "a.b=value"
        The value is read as TOML, or else as a plain string.

    Raises
    ------
    ConfigError
        If the file or recipe is missing, or a key or value is wrong; it names the nearest valid.
    """
    values = _read(path_or_recipe) if path_or_recipe is not None else {}
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise ConfigError(f"--set must be key=value, got {override!r}")
        _assign(values, key.strip(), parse_value(text.strip()))
    _check_keys(values, valid_keys(values))
    try:
        config = _ADAPTER.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{key} is wrong: {first['msg']}, got {first['input']!r}") from error
    check_values(config)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain tables and lists."""
    return cast(dict[str, Any], _ADAPTER.dump_python(config, mode="json", exclude_none=True))


def to_toml(config: Config) -> str:
    """The configuration as TOML; loading it gives the same configuration."""
    import tomli_w

    return tomli_w.dumps(to_dict(config))


def recipe_names() -> list[str]:
    """Names of the packaged recipes."""
    names = [item.name for item in _recipes().iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """A packaged recipe as it is written, its head comment included."""
    return (_recipes() / f"{name}.toml").read_text(encoding="utf-8")


def _recipes() -> Traversable:
    return resources.files("experiments") / "recipes"


def _read(path_or_recipe: str) -> dict[str, Any]:
    """TOML of a file, or of a recipe of that name."""
    path = Path(path_or_recipe)
    if path.is_file():
        text = path.read_text()
    elif path_or_recipe in recipe_names():
        text = recipe_text(path_or_recipe)
    else:
        nearest = difflib.get_close_matches(path_or_recipe, recipe_names(), 1)
        hint = f"; nearest recipe: {nearest[0]}" if nearest else ""
        raise ConfigError(
            f"--config must be a TOML file or one of the recipes {recipe_names()}, got "
            f"{path_or_recipe!r}{hint}"
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--config {path_or_recipe} must be TOML: {error}") from error


def parse_value(text: str) -> Any:
    """What an override's text means: a TOML literal, or the text itself if it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; a bare value where a list belongs becomes a list of one."""
    *parents, last = key.split(".")
    table = values
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"unknown config key {key!r}: {parent!r} is a value, not a table")
    if key in ("seeds", "models", "cost.profiles", "cost.windows_ms") and not isinstance(
        value, list
    ):
        value = [parse_value(part.strip()) for part in str(value).split(",")]
    table[last] = value


def valid_keys(values: Mapping[str, Any] | None = None) -> list[str]:
    """Every dotted key that a configuration may hold, those of the modalities it names included."""
    keys = _keys_of(Config(), "")
    for group, default in (("data", StreamConfig()), ("model", EncoderConfig())):
        table = (values or {}).get(group, {})
        named = table.get("modalities", {}) if isinstance(table, Mapping) else {}
        for name in named if isinstance(named, Mapping) else ():
            prefix = f"{group}.modalities.{name}"
            keys += [prefix, *_keys_of(default, f"{prefix}.")]
    return sorted(keys)


def _keys_of(value: Any, prefix: str) -> list[str]:
    """Dotted names of a dataclass instance's fields, tables included."""
    keys: list[str] = []
    for item in fields(value):
        name = f"{prefix}{item.name}"
        keys.append(name)
        inner = getattr(value, item.name)
        if is_dataclass(inner):
            keys += _keys_of(inner, f"{name}.")
    return keys


def _check_keys(values: Mapping[str, Any], known: Sequence[str], prefix: str = "") -> None:
    """Refuse unknown keys with the nearest valid one."""
    tables = {key.rpartition(".")[0] for key in known}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key not in known:
            leaf = [k for k in known if k.rpartition(".")[2] == name]
            nearest = (leaf or difflib.get_close_matches(key, known, 1, 0.0))[0]
            raise ConfigError(f"unknown config key {key!r}; nearest valid key: {nearest!r}")
        if key in tables:
            if not isinstance(value, Mapping):
                raise ConfigError(f"{key} must be a table, got {value!r}")
            _check_keys(value, known, f"{key}.")


__all__ = ["Config", "ConvSpec", "load_config", "recipe_names", "to_dict", "to_toml"]
