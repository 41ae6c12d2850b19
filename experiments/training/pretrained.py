"""Encoders that another run trained."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from experiments.config import Config, load_config
from spikefuse.errors import ConfigError
from spikefuse.models import FusionSNN


def load_encoders(model: FusionSNN, config: Config, seed: int) -> None:
    """Put pretrained encoders in, for each modality that names where they are.

    Parameters
    ----------
    model : FusionSNN
        Changed in place.
    config : Config
        ``model.<modality>.pretrained`` is a run directory, or one folder of its checkpoints.
    seed : int
        Which of the run's models: the unimodal one of this seed, or else the fused one.

    Raises
    ------
    ConfigError
        If there is no such checkpoint, or it was trained with another step, other neurons or
        another encoder; the message names the key.
    """
    for name, encoder in model.encoders.items():
        named = pretrained_of(config, name)
        if not named:
            continue
        key = f"model.{name}.pretrained"
        folder = _checkpoint(Path(named), name, seed, key)
        _check_run(folder, config, key)
        weights = encoder_weights(folder, name, key)
        try:
            encoder.load_state_dict(weights)
        except RuntimeError as error:
            lines = str(error).splitlines()
            raise ConfigError(
                f"{key} must be a run with the same encoder of {name}, got {folder}: "
                f"{lines[min(1, len(lines) - 1)].strip()}"
            ) from error


def pretrained_of(config: Config, name: str) -> str:
    """Where the encoder of a modality comes from; empty if it is trained from scratch."""
    return config.model.encoder(name).pretrained


def encoder_weights(folder: Path, name: str, key: str = "folder") -> dict[str, Tensor]:
    """Weights of the encoder of modality ``name`` in the best epoch of a checkpoint folder.

    Raises
    ------
    ConfigError
        If the folder holds no trained model with that encoder.
    """
    found = sorted(folder.glob("best-*.safetensors"))
    if not found:
        raise ConfigError(f"{key} must be a trained run, got {folder} without a best epoch")
    prefix = f"encoders.{name}."
    weights = {
        k.removeprefix(prefix): v for k, v in load_file(found[-1]).items() if k.startswith(prefix)
    }
    if not weights:
        raise ConfigError(f"{key} must be a run with an encoder of {name}, got {folder} with none")
    return weights


def _checkpoint(path: Path, name: str, seed: int, key: str) -> Path:
    """The checkpoint folder to read."""
    if any(path.glob("best-*.safetensors")):
        return path
    tried = [path / "checkpoints" / f"{model}-seed{seed}" for model in (f"snn_{name}", "snn")]
    for folder in tried:
        if folder.is_dir():
            return folder
    raise ConfigError(
        f"{key} must be a run directory with checkpoints/{tried[0].name} or {tried[1].name}, or "
        f"such a folder, got {path}"
    )


def _check_run(folder: Path, config: Config, key: str) -> None:
    """Refuse a run whose encoders mean something else: another step, other neurons."""
    path = folder.parents[1] / "config.toml"
    if not path.is_file():
        raise ConfigError(f"{key} must lie in a run directory with config.toml, got {folder}")
    theirs = load_config(str(path))
    if theirs.data.dt_ms != config.data.dt_ms:
        raise ConfigError(
            f"{key} must be a run with data.dt_ms={config.data.dt_ms:g}, got {theirs.data.dt_ms:g}"
        )
    if theirs.model.lif != config.model.lif:
        raise ConfigError(
            f"{key} must be a run with the same model.lif, got {theirs.model.lif} instead of "
            f"{config.model.lif}"
        )
