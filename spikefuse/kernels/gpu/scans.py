"""Calls of `lif.cu`, `dynamics.cu` and `readout.cu`: scans over whole sequences.

Arrays are ``[T, B, N]`` and contiguous; parameters are ``[N]``, or ``[5, N]`` for (alpha, beta,
theta, kappa, rho). States are copied before a kernel writes into them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.sources import Launcher
from spikefuse.kernels.scans import CHECKPOINT_STEPS
from spikefuse.surrogate import NAMES, Surrogate

BLOCK = 128  # SF_SCAN_BLOCK of `common.cuh`


def lif_forward(
    launch: Launcher,
    x: Tensor,  # [T, B, N]
    beta: Tensor,  # [N]
    theta: Tensor,  # [N]
    v0: Tensor | None,  # [B, N]
    *,
    subtract: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Spikes, last membrane, and the membranes that the backward pass starts from if ``keep``."""
    n_steps, n_batch, n = x.shape
    v = torch.zeros_like(x[0]) if v0 is None else v0.detach().clone()
    spikes = torch.empty_like(x)
    saved = x.new_empty(_n_saved(n_steps), n_batch, n) if keep else None
    if spikes.numel():
        grid, block = shapes.flat(n_batch * n)
        sizes = (n_steps, n_batch, n)
        arguments = (x, beta, theta, subtract, v, spikes, saved, *sizes)
        launch("lif", "sf_lif_forward", grid, block, arguments)
    return spikes, v, saved


def lif_backward(
    launch: Launcher,
    grad: Tensor | None,  # [T, B, N]
    grad_v: Tensor | None,  # [B, N]
    x: Tensor,
    beta: Tensor,
    theta: Tensor,
    saved: Tensor,
    *,
    subtract: bool,
    detach: bool,
    surrogate: Surrogate,
    wants_beta: bool = True,
    wants_theta: bool = True,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients of x, v0, beta and theta; the last two float64 ``[N]``, or None if not wanted."""
    n_steps, n_batch, n = x.shape
    dv = torch.zeros_like(x[0]) if grad_v is None else grad_v.detach().clone()
    dx = torch.empty_like(x)
    dbeta, dtheta = (
        _parts(x, n_batch, n) if wanted else None for wanted in (wants_beta, wants_theta)
    )
    if dx.numel():
        grid, block = shapes.flat(n_batch * n, BLOCK)
        options = (subtract, detach, NAMES.index(surrogate.name), surrogate.slope)
        arrays = (saved, dv, dx, dbeta, dtheta)
        arguments = (grad, x, beta, theta, *options, *arrays, n_steps, n_batch, n)
        launch("lif", "sf_lif_backward", grid, block, arguments)
    return dx, dv, _summed(dbeta), _summed(dtheta)


def neuron_forward(
    launch: Launcher,
    x: Tensor,  # [T, B, N]
    table: Tensor,  # [5, N]
    state: Tensor,  # [B, 3, N]
    *,
    subtract: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Spikes, last state (i, v, a), and the states that the backward pass starts from."""
    n_steps, n_batch, n = x.shape
    state, spikes = state.detach().clone(), torch.empty_like(x)
    saved = x.new_empty(_n_saved(n_steps), n_batch, 3, n) if keep else None
    if spikes.numel():
        grid, block = shapes.flat(n_batch * n)
        arguments = (x, table, subtract, state, spikes, saved, n_steps, n_batch, n)
        launch("dynamics", "sf_neuron_forward", grid, block, arguments)
    return spikes, state, saved


def neuron_backward(
    launch: Launcher,
    grad: Tensor | None,  # [T, B, N]
    grad_state: Tensor,  # [B, 3, N]
    x: Tensor,
    table: Tensor,
    saved: Tensor,
    *,
    subtract: bool,
    detach: bool,
    surrogate: Surrogate,
    wants_table: bool = True,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of x, the first state and (float64) the table."""
    n_steps, n_batch, n = x.shape
    dstate, dx = grad_state.detach().clone(), torch.empty_like(x)
    parts = _parts(x, 5, n_batch, n) if wants_table else None
    if dx.numel():
        grid, block = shapes.flat(n_batch * n, BLOCK)
        options = (subtract, detach, NAMES.index(surrogate.name), surrogate.slope)
        arguments = (grad, x, table, *options, saved, dstate, dx, parts, n_steps, n_batch, n)
        launch("dynamics", "sf_neuron_backward", grid, block, arguments)
    return dx, dstate, None if parts is None else parts.sum(1)


def li_forward(
    launch: Launcher, x: Tensor, beta: Tensor, gain: Tensor, v0: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Every state ``[T, B, N]``, and the last; a trace is this with a gain of 1."""
    n_steps, n_batch, n = x.shape
    v = torch.zeros_like(x[0]) if v0 is None else v0.detach().clone()
    trace = torch.empty_like(x)
    if trace.numel():
        grid, block = shapes.flat(n_batch * n)
        arguments = (x, beta, gain, v, trace, n_steps, n_batch, n)
        launch("readout", "sf_li_forward", grid, block, arguments)
    return trace, v


def li_backward(
    launch: Launcher,
    grad: Tensor | None,  # [T, B, N]
    grad_v: Tensor | None,  # [B, N]
    x: Tensor,
    beta: Tensor,
    gain: Tensor,
    v0: Tensor | None,
    trace: Tensor,
    *,
    wants_beta: bool = True,
    wants_gain: bool = True,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients of x, v0, beta and gain; the last two float64 ``[N]``, or None if not wanted."""
    n_steps, n_batch, n = x.shape
    dv = torch.zeros_like(x[0]) if grad_v is None else grad_v.detach().clone()
    start = torch.zeros_like(x[0]) if v0 is None else v0
    dx = torch.empty_like(x)
    dbeta, dgain = (
        _parts(x, n_batch, n) if wanted else None for wanted in (wants_beta, wants_gain)
    )
    if dx.numel():
        grid, block = shapes.flat(n_batch * n)
        arrays = (grad, x, beta, gain, start, trace, dv, dx, dbeta, dgain)
        launch("readout", "sf_li_backward", grid, block, (*arrays, n_steps, n_batch, n))
    return dx, dv, _summed(dbeta), _summed(dgain)


def _n_saved(n_steps: int) -> int:
    """Stored states of a sequence."""
    return shapes.ceil_div(n_steps, CHECKPOINT_STEPS)


def _parts(x: Tensor, *shape: int) -> Tensor:
    """Zeros for each sample's part of a parameter's gradient."""
    return torch.zeros(shape, dtype=torch.float64, device=x.device)


def _summed(parts: Tensor | None) -> Tensor | None:
    """The parts of all samples."""
    return None if parts is None else parts.sum(0)
