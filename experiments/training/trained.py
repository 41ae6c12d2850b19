"""Models of a run directory, as training left them."""

from __future__ import annotations

from pathlib import Path

from experiments.config import Config
from experiments.loading.data import PairedData
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.learners import Learner, build_learner


def checkpoints_of(run: Path, name: str, seed: int) -> CheckpointFolder:
    """The checkpoints of one model and seed of a run directory."""
    return CheckpointFolder(run / "checkpoints" / f"{name}-seed{seed}")


def trained_learner(run: Path, config: Config, data: PairedData, name: str, seed: int) -> Learner:
    """A model of a run at its best epoch, in evaluation.

    Raises
    ------
    DataError
        If it is not trained.
    """
    learner = build_learner(name, config, data.sensor_sizes, seed, len(data.classes))
    checkpoints_of(run, name, seed).load_best(learner.model)
    learner.model.eval()
    return learner
