"""Label-paired digits for the alignment study: retrieval by class across modalities.

Seen and spoken digits of the embedded default have nothing in common but the class, so a sound is
right for a picture if it says the same digit, and no instance is there to be found.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from analysis.retrieval import chance_class_precision, class_precision
from experiments.config import Config
from experiments.loading.batches import batches, spiking_inputs
from experiments.loading.data import PairedData
from sensors.clock import on_clock
from sensors.recordings import Recording
from spikefuse.encoders import SpikingEncoder
from spikefuse.encoders.spec import ModalitySpec
from spikefuse.kernels.binning import bin_events
from spikefuse.objectives.contrastive import Temperature, info_nce
from spikefuse.objectives.embedding import JointEmbedding
from spikefuse.spikes import SpikeBatch

Variant = Literal["untrained", "over labels", "over pairs", "over shuffled labels"]
VARIANTS: tuple[Variant, ...] = (
    "untrained",
    "over labels",
    "over pairs",
    "over shuffled labels",
)
_MODALITIES = ("vision", "audio")


@dataclass(frozen=True)
class DigitsProtocol:
    """How encoders and joint embedding are trained; the rest is the demo recipe's.

    Parameters
    ----------
    dim : int
    tau_ms : float
        Time constant of the traces.
    epochs, batch_size : int
    learning_rate : float
    """

    dim: int = 64
    tau_ms: float = 200.0
    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 3e-3


class EncodedEmbedding(nn.Module):
    """Spiking encoders, one per modality, and the joint embedding of their spikes."""

    def __init__(self, config: Config, data: PairedData, p: DigitsProtocol) -> None:
        super().__init__()
        sizes, dt_ms = data.sensor_sizes, config.data.dt_ms
        specs = {"vision": config.model.vision, "audio": config.model.audio}
        self.encoders = nn.ModuleDict(
            {
                name: SpikingEncoder(
                    ModalitySpec(name, sizes[name], specs[name]), config.model.lif, dt_ms
                )
                for name in _MODALITIES
            }
        )
        n_hidden = {name: spec.hidden for name, spec in specs.items()}
        self.embedding = JointEmbedding(n_hidden, p.dim, dt_ms=dt_ms, tau_ms=p.tau_ms)

    def forward(self, inputs: dict[str, SpikeBatch]) -> dict[str, Tensor]:
        """Events (T, B, N) of each modality to vectors ``[B, dim]`` at the end."""
        encoded = {name: encoder(inputs[name])[0] for name, encoder in self.encoders.items()}
        vectors: dict[str, Tensor] = self.embedding(encoded)[0]
        return vectors


def n_steps_of(config: Config) -> int:
    """Steps of a sample."""
    return -(-round(config.data.duration_ms * 1e3) // round(config.data.dt_ms * 1e3))


def with_shuffled_labels(data: PairedData, rng: np.random.Generator) -> PairedData:
    """The same data with the training labels of each modality permuted, once and for all."""

    def shuffled(items: list[Recording]) -> list[Recording]:
        order = rng.permutation(len(items))
        return [replace(item, label=items[i].label) for item, i in zip(items, order, strict=True)]

    train = {name: shuffled(list(items)) for name, items in data.splits["train"].items()}
    return replace(data, splits={**data.splits, "train": train})


def trained(
    config: Config, data: PairedData, p: DigitsProtocol, variant: Variant, seed: int
) -> EncodedEmbedding:
    """Encoders and embedding after the last epoch."""
    torch.manual_seed(seed)
    model, temperature = EncodedEmbedding(config, data, p), Temperature()
    if variant == "untrained":
        return model
    if variant == "over shuffled labels":
        data = with_shuffled_labels(data, np.random.default_rng([seed, 2]))
    parameters = [*model.parameters(), *temperature.parameters()]
    optimiser = torch.optim.AdamW(parameters, p.learning_rate, weight_decay=1e-4)
    for epoch in range(1, p.epochs + 1):
        scale = 0.5 * (1 + math.cos(math.pi * (epoch - 1) / p.epochs))
        for group in optimiser.param_groups:
            group["lr"] = p.learning_rate * max(scale, 0.02)
        rng = np.random.default_rng([seed, epoch, 1])
        torch.manual_seed(int(rng.integers(2**31)))
        model.train()
        pairs = data.epoch_pairs(seed, epoch, 1)
        for batch in batches(data, "train", pairs, p.batch_size, config.train.augment, rng):
            z = model(
                spiking_inputs(batch.samples, _MODALITIES, config.data.dt_ms, n_steps_of(config))
            )
            labels = None if variant == "over pairs" else batch.labels
            optimiser.zero_grad()
            torch.autograd.backward(info_nce(z["vision"], z["audio"], temperature(), labels))
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
    return model


def whole_test_split(config: Config, data: PairedData) -> dict[str, SpikeBatch]:
    """Every test recording of each modality once; as many rows as there are recordings."""
    return {
        name: bin_events(
            [on_clock(r.stream, name, data.clock, r.source) for r in data.splits["test"][name]],
            config.data.dt_ms,
            n_steps_of(config),
        )
        for name in _MODALITIES
    }


def digits_cell(
    config: Config, data: PairedData, p: DigitsProtocol, variant: Variant, seed: int
) -> dict[str, Any]:
    """Average precision of every test recording as a query to the other modality."""
    before = time.process_time()
    model = trained(config, data, p, variant, seed).eval()
    cpu_s = time.process_time() - before
    inputs = whole_test_split(config, data)
    with torch.no_grad():
        z = model(inputs)
        encoded = {name: encoder(inputs[name])[0] for name, encoder in model.encoders.items()}
        counts = model.embedding.count_operations(encoded)
    scores = (z["vision"] @ z["audio"].T).double().numpy()
    items = {name: data.splits["test"][name] for name in _MODALITIES}
    labels = {name: np.array([r.label for r in part]) for name, part in items.items()}
    return {
        "part": "digits",
        "variant": variant,
        "seed": seed,
        "precision": {
            "vision": class_precision(scores, labels["vision"], labels["audio"]).tolist(),
            "audio": class_precision(scores.T, labels["audio"], labels["vision"]).tolist(),
        },
        "chance": {
            "vision": chance_class_precision(labels["vision"], labels["audio"]),
            "audio": chance_class_precision(labels["audio"], labels["vision"]),
        },
        "groups": {name: [r.group for r in part] for name, part in items.items()},
        "n_candidates": {"vision": len(items["audio"]), "audio": len(items["vision"])},
        "cpu_s": cpu_s,
        "accumulates": counts.effective_acs,
        "multiplications": counts.effective_macs,
    }
