"""Row of training: an epoch of the fusion model here and in plain snnTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.bench.recordings import SENSORS, training_samples
from experiments.bench.rows import OURS, Contender, Row, Setting
from experiments.config import Config, load_config
from experiments.loading.batches import spiking_inputs
from experiments.training.learners import build_learner
from spikefuse.events import MultiStream
from spikefuse.kernels.binning import accumulate_events
from spikefuse.kernels.registry import REFERENCE, use_backend
from spikefuse.models import FusionSNN, running_mean

Samples = Sequence[MultiStream]
Forward = Callable[[nn.Module, Samples], Tensor]


def training_rows(setting: Setting) -> Iterator[Row]:
    """One step (with its gradients compared) and one epoch."""
    config = _config()
    n_samples, batch = (4, 4) if setting.quick else (320, config.train.batch_size)
    samples, origin = training_samples(setting.data_root, n_samples)
    batches = [samples[i : i + batch] for i in range(0, len(samples), batch)]
    model = build_learner("snn", config, dict(SENSORS), seed=0).model
    if not isinstance(model, FusionSNN):
        raise TypeError(f"the recipe must make a FusionSNN, got {type(model).__name__}")
    facts = {
        "samples": len(samples),
        "batch": batch,
        "steps": _n_steps(config),
        "input": origin,
        "left out": "augmentation and dropout, in both",
    }
    yield _row("one training step", model, batches[:1], config, setting, facts, checked=True)
    if not setting.quick:
        yield _row("one training epoch", model, batches, config, setting, facts, checked=False)


def _config() -> Config:
    """The recipe, with what would make the two nets differ switched off."""
    return load_config(
        "nmnist_fsdd",
        [
            # snnTorch takes off a second threshold one step later where a membrane stays above it.
            "model.lif.reset=zero",
            "model.vision.dropout=0",
            "model.audio.dropout=0",
        ],
    )


def _row(
    name: str,
    model: FusionSNN,
    batches: Sequence[Samples],
    config: Config,
    setting: Setting,
    facts: dict[str, Any],
    checked: bool,
) -> Row:
    """Some batches through binning, forward, backward and the optimiser; weights start anew."""
    ours = _our_forward(config)
    contenders = [_contender(OURS, model, ours, batches, config, checked)]
    expected: dict[str, Any] = {}
    twin_expected: dict[str, Any] = {}
    if checked:
        with use_backend(REFERENCE):
            expected = _outputs(copy.deepcopy(model), ours, batches[0])
        # The twin's other parameters have other names or layouts.
        keys = [f"gradient encoders.{name}.synapses.0.weight" for name in SENSORS]
        twin_expected = {name: expected[name] for name in ("scores", *keys)}
    if "snntorch" in setting.peers:
        from experiments.bench.snntorch_twin import SnnTorchFusion

        twin = SnnTorchFusion(model)
        contenders.append(
            _contender(
                "snntorch", twin, _twin_forward(config), batches, config, checked, twin_expected
            )
        )
    return Row(
        f"fusion model, {name}",
        tuple(contenders),
        expected,
        ("epoch",),
        facts={**facts, "batches": len(batches)},
    )


def _contender(
    name: str,
    model: nn.Module,
    forward: Forward,
    batches: Sequence[Samples],
    config: Config,
    checked: bool,
    expected: dict[str, Any] | None = None,
) -> Contender:
    """Training over the batches from the same first weights each time."""
    trained = copy.deepcopy(model)
    first = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(
        trained.parameters(), config.train.learning_rate, weight_decay=config.train.weight_decay
    )
    fresh = copy.deepcopy(optimizer.state_dict())

    def run() -> dict[str, Any]:
        trained.load_state_dict(first)
        optimizer.load_state_dict(fresh)
        outputs: dict[str, Any] = {}
        for samples in batches:
            optimizer.zero_grad(set_to_none=True)
            outputs = _outputs(trained, forward, samples, detach=checked)
            nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
            optimizer.step()
        return outputs

    return Contender(name, run, expected)


def _outputs(
    model: nn.Module, forward: Forward, samples: Samples, detach: bool = True
) -> dict[str, Any]:
    """Forward and backward of one batch: scores and every gradient."""
    scores = forward(model, samples)
    labels = torch.tensor([sample.label for sample in samples])
    functional.cross_entropy(running_mean(scores)[-1], labels).backward()  # type: ignore[no-untyped-call]
    if not detach:
        return {}
    gradients = {
        f"gradient {name}": p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    return {"scores": scores.detach(), **gradients}


def _our_forward(config: Config) -> Forward:
    """Events to scores."""
    n_steps, names = _n_steps(config), tuple(SENSORS)

    def forward(model: nn.Module, samples: Samples) -> Tensor:
        scores: Tensor = model(spiking_inputs(samples, names, config.data.dt_ms, n_steps)).scores
        return scores

    return forward


def _twin_forward(config: Config) -> Forward:
    """Events to dense steps, by the fastest way there is in plain torch, to scores."""
    n_steps, step_us = _n_steps(config), round(config.data.dt_ms * 1e3)

    def dense(samples: Samples, name: str) -> Tensor:
        n = samples[0][name].n_addresses
        cells = [
            (sample[name].events["t"] // step_us * len(samples) + b) * n + sample[name].addresses()
            for b, sample in enumerate(samples)
        ]
        return accumulate_events(np.concatenate(cells), (n_steps, len(samples), n))

    def forward(model: nn.Module, samples: Samples) -> Tensor:
        scores: Tensor = model({name: dense(samples, name) for name in SENSORS})
        return scores

    return forward


def _n_steps(config: Config) -> int:
    """Steps of a sample."""
    return -(-round(config.data.duration_ms * 1e3) // round(config.data.dt_ms * 1e3))
