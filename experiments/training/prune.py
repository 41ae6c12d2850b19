"""Trained spiking models with their least weights taken out, by counted operations."""

from __future__ import annotations

from dataclasses import replace

import torch

from experiments.config import Config
from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.distributed import ALONE, Group
from experiments.training.learners import Learner
from experiments.training.loop import train_model
from spikefuse.objectives.activity import measured
from spikefuse.objectives.magnitude import Order, prune, zeros_kept

# As of training behind the rounding: it goes on from where training has ended.
_RATE = 0.3
_N_MEASURED, _BATCH = 256, 32


def prune_learner(
    learner: Learner, data: PairedData, share: float, seed: int, order: Order = "magnitude"
) -> float:
    """Take weights out of a spiking model until a share of its operations is saved; the share.

    Operations are those of training pairs as they are, measured in evaluation mode.
    """
    learner.model.eval()
    pairs = data.epoch_pairs(seed, 1, 1)[:_N_MEASURED]
    with torch.no_grad(), measured(learner.model, priced=True) as activity:
        for batch in batches(data, "train", pairs, _BATCH):
            learner.model(learner.events(batch.samples))
    return prune(activity.prices, share, order)


def prune_and_tune(
    learner: Learner,
    data: PairedData,
    config: Config,
    seed: int,
    checkpoints: CheckpointFolder,
    group: Group = ALONE,
) -> None:
    """`prune_learner` by ``train.prune_share``, then ``train.prune_epochs`` on what is left.

    At 0.3 times the learning rate, on the loss of the classes alone; the best validation epoch is
    taken.
    """
    prune_learner(learner, data, config.train.prune_share, seed)
    train = replace(
        config.train,
        epochs=config.train.prune_epochs,
        learning_rate=config.train.learning_rate * _RATE,
        auxiliary_weight=0.0,
        balance="none",
        activity_weight=0.0,
    )
    with zeros_kept(learner.model):
        train_model(
            learner, data, replace(config, train=train), seed, checkpoints, lambda _: None, group
        )
    checkpoints.load_best(learner.model)
