"""The precision that a profile prices, and a model in whole numbers for it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from experiments.config import Config
from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.training.checkpoints import CheckpointFolder
from experiments.training.distributed import ALONE, Group
from experiments.training.foreign import ForeignLearner
from experiments.training.learners import Learner
from experiments.training.loop import OnEpoch, train_model
from spikefuse._types import Int64Array
from spikefuse.baselines import quantised
from spikefuse.baselines.rounded import rounded
from spikefuse.cost.profile import HardwareProfile, load_profile
from spikefuse.errors import ConfigError
from spikefuse.models import FusionSNN
from spikefuse.models.fixed_point import AwareSNN, fixed_point
from spikefuse.neurons import FixedFormat
from spikefuse.objectives.magnitude import zeros_kept
from spikefuse.opcounts import OpCounts

FLOAT, AWARE = "fp32", "int8_aware"
_AWARE_SUFFIX = "_aware"
# Loihi's. What fits is the same in wider membranes.
_STATE_BITS = 24
# Fine-tuning starts where training has ended: a part of its learning rate.
_AWARE_RATE = 0.3
_N_CALIBRATION, _CALIBRATION_BATCH = 256, 32


@dataclass(frozen=True)
class AtPrecision:
    """What a model answers in whole numbers, and what it executes for that.

    Parameters
    ----------
    predictions : int [n], optional
    counts : OpCounts, optional
    reason : str, optional
        Why there is neither.
    """

    predictions: Int64Array | None = None
    counts: OpCounts | None = None
    reason: str | None = None


def precision_of(profile: HardwareProfile | str) -> tuple[str, FixedFormat | None]:
    """Name and widths of the arithmetic that a profile prices; no widths for float.

    Event-driven chips have weights of 8 bits and membranes of 24 (Loihi: Davies et al., IEEE Micro
    38(1), 2018); logic has what the profile says.
    """
    chip = load_profile(profile) if isinstance(profile, str) else profile
    event = chip.prices == "event"
    if not event and chip.word_bits > 8:
        return FLOAT, None
    word = 8 if event else chip.word_bits
    state = _STATE_BITS if event else min(chip.state_bits, _STATE_BITS)
    name = f"int{word}" if state == _STATE_BITS else f"int{word}_state{state}"
    return name, FixedFormat(word, state)


def aware_name(bits: int) -> str:
    """What a model is called that was trained behind the rounding to so many bits."""
    return f"int{bits}{_AWARE_SUFFIX}"


def aware_in(names: Iterable[str]) -> str | None:
    """The one of several precisions that was trained behind the rounding, if there is one."""
    return next((name for name in names if name.endswith(_AWARE_SUFFIX)), None)


def precisions_of(config: Config) -> dict[str, FixedFormat]:
    """Those in whole numbers that the configured profiles price, by name."""
    found = (precision_of(name) for name in config.cost.profiles)
    return {name: form for name, form in found if form is not None}


def at_precision(learner: Learner, form: FixedFormat, data: PairedData, seed: int) -> Learner:
    """The learner with its model in whole numbers.

    Raises
    ------
    ConfigError
        If the model has no such twin.
    """
    if isinstance(learner, ForeignLearner):
        return _own_at(learner, form, data, seed)
    if isinstance(learner.model, AwareSNN | FusionSNN):
        return replace(learner, model=fixed_point(learner.model, form))
    try:
        model = _dense_at(learner, form.weight_bits, data, seed)
    except ValueError as error:
        raise ConfigError(f"{learner.name} has no whole-number twin: {error}") from error
    return replace(learner, model=model)


def trained_on(config: Config) -> Config:
    """The configuration for ``train.aware_epochs`` more epochs on the loss of the classes alone.

    Auxiliary readouts, balance and the price of operations have done their part by then.
    """
    settings = config.train
    train = replace(
        settings,
        epochs=settings.aware_epochs,
        dense_epochs=settings.aware_epochs,
        learning_rate=settings.learning_rate * _AWARE_RATE,
        dense_learning_rate=settings.dense_learning_rate * _AWARE_RATE,
        auxiliary_weight=0.0,
        balance="none",
        activity_weight=0.0,
        distil_weight=0.0,
    )
    return replace(config, train=train)


def train_aware(
    learner: Learner,
    data: PairedData,
    config: Config,
    seed: int,
    folder: Path,
    on_epoch: OnEpoch,
    form: FixedFormat | None = None,
    group: Group = ALONE,
) -> Learner:
    """Train on behind the rounding (`train.aware_bits` by default); take the best validation epoch.

    See `trained_on` for what it minimises. Weights that were pruned stay at zero.

    Raises
    ------
    ConfigError
        If the model has no whole-number twin.
    """
    form = FixedFormat(config.train.aware_bits, _STATE_BITS) if form is None else form
    model: nn.Module
    if isinstance(learner.model, FusionSNN):
        model = AwareSNN(copy.deepcopy(learner.model), form)
    else:
        model = _dense_at(learner, form.weight_bits, data, seed)
    aware = replace(learner, model=model)
    checkpoints = group.keeper(CheckpointFolder(folder))
    with zeros_kept(model) if config.train.prune_share else nullcontext():
        train_model(aware, data, trained_on(config), seed, checkpoints, on_epoch, group)
    checkpoints.load_best(model)
    if isinstance(model, AwareSNN):
        return replace(learner, model=model.deployed())
    return aware


def _own_at(
    learner: ForeignLearner, form: FixedFormat, data: PairedData, seed: int
) -> ForeignLearner:
    """A network of one's own with rounded weights; membranes of other libraries stay in float."""
    spiking = learner.has_neurons
    none = f"{learner.name} has no twin of {form.weight_bits} bits"
    if spiking and form.state_bits < _STATE_BITS:
        raise ConfigError(
            f"{none}: neurons of other libraries are not rounded to {form.state_bits} bits of state"
        )
    model: Any = learner.model
    model.rest()
    try:
        made = rounded(model, _calibration(learner, data, seed), form.weight_bits, spiking=spiking)
    except ValueError as error:
        raise ConfigError(f"{none}: {str(error).removeprefix('net.')}") from error
    return replace(learner, model=made)


def _calibration(learner: Learner, data: PairedData, seed: int) -> list[Mapping[str, Any]]:
    """Inputs of training pairs as they are."""
    pairs = data.epoch_pairs(seed, 1, 1)[:_N_CALIBRATION]
    with torch.no_grad():
        return [
            learner.inputs(batch.samples)
            for batch in batches(data, "train", pairs, _CALIBRATION_BATCH)
        ]


def _dense_at(learner: Learner, bits: int, data: PairedData, seed: int) -> nn.Module:
    """A dense model, its scales from training pairs as they are."""
    return quantised(learner.model, _calibration(learner, data, seed), bits)
