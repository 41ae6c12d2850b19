"""Training and reading of any model of the results study, by one recipe for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.config import Config
from experiments.loading.data import PairedData
from experiments.studies.fitting import Score, fit_best
from experiments.studies.results.data import N_VARIANTS, Feed, Rows
from experiments.studies.results.families import Trial
from sensors.paired import Pair
from spikefuse._types import Int64Array
from spikefuse.baselines import DenseFusion
from spikefuse.models import FusionSNN, running_mean

_READ_AT_ONCE = 64


def fit(
    model: nn.Module,
    feed: Feed,
    data: PairedData,
    config: Config,
    trial: Trial,
    seed: int,
    epochs: int,
) -> Score:
    """Train, leave the model at its best epoch on validation, and return its score there.

    As `fit_best`; pairs are redrawn every epoch. A share ``train.window_weight`` of the batches
    also learns to answer after a random window: in expectation that weighs as the same weight in
    every batch, at a fraction of the time.
    """
    settings = config.train
    spiking = isinstance(model, FusionSNN)
    rate = trial.rate * (settings.learning_rate if spiking else settings.dense_learning_rate)
    return fit_best(
        model,
        lambda epoch: _losses(model, feed, data, config, seed, epoch),
        lambda: score(model, feed, data, "validation"),
        settings,
        rate,
        trial.decay,
        epochs,
    )


def _losses(
    model: nn.Module, feed: Feed, data: PairedData, config: Config, seed: int, epoch: int
) -> Iterator[Tensor]:
    """Of one pass; its randomness is that of (seed, epoch)."""
    settings, windows_ms = config.train, config.cost.windows_ms
    rng = np.random.default_rng([seed, epoch, 1])
    torch.manual_seed(int(rng.integers(2**31)))
    pairs = data.epoch_pairs(seed, epoch, settings.partners)
    for rows, labels in batches(data, "train", pairs, settings.batch_size, rng):
        answers_early = bool(windows_ms) and rng.random() < settings.window_weight
        at_ms = float(rng.choice(windows_ms)) if answers_early else None
        scores = training_scores(model, feed(rows), config, at_ms)
        yield torch.stack([torch.nn.functional.cross_entropy(s, labels) for s in scores]).sum()


def batches(
    data: PairedData,
    split: str,
    pairs: Sequence[Pair],
    size: int,
    rng: np.random.Generator | None = None,
) -> Iterator[tuple[Rows, Tensor]]:
    """Rows of a split with their labels; variants are drawn if ``rng`` is given."""
    first = next(iter(data.splits[split].values()))
    labels = np.array([first[pair[0]].label for pair in pairs])
    table = np.array(pairs, dtype=np.int64)
    variants = np.zeros_like(table)
    if rng is not None:
        variants = rng.integers(0, N_VARIANTS, table.shape)
    for start in range(0, len(table), size):
        part = slice(start, start + size)
        yield Rows(split, table[part], variants[part]), torch.from_numpy(labels[part])


def training_scores(
    model: nn.Module, inputs: Any, config: Config, at_ms: float | None
) -> list[Tensor]:
    """Class scores after the whole sample and, if given, after a window; the twin has no window."""
    if isinstance(model, FusionSNN):
        evidence = running_mean(model(inputs).scores)
        early = [] if at_ms is None else [evidence[step_before(at_ms, config, len(evidence))]]
        return [evidence[-1], *early]
    if at_ms is not None and isinstance(model, DenseFusion) and answers_early(model):
        return [model(inputs), model.anytime(inputs, [at_ms])[0]]
    return [model(inputs)]


def answers_early(model: DenseFusion) -> bool:
    """Whether the model has more than one frame, so that a part of the window tells something."""
    return max(model.n_frames.values()) > 1


def step_before(time_ms: float, config: Config, n_steps: int) -> int:
    """The last step that is complete at a time (the first one, if none is)."""
    return min(max(int(time_ms / config.data.dt_ms + 1e-9), 1), n_steps) - 1


@torch.no_grad()
def score(model: nn.Module, feed: Feed, data: PairedData, split: str) -> Score:
    """Accuracy and mean loss on a split's fixed pairs."""
    scores, labels = final_scores(model, feed, data, split)
    loss = float(torch.nn.functional.cross_entropy(scores, labels))
    return Score(float((scores.argmax(1) == labels).float().mean()), loss)


@torch.no_grad()
def final_scores(
    model: nn.Module, feed: Feed, data: PairedData, split: str
) -> tuple[Tensor, Tensor]:
    """Scores ``[n, C]`` after the whole sample, and the labels."""
    model.eval()
    scores: list[Tensor] = []
    labels: list[Tensor] = []
    for rows, wanted in batches(data, split, data.fixed_pairs[split], _READ_AT_ONCE):
        inputs: Any = feed(rows)
        if isinstance(model, FusionSNN):
            scores.append(running_mean(model.infer(inputs).scores)[-1])
        else:
            scores.append(model(inputs))
        labels.append(wanted)
    return torch.cat(scores), torch.cat(labels)


@torch.no_grad()
def evidence_ms(
    model: nn.Module, feed: Feed, data: PairedData, config: Config
) -> Int64Array | None:
    """Time from which each test answer stays as it is; None of a model that cannot answer early.

    A spiking model answers after every step, a dense one after every configured window.
    """
    from experiments.evaluation.evaluate import first_final

    if not isinstance(model, FusionSNN) and not (
        isinstance(model, DenseFusion) and answers_early(model)
    ):
        return None
    model.eval()
    answers: list[Tensor] = []
    window_ms, times_ms = config.data.duration_ms, [0.0]
    for rows, _ in batches(data, "test", data.fixed_pairs["test"], _READ_AT_ONCE):
        inputs: Any = feed(rows)
        if isinstance(model, FusionSNN):
            scores = running_mean(model.infer(inputs).scores)
            times_ms = [config.data.dt_ms * (i + 1) for i in range(len(scores))]
        else:
            times_ms = [*[w for w in config.cost.windows_ms if w < window_ms], window_ms]
            scores = model.anytime(inputs, times_ms)
        answers.append(scores.argmax(2))
    found: Int64Array = np.asarray(times_ms)[first_final(torch.cat(answers, 1).numpy())]
    return found
