"""Rows of counting: what a run costs while its operations are counted, and what without."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.bench.recordings import SENSORS, training_samples
from experiments.bench.rows import Contender, Row, Setting
from experiments.config import Config, load_config
from experiments.loading.batches import batches, spiking_inputs
from experiments.loading.data import load_data
from experiments.training.learners import build_learner
from spikefuse.cost import Counter
from spikefuse.events import MultiStream
from spikefuse.models import FusionSNN, running_mean
from spikefuse.spikes import SpikeBatch

PLAIN, COUNTED = "not counted", "counted"

Samples = Sequence[MultiStream]
Around = Callable[[nn.Module], AbstractContextManager[Any]]


def counting_rows(setting: Setting) -> Iterator[Row]:
    """Training, inference and dense input of the recipes' nets, then nets of other libraries."""
    nets = {"demo": "embedded default", "nmnist_fsdd": "N-MNIST and spoken digits"}
    if setting.quick:
        del nets["demo"]  # its data take a while to make
    for recipe, title in nets.items():
        yield from _rows_of(recipe, title, setting)
    yield _frames(setting)
    if "snntorch" in setting.peers:
        yield _snntorch(setting)


def _rows_of(recipe: str, title: str, setting: Setting) -> Iterator[Row]:
    """The three rows of one fusion model."""
    config = load_config(recipe)
    samples, origin = _samples(recipe, config, setting)
    size = len(samples) if setting.quick else config.train.batch_size
    cut = [samples[i : i + size] for i in range(0, len(samples), size)]
    model = build_learner("snn", config, dict(SENSORS), seed=0).model
    if not isinstance(model, FusionSNN):
        raise TypeError(f"the recipe must make a FusionSNN, got {type(model).__name__}")
    facts = {"samples": len(samples), "batches": len(cut), "batch": size, "input": origin}
    yield Row(
        f"training, {title}",
        _both(model, lambda net, around: _training(net, cut, config, around)),
        targets=("counting_training",),
        facts=facts,
    )
    events = _events(cut[0], config)
    dense = {name: spikes.to_dense() for name, spikes in events.items()}
    with torch.no_grad():
        expected = {"scores": model.eval()(events).scores}
    facts = facts | {"samples": size, "batches": 1}
    yield Row(
        f"inference on events, {title}",
        _both(model, lambda net, around: _inference(net, events, around)),
        expected,
        ("counting_inference",),
        facts=facts,
    )
    yield Row(
        f"forward on dense spikes, {title}",
        _both(model, lambda net, around: _forward(net, dense, around)),
        expected,
        ("counting_inference",),
        facts=facts,
    )


def _both(
    net: nn.Module, made: Callable[[Any, Around], Callable[[], dict[str, Any]]], batch_dim: int = 1
) -> tuple[Contender, Contender]:
    """The same work on two copies, so that the hooks of one are none of the other's."""
    return (
        Contender(PLAIN, made(copy.deepcopy(net), lambda _: nullcontext())),
        Contender(COUNTED, made(copy.deepcopy(net), lambda n: Counter(n, batch_dim=batch_dim))),
    )


def _training(
    net: FusionSNN, cut: Sequence[Samples], config: Config, around: Around
) -> Callable[[], dict[str, Any]]:
    """Some batches of an epoch, from binning to the optimiser; the counter is around all."""
    optimizer = torch.optim.AdamW(net.parameters(), 1e-6)

    def run() -> dict[str, Any]:
        net.train()
        with around(net):
            for samples in cut:
                optimizer.zero_grad(set_to_none=True)
                scores = running_mean(net(_events(samples, config)).scores)[-1]
                labels = torch.tensor([sample.label for sample in samples])
                functional.cross_entropy(scores, labels).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
        return {}

    return run


def _inference(
    net: FusionSNN, events: Mapping[str, SpikeBatch], around: Around
) -> Callable[[], dict[str, Any]]:
    """Events in, events through."""
    net.eval()

    def run() -> dict[str, Any]:
        with around(net):
            return {"scores": net.infer(events).scores}

    return run


def _forward(
    net: nn.Module, inputs: Any, around: Around, name: str = "scores"
) -> Callable[[], dict[str, Any]]:
    """A forward pass without a gradient."""
    net.eval()

    def run() -> dict[str, Any]:
        with torch.no_grad(), around(net):
            out = net(inputs)
        return {name: out if isinstance(out, Tensor) else out.scores}

    return run


def _frames(setting: Setting) -> Row:
    """Frames through convolutions and linear layers of torch."""
    generator = torch.Generator().manual_seed(4)
    side, batch = (12, 2) if setting.quick else (34, 64)
    frames = torch.rand(batch, 2, side, side, generator=generator)
    frames *= torch.rand(frames.shape, generator=generator) < 0.3
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(2, 16, 5, 2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )
        with torch.no_grad():
            expected = net(frames)
    return Row(
        "forward on frames, a torch CNN",
        _both(net, lambda n, around: _forward(n, frames, around), batch_dim=0),
        {"scores": expected},
        ("counting_inference",),
    )


def _snntorch(setting: Setting) -> Row:
    """Dense spikes step by step through linear layers and snnTorch's neurons."""
    import snntorch

    class Net(nn.Module):
        """Two spiking layers, as in snnTorch's tutorials."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(700, 256), snntorch.Leaky(beta=0.9)
            self.fc2, self.lif2 = nn.Linear(256, 20), snntorch.Leaky(beta=0.9)

        def forward(self, spikes: Tensor) -> Tensor:
            """Membranes of the last layer, summed."""
            mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
            total = torch.zeros(spikes.shape[1], 20)
            for step in spikes.unbind(0):
                fired, mem1 = self.lif1(self.fc1(step), mem1)
                _, mem2 = self.lif2(self.fc2(fired), mem2)
                total = total + mem2
            return total

    generator = torch.Generator().manual_seed(4)
    shape = (6, 2, 700) if setting.quick else (100, 32, 700)
    spikes = (torch.rand(shape, generator=generator) < 0.02).float()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net()
        with torch.no_grad():
            expected = net(spikes)
    return Row(
        "forward on dense spikes, a snnTorch net step by step",
        _both(net, lambda n, around: _forward(n, spikes, around)),
        {"scores": expected},
        ("counting_inference",),
        facts={"shape": list(shape)},
    )


def _samples(recipe: str, config: Config, setting: Setting) -> tuple[list[MultiStream], str]:
    """Four batches of recordings, and where they come from."""
    n = 4 if setting.quick else 4 * config.train.batch_size
    if recipe != "demo":
        return training_samples(setting.data_root, n)
    data = load_data(config.data)
    pairs = data.epoch_pairs(0, 1, 1)[:n]
    made = [sample for batch in batches(data, "train", pairs, 64) for sample in batch.samples]
    return made, "the embedded default"


def _events(samples: Samples, config: Config) -> dict[str, SpikeBatch]:
    """What a model reads of some samples."""
    n_steps = -(-round(config.data.duration_ms * 1e3) // round(config.data.dt_ms * 1e3))
    return spiking_inputs(samples, tuple(SENSORS), config.data.dt_ms, n_steps)
