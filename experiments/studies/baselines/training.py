"""How the baselines of a study are trained: the dense recipe, for anything that reads a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from experiments.config import Config
from experiments.loading.batches import batches, dense_inputs, spiking_inputs
from experiments.loading.data import PairedData
from experiments.studies.fitting import Score, fit_best
from spikefuse.baselines import DenseFusion, QNNTwin
from spikefuse.events import MultiStream

Read = Callable[[list[MultiStream]], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Trained:
    """A model at its best epoch on validation.

    Parameters
    ----------
    model : nn.Module
    validation, test : float
        Accuracy.
    """

    model: nn.Module
    validation: float
    test: float


def fit(
    model: nn.Module,
    read: Read,
    data: PairedData,
    config: Config,
    seed: int,
    epochs: int,
    rate: float | None = None,
) -> Trained:
    """Train with the dense models' optimiser, schedule, augmentation and early-window loss.

    A `QNNTwin` has no early window: it learns the whole sample.
    """
    settings = config.train
    found = fit_best(
        model,
        lambda epoch: _losses(model, read, data, config, seed, epoch),
        lambda: score(model, read, data, "validation"),
        settings,
        settings.dense_learning_rate if rate is None else rate,
        settings.weight_decay,
        epochs,
    )
    return Trained(model, found.accuracy, score(model, read, data, "test").accuracy)


def _losses(
    model: nn.Module, read: Read, data: PairedData, config: Config, seed: int, epoch: int
) -> Iterator[Tensor]:
    """Of one pass over freshly drawn pairs; its randomness is that of (seed, epoch)."""
    settings, windows_ms = config.train, config.cost.windows_ms
    rng = np.random.default_rng([seed, epoch, 1])
    torch.manual_seed(int(rng.integers(2**31)))
    pairs = data.epoch_pairs(seed, epoch, settings.partners)
    for batch in batches(data, "train", pairs, settings.batch_size, settings.dense_augment, rng):
        inputs = read(batch.samples)
        loss = torch.nn.functional.cross_entropy(model(inputs), batch.labels)
        if isinstance(model, DenseFusion) and windows_ms and settings.window_weight:
            early = model.anytime(inputs, [float(rng.choice(windows_ms))])[0]
            early_loss = torch.nn.functional.cross_entropy(early, batch.labels)
            loss = loss + settings.window_weight * early_loss
        yield loss


@torch.no_grad()
def score(model: nn.Module, read: Read, data: PairedData, split: str) -> Score:
    """Accuracy and mean loss on a split's fixed pairs."""
    model.eval()
    right, loss, pairs = 0, 0.0, data.fixed_pairs[split]
    for batch in batches(data, split, pairs, 64):
        scores = model(read(batch.samples))
        loss += float(torch.nn.functional.cross_entropy(scores, batch.labels, reduction="sum"))
        right += int((scores.argmax(1) == batch.labels).sum())
    return Score(right / len(pairs), loss / len(pairs))


def frame_reader(
    modalities: Sequence[str], frame_ms: Mapping[str, float], window_ms: float
) -> Read:
    """Reads frames and cochleagrams of the whole window."""

    def read(samples: list[MultiStream]) -> dict[str, Tensor]:
        return dense_inputs(samples, modalities, dict(frame_ms), window_ms)

    return read


def sum_reader(twin: QNNTwin, dt_ms: float) -> Read:
    """Reads the bin sums of a quantised twin: spikes of all steps, at most one each."""

    def read(samples: list[MultiStream]) -> dict[str, Tensor]:
        spikes = spiking_inputs(samples, twin.modalities, dt_ms, twin.n_steps)
        return twin.sums({name: x.to_dense().clamp(max=1) for name, x in spikes.items()})

    return read


def calibration(
    read: Read, data: PairedData, seed: int, n_batches: int = 8
) -> list[Mapping[str, Tensor]]:
    """Inputs from training pairs, not augmented, for the scales of quantised layers."""
    pairs = data.epoch_pairs(seed, 1, 1)[: 32 * n_batches]
    return [read(batch.samples) for batch in batches(data, "train", pairs, 32)]
