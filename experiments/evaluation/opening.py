"""A run directory made into a model again, for whoever runs it on something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.config import Config
from experiments.loading.data import load_data
from experiments.training.trained import trained_learner
from spikefuse.errors import ConfigError, DataError
from spikefuse.models import FusionSNN


def open_model(run: Path, config: Config, name: str, seed: int) -> tuple[FusionSNN, dict[str, Any]]:
    """A trained spiking model of a run in evaluation, and the run's result.

    Raises
    ------
    ConfigError
        If the run has no such model, or it is not spiking.
    DataError
        If it is not trained.
    """
    try:
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"RUN must hold a whole result.json, got: {error}") from error
    spiking = [n for n, m in result["models"].items() if m["kind"] == "spiking"]
    if name not in spiking:
        raise ConfigError(f"--model must be a spiking model of the run {spiking}, got {name!r}")
    model = trained_learner(run, config, load_data(config.data), name, seed).model
    if not isinstance(model, FusionSNN):
        raise ConfigError(f"--model must be a spiking model, got {name!r}")
    return model, result
