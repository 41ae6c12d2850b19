"""The training loop of studies: any model, its losses batch by batch, the best epoch kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from experiments.config import TrainConfig
from experiments.training.schedule import learning_rate_scale


@dataclass(frozen=True)
class Score:
    """Accuracy and mean loss on the fixed pairs of a split."""

    accuracy: float
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better: accuracy, then loss."""
        return self.accuracy, -self.loss


def fit_best(
    model: nn.Module,
    losses: Callable[[int], Iterator[Tensor]],
    validated: Callable[[], Score],
    settings: TrainConfig,
    rate: float,
    decay: float,
    epochs: int,
) -> Score:
    """Train, leave the model at its best epoch on validation, and return its score there.

    AdamW with half a cosine of learning rate and gradients clipped at norm 1.

    Parameters
    ----------
    model : nn.Module
    losses : callable
        Of an epoch (from 1): the loss of each batch, one after the other.
    validated : callable
        Score on the validation pairs.
    settings : TrainConfig
    rate, decay : float
        Learning rate at the start, weight decay.
    epochs : int

    Raises
    ------
    ValueError
        If ``epochs`` is below 1.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    cosine = replace(settings, schedule="cosine", warmup_epochs=0)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
    best: tuple[Score, dict[str, Tensor]] | None = None
    for epoch in range(1, epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * learning_rate_scale(cosine, epoch, epochs, 1.0)
        model.train()
        for loss in losses(epoch):
            if not bool(torch.isfinite(loss)):
                continue  # a rate that is too high loses its trial, not the study
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        found = validated()
        if best is None or found.rank > best[0].rank:
            best = (found, copy.deepcopy(model.state_dict()))
    assert best is not None
    model.load_state_dict(best[1])
    model.eval()
    return best[0]
