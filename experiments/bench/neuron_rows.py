"""Rows of neurons alone: LIF against every library, the other neurons against a torch loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from experiments.bench import lif_peers
from experiments.bench.floor import Floor
from experiments.bench.lif_peers import ARCTAN, BETA, THRESHOLD, Peer
from experiments.bench.rows import OURS, Contender, Row, Setting
from spikefuse.kernels.adaptive import alif_scan, alif_scan_ref
from spikefuse.kernels.readout import li_scan, li_scan_ref
from spikefuse.kernels.recurrent import recurrent_lif_scan, recurrent_lif_scan_ref
from spikefuse.kernels.synaptic import cuba_lif_scan, cuba_lif_scan_ref

Shape = tuple[int, int, int]
_FLOAT = 4


def neuron_rows(setting: Setting) -> Iterator[Row]:
    """LIF forward and backward at three shapes, then synaptic, adaptive, readout, recurrent."""
    shapes: list[Shape] = [(100, 32, 512), (500, 16, 512), (500, 16, 4096)]
    training = ["lif_train", "lif_train_long", "lif_train_large"]
    if setting.quick:
        shapes, training = [(20, 4, 64)], training[:1]
    for shape, target in zip(shapes, training, strict=True):
        yield from _lif_rows(shape, target, setting)
    yield from _other_rows((20, 4, 64) if setting.quick else (100, 32, 512), setting)


def drive(shape: Shape) -> Tensor:
    """Random currents at which about a tenth of the neurons fire in a step."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator) * 0.4 + 0.1


def _lif_rows(shape: Shape, target: str, setting: Setting) -> Iterator[Row]:
    """Inference, forward with the graph kept, forward and backward."""
    current = drive(shape)
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    peers = lif_peers.all_peers(setting.peers)
    with torch.no_grad():
        spikes = lif_peers.oracle(current)
    facts = {"shape": list(shape), "firing": float(spikes.mean())}
    size = current.numel() * _FLOAT
    large = shape[2] > 512
    yield Row(
        f"LIF forward, inference {list(shape)}",
        tuple(Contender(p.name, _forward(p, current, grad=False)) for p in peers),
        {"spikes": spikes},
        floor=Floor(size),
        facts=facts,
    )
    yield Row(
        f"LIF forward, graph kept {list(shape)}",
        tuple(Contender(p.name, _forward(p, current, grad=True)) for p in peers),
        {"spikes": spikes},
        () if large else ("lif_forward",),
        Floor(size),
        facts,
    )
    yield Row(
        f"LIF forward + backward {list(shape)}",
        tuple(
            Contender(p.name, _train(p, current, gradient), _gradient_of(p, current, gradient))
            for p in peers
        ),
        targets=(target,),
        # Current in, spikes out; current and their gradient in, its own gradient out.
        floor=Floor(2 * size, size, size),
        facts=facts,
    )


def _forward(peer: Peer, current: Tensor, grad: bool) -> Callable[[], dict[str, Any]]:
    """One forward pass."""
    x = (current * peer.gain).requires_grad_(grad)

    def run() -> dict[str, Any]:
        with torch.set_grad_enabled(grad):
            return {"spikes": peer.scan(x)}

    return run


def _train(peer: Peer, current: Tensor, gradient: Tensor) -> Callable[[], dict[str, Any]]:
    """One forward and backward pass."""
    x = (current * peer.gain).requires_grad_()

    def run() -> dict[str, Any]:
        spikes = peer.scan(x)
        return {"spikes": spikes, "gradient": torch.autograd.grad(spikes, x, gradient)[0]}

    return run


def _gradient_of(peer: Peer, current: Tensor, gradient: Tensor) -> dict[str, Any]:
    """What a library's own surrogate must give."""
    x = current.clone().requires_grad_()
    spikes = lif_peers.oracle(x, peer.surrogate)
    (expected,) = torch.autograd.grad(spikes, x, gradient)
    return {"spikes": spikes.detach(), "gradient": expected / peer.gain}


def _other_rows(shape: Shape, setting: Setting) -> Iterator[Row]:
    """Neurons with more state, forward and backward, against the loop that defines them."""
    x = drive(shape)
    generator = torch.Generator().manual_seed(3)
    gradient = torch.randn(shape, generator=generator)
    n = shape[2]
    recurrent = torch.randn(n, n, generator=generator) * (0.5 / n**0.5)
    size = x.numel() * _FLOAT
    alpha, rho, kappa = 0.7, 0.95, 0.2
    scans: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
        "CubaLIF": (
            lambda c: cuba_lif_scan(c, alpha, BETA, THRESHOLD, surrogate=ARCTAN)[0],
            lambda c: cuba_lif_scan_ref(c, alpha, BETA, THRESHOLD, surrogate=ARCTAN)[0],
        ),
        "ALIF": (
            lambda c: alif_scan(c, BETA, THRESHOLD, rho, kappa, surrogate=ARCTAN)[0],
            lambda c: alif_scan_ref(c, BETA, THRESHOLD, rho, kappa, surrogate=ARCTAN)[0],
        ),
        "Leaky readout": (lambda c: li_scan(c, BETA)[0], lambda c: li_scan_ref(c, BETA)[0]),
        "Recurrent LIF": (
            lambda c: recurrent_lif_scan(c, BETA, THRESHOLD, recurrent, surrogate=ARCTAN)[0],
            lambda c: recurrent_lif_scan_ref(c, BETA, THRESHOLD, recurrent, surrogate=ARCTAN)[0],
        ),
    }
    for name, (fast, reference) in scans.items():
        loop = Peer("torch loop", reference)
        contenders = [Peer(OURS, fast), loop]
        if name == "CubaLIF" and "snntorch" in setting.peers:
            contenders.append(_synaptic(alpha))
        # A leaky integrator has no spikes: its trace is compared as numbers.
        key = "trace" if name == "Leaky readout" else "spikes"
        leaf = x.clone().requires_grad_()
        out = reference(leaf)
        expected = {key: out.detach(), "gradient": torch.autograd.grad(out, leaf, gradient)[0]}
        yield Row(
            f"{name} forward + backward {list(shape)}",
            tuple(Contender(p.name, _renamed(_train(p, x, gradient), key)) for p in contenders),
            expected,
            floor=Floor(2 * size, size, size),
            facts={"shape": list(shape), "mean output": float(out.detach().mean())},
        )


def _renamed(run: Callable[[], dict[str, Any]], key: str) -> Callable[[], dict[str, Any]]:
    """The same run with its first output under another name."""

    def renamed() -> dict[str, Any]:
        outputs = run()
        return {key: outputs["spikes"], "gradient": outputs["gradient"]}

    return renamed


def _synaptic(alpha: float) -> Peer:
    """A loop over snnTorch's Synaptic."""
    import snntorch

    layer = snntorch.Synaptic(
        alpha,
        BETA,
        THRESHOLD,
        spike_grad=snntorch.surrogate.atan(alpha=ARCTAN.slope),
        reset_mechanism="zero",
        reset_delay=False,
    )

    def scan(x: Tensor) -> Tensor:
        current, membrane, out = torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
        for step in x.unbind(0):
            spikes, current, membrane = layer(step, current, membrane)
            out.append(spikes)
        return torch.stack(out)

    return Peer("snntorch", scan)
