"""The same LIF neurons in every library: reset to zero, one decay, one threshold.

Each library runs as its users would run it on a whole sequence; loops go over ``unbind`` because
indexing a tensor that needs a gradient makes the backward pass quadratic in the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikefuse.kernels.neurons import lif_scan, lif_scan_ref
from spikefuse.surrogate import Surrogate, spike

# An eighth leaks away: v - v / 8 and 0.875 v round to the same float, whichever a library takes.
# The threshold is off the grid of the weights: SpikingJelly fires at it, the others above it.
BETA, THRESHOLD = 0.875, 1.0001
ARCTAN = Surrogate("arctan", 2.0)
Scan = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Peer:
    """How a library does it.

    Parameters
    ----------
    name : str
    scan : function of the current ``[T, B, N]`` to spikes of the same shape
    gain : float
        By what the library wants its input multiplied.
    surrogate : Surrogate
    """

    name: str
    scan: Scan
    gain: float = 1.0
    surrogate: Surrogate = ARCTAN


def ours() -> Peer:
    """The kernels of this project."""
    return Peer("spikefuse", lambda x: lif_scan(x, BETA, THRESHOLD, surrogate=ARCTAN)[0])


def torch_loop() -> Peer:
    """A loop of torch operations over the steps."""
    return Peer("torch loop", lambda x: lif_scan_ref(x, BETA, THRESHOLD, surrogate=ARCTAN)[0])


def spikingjelly() -> Peer:
    """SpikingJelly's multi-step LIF node, its torch backend (it has no other on CPU)."""
    from spikingjelly.activation_based import functional

    node = spikingjelly_node()

    def scan(x: Tensor) -> Tensor:
        functional.reset_net(node)
        spikes: Tensor = node(x)
        return spikes

    return Peer("spikingjelly", scan)


def spikingjelly_node() -> Any:
    """The node alone."""
    from spikingjelly.activation_based import neuron, surrogate

    return neuron.LIFNode(
        tau=1.0 / (1.0 - BETA),
        decay_input=False,
        v_threshold=THRESHOLD,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(ARCTAN.slope),
        detach_reset=False,
        step_mode="m",
    )


def snntorch() -> Peer:
    """A loop over snnTorch's Leaky."""
    leaky = snntorch_leaky()

    def scan(x: Tensor) -> Tensor:
        membrane, out = torch.zeros_like(x[0]), []
        for step in x.unbind(0):
            spikes, membrane = leaky(step, membrane)
            out.append(spikes)
        return torch.stack(out)

    return Peer("snntorch", scan)


def snntorch_leaky() -> Any:
    """The neuron alone."""
    import snntorch as library

    return library.Leaky(
        beta=BETA,
        threshold=THRESHOLD,
        spike_grad=library.surrogate.atan(alpha=ARCTAN.slope),
        reset_mechanism="zero",
        reset_delay=False,
    )


def norse() -> Peer:
    """A loop over Norse's LIFBoxCell, which integrates by Euler steps and scales its input."""
    import norse.torch as library

    dt = 1e-3
    cell = library.LIFBoxCell(
        p=library.LIFBoxParameters(
            tau_mem_inv=torch.tensor((1.0 - BETA) / dt),
            v_leak=torch.tensor(0.0),
            v_th=torch.tensor(THRESHOLD),
            v_reset=torch.tensor(0.0),
        ),
        dt=dt,
    )

    def scan(x: Tensor) -> Tensor:
        state, out = None, []
        for step in x.unbind(0):
            spikes, state = cell(step, state)
            out.append(spikes)
        return torch.stack(out)

    gain = 1.0 / (1.0 - BETA)
    return Peer("norse", scan, gain, Surrogate("fast_sigmoid", 1.0))


def all_peers(names: frozenset[str]) -> list[Peer]:
    """Ours, the loop in torch, and those of ``names`` that have LIF neurons."""
    makers = {"spikingjelly": spikingjelly, "snntorch": snntorch, "norse": norse}
    return [ours(), torch_loop(), *(make() for name, make in makers.items() if name in names)]


def oracle(current: Tensor, surrogate: Surrogate = ARCTAN) -> Tensor:
    """Spikes by the plain formula, written down once more; the gradient flows through the reset."""
    v, out = torch.zeros_like(current[0]), []
    for x in current.unbind(0):
        v = BETA * v + x
        s = spike(v - THRESHOLD, surrogate)
        v = v * (1.0 - s)
        out.append(s)
    return torch.stack(out)
