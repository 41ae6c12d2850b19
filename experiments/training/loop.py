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

from experiments.config import Config, TrainConfig
from experiments.loading.batches import Batch, batches
from experiments.loading.data import PairedData
from experiments.training.checkpoints import CheckpointFolder, Partial, Progress
from experiments.training.distil import Teacher
from experiments.training.distributed import ALONE, Group
from experiments.training.guard import (
    NotFiniteError,
    all_finite,
    bad_gradient,
    bad_weight,
    first_bad_output,
)
from experiments.training.interrupts import Interrupts
from experiments.training.learners import Learner
from experiments.training.objective import Objective
from experiments.training.schedule import learning_rate_scale
from sensors.paired import Pair
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
    group: Group = ALONE,
    teacher: Teacher | None = None,
) -> None:
    """Train for all its epochs, saving each and remembering the best on validation.

    All randomness of an epoch comes from (seed, epoch), so a run that was killed and resumed goes
    through the same numbers as one that was not. With ``train.patience_epochs`` it ends early. The
    processes of a ``group`` each call this; the first one's folder is read and written.

    Raises
    ------
    NotFiniteError
        If loss, gradient or weights are no longer finite; the last good epoch stays saved.
    KeyboardInterrupt
        On SIGINT, after the batch under way and with what was done saved.
    """
    settings = config.train
    rate = settings.learning_rate if learner.spiking else settings.dense_learning_rate
    objective = Objective(learner, config, len(data.classes), seed, group, teacher)
    optimizer = torch.optim.AdamW(
        objective.groups(learner.model), rate, weight_decay=settings.weight_decay
    )
    folder = group.keeper(folder)
    progress, partial = group.begin(folder, learner.model, optimizer, objective)
    n_epochs = epochs_of(learner, config)
    with Interrupts() as interrupts:
        while progress.epoch < n_epochs and not _stalled(progress, settings):
            epoch = progress.epoch + 1
            place = _Place(learner, seed, epoch, n_epochs, rate, interrupts, folder, group)
            done = (epoch - 1) / max(n_epochs - 1, 1)
            # Behind the rounding of whole numbers training goes on from sharp delays.
            _sharpen_delays(learner.model, 1.0 if isinstance(learner.model, AwareSNN) else done)
            objective.set_progress(done)
            started = time.perf_counter()
            trained, n_events = _train_epoch(place, data, config, objective, optimizer, partial)
            partial = None
            trained_s = time.perf_counter() - started
            pairs = data.fixed_pairs["validation"]
            validation = evaluate_pairs(learner, data, "validation", pairs, group)
            which = {"model": learner.name, "seed": seed, "epoch": epoch}
            record = {
                **which,
                "train_loss": trained.loss,
                "train_accuracy": trained.accuracy,
                "val_loss": validation.loss,
                "val_accuracy": validation.accuracy,
                **objective.epoch_record(),
            }
            speed = {
                **which,
                "seconds": time.perf_counter() - started,
                "events_per_s": n_events / trained_s,
            }
            sparse = learner.spiking and settings.activity_weight > 0
            progress = _advance(progress, record, speed, keep_last=sparse)
            folder.save(learner.model, optimizer, progress, objective)
            on_epoch(record | speed)


@dataclass(frozen=True)
class _Place:
    """What is trained, and where in training it is."""

    learner: Learner
    seed: int
    epoch: int
    n_epochs: int
    rate: float
    interrupts: Interrupts
    folder: CheckpointFolder
    group: Group

    def batch(self, number: int, n_batches: int, batch: Batch) -> str:
        """A batch in words: what to look at when it went wrong."""
        first = batch.samples[0].provenance if batch.samples else {}
        named = ", ".join(f"{key.removesuffix('_source')} {x}" for key, x in first.items())
        return (
            f"{self.learner.name}, seed {self.seed}, epoch {self.epoch}, batch {number + 1} of "
            f"{n_batches}" + (f" (first sample: {named})" if named else "")
        )


def evaluate_pairs(
    learner: Learner, data: PairedData, split: str, pairs: Sequence[Pair], group: Group = ALONE
) -> Score:
    """Loss and accuracy of the final decision on ``pairs``."""
    learner.model.eval()
    loss, correct = 0.0, 0
    share = group.share(len(pairs))
    own = pairs[share.rows] if share.n_own else []
    with torch.no_grad():
        for batch in batches(data, split, own, 64):
            scores = learner.anytime_scores(batch.samples, [learner.duration_ms])[-1]
            loss += float(torch.nn.functional.cross_entropy(scores, batch.labels, reduction="sum"))
            correct += int((scores.argmax(1) == batch.labels).sum())
    loss, right = group.total(torch.tensor([loss, correct], dtype=torch.float64)).tolist()
    return Score(loss / len(pairs), right / len(pairs))


def _sharpen_delays(model: nn.Module, fraction: float) -> None:
    """Tell every layer of learned delays how far training is, 0 to 1."""
    for layer in model.modules():
        if isinstance(layer, AnnealedDelays):
            layer.set_anneal(fraction)


def _train_epoch(
    place: _Place,
    data: PairedData,
    config: Config,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    partial: Partial | None,
) -> tuple[Score, int]:
    """One pass over freshly drawn pairs, or its rest; the events of the batches run here too."""
    settings, learner, epoch = config.train, place.learner, place.epoch
    pairs = data.epoch_pairs(place.seed, epoch, settings.partners)
    rng, drop_rng = (np.random.default_rng([place.seed, epoch, stream]) for stream in (1, 2))
    torch.manual_seed(int(rng.integers(2**31)))
    learner.model.train()
    loss_sum, correct, first, n_events = 0.0, 0, 0, 0
    if partial is not None:
        first = partial.batches
        loss_sum, correct = partial.sums["loss"], partial.sums["correct"]
        objective.epoch_sums, objective.n_steps = partial.sums["objective"], partial.sums["steps"]
        for generator, state in zip((rng, drop_rng), partial.generators, strict=True):
            generator.bit_generator.state = state
        torch.set_rng_state(partial.torch_state)
    augment = settings.augment if learner.spiking else settings.dense_augment
    rest = pairs[first * settings.batch_size :]
    n_batches = -(-len(pairs) // settings.batch_size)
    found = batches(data, "train", rest, settings.batch_size, augment, rng)
    for number, batch in enumerate(found, start=first):
        scale = learning_rate_scale(settings, epoch, place.n_epochs, (number + 1) / n_batches)
        for group in optimizer.param_groups:
            group["lr"] = place.rate * scale
        with place.group.masks(len(batch.labels)):
            loss, scores, rates = objective.step(learner, batch, rng, drop_rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        loss_sum += len(batch.labels) * _step(
            place.batch(number, n_batches, batch), learner, objective, optimizer, batch, loss,
            rates, settings, place.group,
        )  # fmt: skip
        correct += int((scores.argmax(1) == batch.labels).sum())
        n_events += sum(len(s) for sample in batch.samples for s in sample.streams.values())
        if place.group.anywhere(place.interrupts.wanted):
            sums = {"loss": loss_sum, "correct": correct, "objective": objective.epoch_sums,
                    "steps": objective.n_steps}  # fmt: skip
            states = [generator.bit_generator.state for generator in (rng, drop_rng)]
            here = Partial(epoch, number + 1, sums, states, torch.get_rng_state())
            place.folder.save_partial(learner.model, optimizer, objective, here)
            raise KeyboardInterrupt
    return Score(loss_sum / len(pairs), correct / len(pairs)), n_events


def _step(
    place: str,
    learner: Learner,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    loss: Tensor,
    rates: Mapping[str, float],
    settings: TrainConfig,
    group: Group,
) -> float:
    """One optimiser step, if loss, gradient and weights are finite; the loss."""
    parameters = [*learner.model.parameters(), *objective.parameters()]
    group.sum_gradients(parameters)
    loss = group.total(loss)
    objective.note_gradients(learner.model, rates)
    norm = torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm or math.inf)
    if not all_finite([loss, norm, *parameters]):
        raise NotFiniteError(_culprit(learner, objective, batch), place)
    objective.update(optimizer, rates)
    return loss.item()


def _culprit(learner: Learner, objective: Objective, batch: Batch) -> str:
    """What is not finite in the model or in a second pass over the batch, by its layer."""
    bad = bad_weight(learner.model) or bad_weight(objective)
    if bad is not None:
        return bad
    with torch.no_grad(), first_bad_output(learner.model) as outputs:
        learner.training_scores(batch.samples, (), np.random.default_rng(0))
    gradient = bad_gradient(learner.model) or bad_gradient(objective)
    return next(iter(outputs), gradient or "loss")


def _stalled(progress: Progress, settings: TrainConfig) -> bool:
    """Whether no epoch has been better for as long as patience lasts."""
    waited = progress.epoch - progress.best_epoch
    return 0 < settings.patience_epochs <= waited


def _advance(
    progress: Progress, record: dict[str, Any], speed: dict[str, Any], keep_last: bool
) -> Progress:
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
    return Progress(
        epoch,
        epoch if better else best,
        [*progress.history, record],
        [*progress.timing, speed],
    )
