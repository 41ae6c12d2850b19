"""Recurrent layers forward and back, against the float64 reference and autograd."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from spikefuse.kernels.gpu import recurrent
from spikefuse.kernels.gpu.parity import reference
from spikefuse.kernels.gpu.parity.reference import RESETS, SURROGATES, Leaves, drawn
from spikefuse.kernels.gpu.parity.target import Shape, Target, near, same
from spikefuse.kernels.scans import Reset
from spikefuse.surrogate import Surrogate

SHAPES = [
    Shape(1, 1, 0, 1, 0),
    Shape(17, 2, 0, 31, 0),
    Shape(18, 1, 0, 72, 0),
    Shape(35, 2, 0, 33, 0),
    Shape(3, 2, 0, 260, 0),
]


def check_recurrent(target: Target, shape: Shape) -> None:
    """Spikes, last states and all gradients, for every reset and weight type."""
    for k, (reset, detach) in enumerate(itertools.product(RESETS, (False, True))):
        dtype = torch.float32 if k % 2 == 0 else torch.bfloat16
        _check(target, shape, reset, detach, SURROGATES[k % 3], dtype)


def _check(
    target: Target,
    shape: Shape,
    reset: Reset,
    detach: bool,
    chosen: Surrogate,
    dtype: torch.dtype,
) -> None:
    """One kind of layer. Spikes before the first step may have any amplitude."""
    _, n_batch, _, n, _ = shape

    def make(random: torch.Generator) -> Leaves:
        weight = 0.3 * torch.randn(n, n, generator=random) / n**0.5
        fired = torch.randint(0, 3, (n_batch, n), generator=random) / 2
        more = [weight.to(dtype).double(), fired.double()]
        return [*reference.neuron_leaves(random, shape), *(m.requires_grad_() for m in more)]

    def run(leaves: Leaves, surrogate: Surrogate) -> tuple[Tensor, Tensor]:
        x, table, state, weight, fired = leaves
        return reference.neuron_ref(
            x, table, state, surrogate, reset=reset, detach=detach, weight=weight, fired=fired
        )

    leaves, (spikes, last), (up, up_state), wanted = drawn(shape, chosen, make, run)
    x, table, state, weight, fired = (target.put(leaf.float()) for leaf in leaves)
    packed, subtract, launch = weight.to(dtype), reset == "subtract", target.launch
    got, got_last, saved = recurrent.recurrent_forward(
        launch, x, packed, table, fired, state, subtract=subtract, keep=True
    )
    same("spikes", got, spikes.float())
    near("last state", got_last, last)
    if saved is None:
        raise ValueError("saved must be kept, got None")
    dx, dstate, dtable = recurrent.recurrent_backward(
        launch,
        target.put(up.float()),
        target.put(up_state.float()),
        x,
        packed,
        table,
        fired,
        got,
        saved,
        subtract=subtract,
        detach=detach,
        surrogate=chosen,
    )
    before = torch.cat([fired[None], got[:-1]]).view(-1, n)
    found = (dx, dtable, dstate, before.t() @ dx.view(-1, n), dx[0] @ weight.t())
    names = ("x", "table", "state", "weight", "fired")
    for name, one, want in zip(names, found, wanted, strict=True):
        near(f"gradient of {name}", one, want)
