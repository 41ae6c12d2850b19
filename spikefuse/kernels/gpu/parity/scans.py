"""Scans forward and back, against the float64 references and autograd."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from spikefuse.kernels.gpu import scans
from spikefuse.kernels.gpu.parity import reference
from spikefuse.kernels.gpu.parity.reference import RESETS, SURROGATES, Leaves, drawn, uniform
from spikefuse.kernels.gpu.parity.target import Shape, Target, generator, near, same
from spikefuse.kernels.neurons import lif_scan_ref
from spikefuse.kernels.scans import Reset
from spikefuse.surrogate import Surrogate

# Sequences shorter than, equal to and longer than the steps between two stored states.
SHAPES = [
    Shape(1, 1, 0, 1, 0),
    Shape(16, 2, 0, 31, 0),
    Shape(17, 1, 0, 72, 0),
    Shape(37, 2, 0, 33, 0),
    Shape(5, 3, 0, 260, 0),
]


def check_lif(target: Target, shape: Shape) -> None:
    """LIF: spikes, last membrane and all gradients, for every reset and surrogate."""
    for reset, detach, chosen in itertools.product(RESETS, (False, True), SURROGATES):
        _check_lif(target, shape, reset, detach, chosen)


def _check_lif(target: Target, shape: Shape, reset: Reset, detach: bool, chosen: Surrogate) -> None:
    """One kind of LIF."""
    n_steps, n_batch, _, n, _ = shape

    def make(random: torch.Generator) -> Leaves:
        spans = ((0.7, 0.99), (0.6, 1.4))
        parameters = [uniform(random, low, high, n) for low, high in spans]
        x = uniform(random, -0.3, 0.9, n_steps, n_batch, n)
        return [x, *parameters, uniform(random, -0.5, 0.5, n_batch, n)]

    def run(leaves: Leaves, surrogate: Surrogate) -> tuple[Tensor, Tensor]:
        x, beta, theta, v0 = leaves
        return lif_scan_ref(
            x, beta, theta, reset=reset, v0=v0, surrogate=surrogate, detach_reset=detach
        )

    leaves, (spikes, v), (up, up_v), wanted = drawn(shape, chosen, make, run)
    x, beta, theta, v0 = (target.put(leaf.float()) for leaf in leaves)
    subtract, launch = reset == "subtract", target.launch
    got, got_v, saved = scans.lif_forward(launch, x, beta, theta, v0, subtract=subtract, keep=True)
    single = [leaf.detach().float() for leaf in leaves]
    plain, plain_v = run(single, chosen)
    same("spikes", got, spikes.float())
    same("spikes of the float32 reference", got, plain)
    same("membrane of the float32 reference", got_v, plain_v)
    near("membrane", got_v, v)
    dx, dv, dbeta, dtheta = scans.lif_backward(
        launch,
        target.put(up.float()),
        target.put(up_v.float()),
        x,
        beta,
        theta,
        _kept(saved),
        subtract=subtract,
        detach=detach,
        surrogate=chosen,
    )
    _near_all(("x", "beta", "theta", "v0"), (dx, dbeta, dtheta, dv), wanted)


def check_neuron(target: Target, shape: Shape) -> None:
    """Neurons with synaptic current and adaptation: spikes, last states and all gradients."""
    for k, (reset, detach) in enumerate(itertools.product(RESETS, (False, True))):
        _check_neuron(target, shape, reset, detach, SURROGATES[k % 3])


def _check_neuron(
    target: Target, shape: Shape, reset: Reset, detach: bool, chosen: Surrogate
) -> None:
    """One kind of neuron."""

    def run(leaves: Leaves, surrogate: Surrogate) -> tuple[Tensor, Tensor]:
        x, table, state = leaves
        return reference.neuron_ref(x, table, state, surrogate, reset=reset, detach=detach)

    leaves, (spikes, last), (up, up_state), wanted = drawn(
        shape, chosen, lambda random: reference.neuron_leaves(random, shape), run
    )
    x, table, state = (target.put(leaf.float()) for leaf in leaves)
    subtract, launch = reset == "subtract", target.launch
    got, got_last, saved = scans.neuron_forward(
        launch, x, table, state, subtract=subtract, keep=True
    )
    same("spikes", got, spikes.float())
    near("last state", got_last, last)
    dx, dstate, dtable = scans.neuron_backward(
        launch,
        target.put(up.float()),
        target.put(up_state.float()),
        x,
        table,
        _kept(saved),
        subtract=subtract,
        detach=detach,
        surrogate=chosen,
    )
    _near_all(("x", "table", "state"), (dx, dtable, dstate), wanted)


def check_readout(target: Target, shape: Shape) -> None:
    """Leaky integration: every state and all gradients."""
    n_steps, n_batch, _, n, _ = shape
    random = generator(shape, 4)
    x = uniform(random, -1, 1, n_steps, n_batch, n)
    beta, gain = uniform(random, 0.7, 0.99, n), uniform(random, 0.1, 1, n)
    v0 = uniform(random, -1, 1, n_batch, n)
    v, trace = v0, []
    for current in x.unbind(0):
        v = beta * v + gain * current
        trace.append(v)
    want = torch.stack(trace)
    up, up_v = (torch.randn(o.shape, generator=random).double() for o in (want, v))
    wanted = torch.autograd.grad((want, v), (x, beta, gain, v0), (up, up_v))
    put_x, put_beta, put_gain, put_v0 = (target.put(leaf.float()) for leaf in (x, beta, gain, v0))
    got, got_v = scans.li_forward(target.launch, put_x, put_beta, put_gain, put_v0)
    near("trace", got, want)
    near("last state", got_v, v)
    dx, dv, dbeta, dgain = scans.li_backward(
        target.launch,
        target.put(up.float()),
        target.put(up_v.float()),
        put_x,
        put_beta,
        put_gain,
        put_v0,
        got,
    )
    _near_all(("x", "beta", "gain", "v0"), (dx, dbeta, dgain, dv), list(wanted))


def _near_all(names: tuple[str, ...], got: tuple[Tensor | None, ...], wanted: list[Tensor]) -> None:
    """`near` for gradients."""
    for name, one, want in zip(names, got, wanted, strict=True):
        near(f"gradient of {name}", one, want)


def _kept(saved: Tensor | None) -> Tensor:
    """The stored states, which a forward pass with ``keep`` returns."""
    if saved is None:
        raise ValueError("saved must be kept, got None")
    return saved
