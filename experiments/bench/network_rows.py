"""Rows of whole networks: three-layer inference, and an epoch of training the fusion model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from experiments.bench import lif_peers
from experiments.bench.inputs import on_grid, random_spikes, random_weight
from experiments.bench.lif_peers import BETA, THRESHOLD
from experiments.bench.rows import OURS, Contender, Row, Setting
from experiments.bench.training_rows import training_rows
from spikefuse.kernels.fused import fused_event_lif
from spikefuse.spikes import SpikeBatch

_SIZES = (512, 512, 20)
Weights = list[Tensor]


def network_rows(setting: Setting) -> Iterator[Row]:
    """Inference at several input densities and hidden rates, then training."""
    if setting.quick:
        yield _inference(setting, (12, 4, 96), 0.05, (0.05, 0.10), (32, 32, 10))
    else:
        for n_in in (2312, 700):
            for density in (0.005, 0.01, 0.03):
                for hidden in ((0.02, 0.04), (0.05, 0.10)):
                    yield _inference(setting, (100, 32, n_in), density, hidden, _SIZES)
    yield from training_rows(setting)


def _inference(
    setting: Setting,
    shape: tuple[int, int, int],
    density: float,
    hidden: tuple[float, float],
    sizes: tuple[int, ...],
) -> Row:
    """Events in, spikes of the last layer out."""
    spikes = random_spikes(shape, density)
    dense = spikes.to_dense()
    weights, rates, layers = _with_rates(dense, sizes, hidden)

    def ours() -> dict[str, Any]:
        passed: SpikeBatch = spikes
        for weight in weights:
            passed, _ = fused_event_lif(passed, weight, BETA, THRESHOLD)
        return {"spikes": passed}

    contenders = [
        Contender(OURS, ours),
        Contender("torch loop", _layer_by_layer(lif_peers.torch_loop(), dense, weights)),
    ]
    if "spikingjelly" in setting.peers:
        contenders.append(
            Contender("spikingjelly", _layer_by_layer(lif_peers.spikingjelly(), dense, weights))
        )
    if "norse" in setting.peers:
        contenders.append(Contender("norse", _layer_by_layer(lif_peers.norse(), dense, weights)))
    if "snntorch" in setting.peers:
        contenders.append(Contender("snntorch", _step_by_step(dense, weights)))
    low, high = hidden
    return Row(
        f"3 layers {shape[2]} -> {' -> '.join(map(str, sizes))}, input {density:.1%}, "
        f"hidden {low:.0%} to {high:.0%}",
        tuple(contenders),
        {"spikes": layers},
        ("network_spikingjelly", "network_snntorch"),
        facts={"shape": list(shape), "density": spikes.density, "rates": rates},
    )


def _with_rates(
    dense: Tensor, sizes: tuple[int, ...], wanted: tuple[float, float]
) -> tuple[Weights, list[float], Tensor]:
    """Weights scaled by bisection so that every layer fires at the middle of the wanted rates."""
    weights, rates, arriving = [], [], dense
    middle = sum(wanted) / 2
    with torch.no_grad():
        for layer, n_out in enumerate(sizes):
            weight = random_weight(arriving.shape[2], n_out, seed=20 + layer)
            current = arriving @ weight
            low, high = 0.0, 1e3
            for _ in range(30):
                scale = (low + high) / 2 if low else high / 2
                rate = float(lif_peers.ours().scan(current * scale).mean())
                low, high = (low, scale) if rate > middle else (scale, high)
            weights.append(on_grid(weight * scale))
            arriving = lif_peers.oracle(arriving @ weights[-1])
            rates.append(float(arriving.mean()))
    return weights, rates, arriving


def _layer_by_layer(
    peer: lif_peers.Peer, dense: Tensor, weights: Weights
) -> Callable[[], dict[str, Any]]:
    """A library that takes whole sequences: one layer after the other."""

    def run() -> dict[str, Any]:
        passed = dense
        with torch.no_grad():
            for weight in weights:
                current = passed @ weight
                passed = peer.scan(current if peer.gain == 1.0 else current * peer.gain)
        return {"spikes": passed}

    return run


def _step_by_step(dense: Tensor, weights: Weights) -> Callable[[], dict[str, Any]]:
    """SnnTorch as its users write it: every layer of a step, then the next step."""
    neurons = [lif_peers.snntorch_leaky() for _ in weights]

    def run() -> dict[str, Any]:
        membranes = [torch.zeros(dense.shape[1], weight.shape[1]) for weight in weights]
        out = []
        with torch.no_grad():
            for step in dense.unbind(0):
                passed = step
                for layer, (weight, neuron) in enumerate(zip(weights, neurons, strict=True)):
                    passed, membranes[layer] = neuron(passed @ weight, membranes[layer])
                out.append(passed)
        return {"spikes": torch.stack(out)}

    return run
