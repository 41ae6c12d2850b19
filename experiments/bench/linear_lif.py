"""Linear(N, N) followed by LIF, as every library would build it: for time and for memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from experiments.bench import lif_peers
from experiments.bench.inputs import random_weight

Shape = tuple[int, int, int]
Run = Callable[[], dict[str, Any]]


def dense_input(shape: Shape) -> Tensor:
    """Random input ``[T, B, N]``, as in the benchmark of the Open Neuromorphic community."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(12)) * 0.5


def make_linear_lif(name: str, x: Tensor) -> Run:
    """Forward and backward of the sum of all spikes, to the weight.

    Parameters
    ----------
    name : str
        spikefuse, torch loop, spikingjelly, snntorch, norse, linear only, or oracle.
    x : Tensor[T, B, N]

    Raises
    ------
    ValueError
        If there is no such contender.
    """
    weight = random_weight(x.shape[2], x.shape[2]).requires_grad_()
    scan = _scan(name)

    def run() -> dict[str, Any]:
        if name == "snntorch":
            spikes = _per_step(scan_step(), x, weight)
        else:
            spikes = scan(functional.linear(x, weight.t()))
        (gradient,) = torch.autograd.grad(spikes.sum(), weight)
        return {"spikes": spikes.detach(), "gradient": gradient}

    return run


def scan_step() -> Any:
    """SnnTorch's neuron, which its users call step by step behind the linear layer."""
    return lif_peers.snntorch_leaky()


def _scan(name: str) -> lif_peers.Scan:
    """The neurons of one contender."""
    if name == "linear only":
        return lambda y: y
    if name == "oracle":
        return lif_peers.oracle
    if name == "norse":
        peer = lif_peers.norse()
        return lambda y: peer.scan(y * peer.gain)
    makers = {
        "spikefuse": lif_peers.ours,
        "torch loop": lif_peers.torch_loop,
        "spikingjelly": lif_peers.spikingjelly,
        "snntorch": lif_peers.snntorch,
    }
    if name not in makers:
        raise ValueError(f"name must be one of {sorted(makers)}, got {name!r}")
    return makers[name]().scan


def _per_step(leaky: Any, x: Tensor, weight: Tensor) -> Tensor:
    """Linear and neuron of one step after the other."""
    membrane, out = torch.zeros(x.shape[1], weight.shape[1]), []
    for step in x.unbind(0):
        spikes, membrane = leaky(functional.linear(step, weight.t()), membrane)
        out.append(spikes)
    return torch.stack(out)
