"""Float64 references that are differentiated, on inputs that stay off the threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from spikefuse.kernels.gpu.parity.target import Shape, generator
from spikefuse.kernels.scans import Reset, after_reset
from spikefuse.surrogate import Surrogate, spike

SURROGATES = [
    Surrogate("fast_sigmoid", 10.0),
    Surrogate("triangle", 1.0),
    Surrogate("arctan", 2.0),
]
RESETS: tuple[Reset, ...] = ("zero", "subtract")
# Kernels round a membrane otherwise than float64 does: one so near to the threshold may fire there
# and not here.
_MARGIN = 1e-5
_ATTEMPTS = 20

Leaves = list[Tensor]


@dataclass(frozen=True)
class Recording(Surrogate):
    """A surrogate that keeps the least distance from threshold at which it was asked."""

    nearest: list[float] = field(default_factory=list)

    def derivative(self, distance: Tensor) -> Tensor:
        self.nearest.append(distance.abs().min().item())
        return super().derivative(distance)


class Drawn(NamedTuple):
    """Random inputs, what a reference makes of them, and the gradients of random weights of it."""

    leaves: Leaves
    out: list[Tensor]
    up: list[Tensor]
    grads: list[Tensor]


def drawn(
    shape: Shape,
    surrogate: Surrogate,
    make: Callable[[torch.Generator], Leaves],
    run: Callable[[Leaves, Surrogate], Sequence[Tensor]],
) -> Drawn:
    """A reference's results on the first random inputs that leave every membrane off the threshold.

    Raises
    ------
    ValueError
        If no such inputs come up.
    """
    for seed in range(_ATTEMPTS):
        random = generator(shape, 100 + seed)
        recording = Recording(surrogate.name, surrogate.slope)
        leaves = make(random)
        out = list(run(leaves, recording))
        up = [torch.randn(o.shape, generator=random).double() for o in out]
        grads = torch.autograd.grad(out, leaves, up)
        if min(recording.nearest) > _MARGIN:
            return Drawn(leaves, out, up, list(grads))
    raise ValueError(f"shape must leave membranes off the threshold, got {shape}")


def uniform(random: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Uniform float32 numbers, as a float64 leaf that takes a gradient."""
    numbers = low + (high - low) * torch.rand(shape, generator=random)
    return numbers.double().requires_grad_()


def neuron_leaves(random: torch.Generator, shape: Shape) -> Leaves:
    """x [T, B, N], table [5, N] and state [B, 3, N] of `neuron_ref`."""
    n_steps, n_batch, _, n, _ = shape
    spans = ((0.3, 0.8), (0.7, 0.95), (0.6, 1.4), (0.1, 0.5), (0.8, 0.95))
    rows = [uniform(random, low, high, n).detach() for low, high in spans]
    return [
        uniform(random, -0.2, 0.7, n_steps, n_batch, n),
        torch.stack(rows).requires_grad_(),
        uniform(random, -0.2, 0.5, n_batch, 3, n),
    ]


def neuron_ref(
    x: Tensor,  # [T, B, N]
    table: Tensor,  # [5, N]
    state: Tensor,  # [B, 3, N]
    surrogate: Surrogate,
    *,
    reset: Reset,
    detach: bool,
    weight: Tensor | None = None,  # [N, N]
    fired: Tensor | None = None,  # [B, N]
) -> tuple[Tensor, Tensor]:
    """Spikes and last state of the neuron that `neuron.cuh` computes: its definition."""
    alpha, beta, theta, kappa, rho = table.unbind(0)
    i, v, a = state.unbind(1)
    s = torch.zeros_like(x[0]) if fired is None else fired
    out = []
    for current in x.unbind(0):
        i = alpha * i + (current if weight is None else current + s @ weight)
        h = beta * v + i
        s = spike(h - (theta + kappa * a), surrogate)
        v = after_reset(h, s, theta, reset, detach)
        a = rho * a + s
        out.append(s)
    return torch.stack(out), torch.stack([i, v, a], 1)
