"""Training state on disk: every epoch whole or absent, so that ``kill -9`` loses at most one."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from experiments.files import write_bytes
from spikefuse.errors import DataError


@dataclass(frozen=True)
class Progress:
    """How far the training of one model and seed is.

    Parameters
    ----------
    epoch : int
        Epochs done.
    best_epoch : int
        Epoch (1-based) of the best validation result, 0 before the first.
    history : list of dict
        One record per epoch, as written to ``metrics.jsonl``.
    """

    epoch: int = 0
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


class CheckpointFolder:
    """The checkpoints of one model and seed.

    ``epoch-0007/`` holds weights, optimiser, objective and progress and appears by one rename;
    ``best-0005.safetensors`` is written before the epoch that names it and removed after.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load_progress(self) -> Progress:
        """Progress of the last whole epoch; the beginning if there is none."""
        last = self._last()
        if last is None:
            return Progress()
        return Progress(**json.loads((last / "progress.json").read_text()))

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, objective: nn.Module
    ) -> None:
        """Put the last whole epoch's weights, optimiser and objective state back."""
        last = self._last()
        if last is None:
            return
        model.load_state_dict(load_file(last / "weights.safetensors"))
        optimizer.load_state_dict(torch.load(last / "optimizer.pt", weights_only=True))
        extra = last / "objective.safetensors"
        if extra.is_file():  # runs of before it was saved had nothing in it
            objective.load_state_dict(load_file(extra))

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        objective: nn.Module,
    ) -> None:
        """Save an epoch, then drop what it replaces."""
        weights = _packed(model)
        if progress.best_epoch == progress.epoch:
            write_bytes(self._best(progress.epoch), weights)
        final = self.folder / f"epoch-{progress.epoch:04d}"
        draft = self.folder / f".{final.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        write_bytes(draft / "weights.safetensors", weights)
        write_bytes(draft / "objective.safetensors", _packed(objective))
        buffer = io.BytesIO()
        torch.save(optimizer.state_dict(), buffer)
        write_bytes(draft / "optimizer.pt", buffer.getvalue())
        write_bytes(draft / "progress.json", json.dumps(asdict(progress)).encode())
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        for other in self.folder.glob("epoch-*"):
            if other != final:
                shutil.rmtree(other, ignore_errors=True)
        for other in self.folder.glob("best-*.safetensors"):
            if other != self._best(progress.best_epoch):
                other.unlink(missing_ok=True)

    def load_best(self, model: nn.Module) -> None:
        """Put the weights of the best validation epoch into ``model``.

        Raises
        ------
        DataError
            If no epoch has been saved.
        """
        path = self._best(self.load_progress().best_epoch)
        if not path.is_file():
            raise DataError(f"{self.folder} must hold a trained checkpoint, got none; train first")
        model.load_state_dict(load_file(path))

    def save_best(self, model: nn.Module) -> None:
        """Put ``model`` in the place of the best epoch's weights: what was fitted afterwards."""
        write_bytes(self._best(self.load_progress().best_epoch), _packed(model))

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:04d}.safetensors"

    def _last(self) -> Path | None:
        found = sorted(self.folder.glob("epoch-*"))
        return found[-1] if found else None


def _packed(module: nn.Module) -> bytes:
    """A module's state as a safetensors file."""
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    packed: bytes = save(state)
    return packed
