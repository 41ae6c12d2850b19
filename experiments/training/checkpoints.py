"""Training state on disk: every epoch whole or absent, so that ``kill -9`` loses at most one."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

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
        One record per epoch, as written to ``metrics.jsonl``: what a rerun gives bit for bit.
    timing : list of dict
        How fast each was, as written to ``timing.jsonl``: no rerun gives the same.
    """

    epoch: int = 0
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Partial:
    """An epoch that was interrupted between two batches, with all that its rest depends on.

    Parameters
    ----------
    epoch : int
        The epoch under way.
    batches : int
        Batches done.
    sums : dict
        What has been added up over them.
    generators : list of dict
        States of the numpy generators.
    torch_state : Tensor, uint8
        State of torch's generator.
    """

    epoch: int
    batches: int
    sums: dict[str, Any]
    generators: list[Any]
    torch_state: Tensor


class CheckpointFolder:
    """The checkpoints of one model and seed.

    ``epoch-0007/`` holds weights, optimiser, objective and progress and appears by one rename;
    ``best-0005.safetensors`` is written before the epoch that names it and removed after.
    ``part-0008/`` is an epoch that was interrupted on purpose.

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
    ) -> Partial | None:
        """Put the last saved weights, optimiser and objective state back.

        Returns
        -------
        Partial or None
            Where in the next epoch they are; None at its beginning.
        """
        self._remove_drafts()
        self._drop_replaced()  # a kill may fall between the last epoch's save and this
        part = self._part(self.load_progress().epoch + 1)
        whole = self._last()
        last = part if part.is_dir() else whole
        if last is None:
            return None
        model.load_state_dict(load_file(last / "weights.safetensors"))
        optimizer.load_state_dict(torch.load(last / "optimizer.pt", weights_only=True))
        extra = last / "objective.safetensors"
        if extra.is_file():  # runs of before it was saved had nothing in it
            objective.load_state_dict(load_file(extra))
        if last is whole:
            return None
        state = load_file(part / "random.safetensors")["torch"]
        return Partial(**json.loads((part / "partial.json").read_text()), torch_state=state)

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
        files = _training_state(weights, optimizer, objective)
        self._publish(final, files | {"progress.json": json.dumps(asdict(progress)).encode()})
        self._drop_replaced()

    def save_partial(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        objective: nn.Module,
        partial: Partial,
    ) -> None:
        """Save an epoch between two of its batches; the last whole one stays."""
        kept = {k: v for k, v in vars(partial).items() if k != "torch_state"}
        files = _training_state(_packed(model), optimizer, objective) | {
            "partial.json": json.dumps(kept).encode(),
            "random.safetensors": save({"torch": partial.torch_state}),
        }
        self._publish(self._part(partial.epoch), files)

    def _drop_replaced(self) -> None:
        """Remove what the last whole epoch stands in for: earlier ones, and weights no longer best.

        An interrupted epoch stays if it is the next one.
        """
        last, progress = self._last(), self.load_progress()
        kept = {last, self._part(progress.epoch + 1)}
        for pattern in ("epoch-*", "part-*"):
            for other in self.folder.glob(pattern):
                if other not in kept:
                    shutil.rmtree(other, ignore_errors=True)
        if last is None:
            return
        for other in self.folder.glob("best-*.safetensors"):
            if other != self._best(progress.best_epoch):
                other.unlink(missing_ok=True)

    def _publish(self, final: Path, files: Mapping[str, bytes]) -> None:
        """A folder of files that appears by one rename."""
        draft = self.folder / f".{final.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, content in files.items():
            write_bytes(draft / name, content)
        if final.is_dir():  # a folder cannot replace another: out of the way by one rename as well
            old = self.folder / f".{final.name}.old.draft"
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        draft.rename(final)
        shutil.rmtree(self.folder / f".{final.name}.old.draft", ignore_errors=True)

    def _remove_drafts(self) -> None:
        """What a killed process left half written."""
        for path in self.folder.glob(".*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

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

    def _part(self, epoch: int) -> Path:
        return self.folder / f"part-{epoch:04d}"

    def _last(self) -> Path | None:
        found = sorted(self.folder.glob("epoch-*"))
        return found[-1] if found else None


def _training_state(
    weights: bytes, optimizer: torch.optim.Optimizer, objective: nn.Module
) -> dict[str, bytes]:
    """Files from which training goes on."""
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    return {
        "weights.safetensors": weights,
        "objective.safetensors": _packed(objective),
        "optimizer.pt": buffer.getvalue(),
    }


def _packed(module: nn.Module) -> bytes:
    """A module's state as a safetensors file."""
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    packed: bytes = save(state)
    return packed
