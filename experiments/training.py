"""Training of one model and seed: validation-selected, deterministic, exactly resumable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.batches import batches
from experiments.checkpoints import CheckpointFolder, Progress
from experiments.config import Config
from experiments.data import PairedData
from experiments.learners import Learner
from experiments.objective import Objective
from sensors.paired import Pair
from spikefuse.errors import SpikefuseError
from spikefuse.models.fixed_point import AwareSNN
from spikefuse.synapses.annealing import AnnealedDelays

OnEpoch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Score:
    """Mean loss and accuracy of a pass over some pairs."""

    loss: float
    accuracy: float


def epochs_of(learner: Learner, config: Config) -> int:
    """How many epochs this kind of model is trained for."""
    return config.train.epochs if learner.spiking else config.train.dense_epochs


def train_model(
    learner: Learner,
    data: PairedData,
    config: Config,
    seed: int,
    folder: CheckpointFolder,
    on_epoch: OnEpoch,
) -> None:
    """Train for all its epochs, saving each and remembering the best on validation.

    All randomness of an epoch comes from (seed, epoch), so a run that was killed and resumed goes
    through the same numbers as one that was not.

    Raises
    ------
    SpikefuseError
        If the loss is no longer finite; the last good epoch stays saved.
    """
    settings = config.train
    rate = settings.learning_rate if learner.spiking else settings.dense_learning_rate
    objective = Objective(learner, config, len(data.classes), seed)
    optimizer = torch.optim.AdamW(
        objective.groups(learner.model), rate, weight_decay=settings.weight_decay
    )
    progress = folder.load_progress()
    folder.restore(learner.model, optimizer, objective)
    n_epochs = epochs_of(learner, config)
    for epoch in range(progress.epoch + 1, n_epochs + 1):
        started = time.perf_counter()
        # Half a cosine, a function of the epoch alone: nothing to save.
        scale = 0.5 * (1 + math.cos(math.pi * (epoch - 1) / n_epochs))
        for group in optimizer.param_groups:
            group["lr"] = rate * max(scale, 0.02)
        done = (epoch - 1) / max(n_epochs - 1, 1)
        # Behind the rounding of whole numbers training goes on from sharp delays.
        _sharpen_delays(learner.model, 1.0 if isinstance(learner.model, AwareSNN) else done)
        objective.set_progress(done)
        trained = _train_epoch(learner, data, config, objective, optimizer, seed, epoch)
        validation = evaluate_pairs(learner, data, "validation", data.fixed_pairs["validation"])
        record = {
            "model": learner.name,
            "seed": seed,
            "epoch": epoch,
            "train_loss": trained.loss,
            "train_accuracy": trained.accuracy,
            "val_loss": validation.loss,
            "val_accuracy": validation.accuracy,
            "seconds": time.perf_counter() - started,
            **objective.epoch_record(),
        }
        sparse = learner.spiking and settings.activity_weight > 0
        progress = _advance(progress, record, keep_last=sparse)
        folder.save(learner.model, optimizer, progress, objective)
        on_epoch(record)


def evaluate_pairs(learner: Learner, data: PairedData, split: str, pairs: Sequence[Pair]) -> Score:
    """Loss and accuracy of the final decision on ``pairs``."""
    learner.model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for batch in batches(data, split, pairs, 64):
            scores = learner.anytime_scores(batch.samples, [learner.duration_ms])[-1]
            loss += float(torch.nn.functional.cross_entropy(scores, batch.labels, reduction="sum"))
            correct += int((scores.argmax(1) == batch.labels).sum())
    return Score(loss / len(pairs), correct / len(pairs))


def _sharpen_delays(model: nn.Module, fraction: float) -> None:
    """Tell every layer of learned delays how far training is, 0 to 1."""
    for layer in model.modules():
        if isinstance(layer, AnnealedDelays):
            layer.set_anneal(fraction)


def _train_epoch(
    learner: Learner,
    data: PairedData,
    config: Config,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    seed: int,
    epoch: int,
) -> Score:
    """One pass over freshly drawn pairs."""
    settings = config.train
    pairs = data.epoch_pairs(seed, epoch, settings.partners)
    rng, drop_rng = (np.random.default_rng([seed, epoch, stream]) for stream in (1, 2))
    torch.manual_seed(int(rng.integers(2**31)))
    learner.model.train()
    loss_sum, correct = 0.0, 0
    augment = settings.augment if learner.spiking else settings.dense_augment
    for batch in batches(data, "train", pairs, settings.batch_size, augment, rng):
        loss, scores, rates = objective.step(learner, batch, rng, drop_rng)
        _step(learner, objective, optimizer, loss, rates, epoch)
        loss_sum += loss.item() * len(batch.labels)
        correct += int((scores.argmax(1) == batch.labels).sum())
    return Score(loss_sum / len(pairs), correct / len(pairs))


def _step(
    learner: Learner,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    rates: Mapping[str, float],
    epoch: int,
) -> None:
    """One optimiser step on a finite loss."""
    if not bool(torch.isfinite(loss)):
        raise SpikefuseError(
            f"training of {learner.name} must have a finite loss, got {loss.item()} in epoch "
            f"{epoch}; lower train.learning_rate (the last good epoch is saved)"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    objective.note_gradients(learner.model, rates)
    torch.nn.utils.clip_grad_norm_([*learner.model.parameters(), *objective.parameters()], 1.0)
    objective.update(optimizer, rates)


def _advance(progress: Progress, record: dict[str, Any], keep_last: bool) -> Progress:
    """Progress after an epoch; a better accuracy, or the same at a lower loss, is the new best.

    With ``keep_last`` every epoch is: early ones of a model that learns to be sparse are not.
    """
    best = progress.best_epoch
    if best and not keep_last:
        old = progress.history[best - 1]
        better = (record["val_accuracy"], -record["val_loss"]) > (
            old["val_accuracy"],
            -old["val_loss"],
        )
    else:
        better = True
    epoch = record["epoch"]
    return Progress(epoch, epoch if better else best, [*progress.history, record])
