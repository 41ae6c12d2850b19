"""Epochs for TensorBoard, where it is wanted and installed (``pip install 'spikefuse[track]'``)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.config import Config
from spikefuse.errors import ConfigError

_INSTALL = "pip install 'spikefuse[track]'"
# What tells epochs apart is the axis, or the name of the log.
_PLACE = ("model", "seed", "epoch")


def check_tracking(config: Config) -> None:
    """Refuse to begin a run that could not be logged.

    Raises
    ------
    ConfigError
        If TensorBoard is wanted and not installed.
    """
    if config.train.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            f"train.tensorboard must be false without TensorBoard, got true; {_INSTALL}"
        )


def track(config: Config, folder: Path, record: Mapping[str, Any]) -> None:
    """Add an epoch's numbers to the run's ``tensorboard/<model>-seed<seed>/``, if wanted.

    Parameters
    ----------
    config : Config
    folder : Path
        Run directory.
    record : mapping
        As handed out after each epoch. An epoch that is repeated replaces the one of before.
    """
    if not config.train.tensorboard:
        return
    from torch.utils.tensorboard import SummaryWriter

    log = folder / "tensorboard" / f"{record['model']}-seed{record['seed']}"
    epoch = int(record["epoch"])
    with SummaryWriter(log_dir=str(log), purge_step=epoch) as writer:
        for name, value in record.items():
            if name not in _PLACE:
                writer.add_scalar(name, value, epoch)
