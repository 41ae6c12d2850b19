"""Calls of `recurrent.cu`: layers with recurrent synapses, one launch for a whole sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.products import suffix
from spikefuse.kernels.gpu.sources import Launcher
from spikefuse.kernels.scans import CHECKPOINT_STEPS
from spikefuse.surrogate import NAMES, Surrogate


def recurrent_forward(
    launch: Launcher,
    x: Tensor,  # [T, B, N]
    weight: Tensor,  # [N, N]
    table: Tensor,  # [5, N]
    fired: Tensor,  # [B, N]
    state: Tensor,  # [B, 3, N]
    *,
    subtract: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Spikes, last state (i, v, a), and the states that the backward pass starts from."""
    n_steps, n_batch, n = x.shape
    state, spikes = state.detach().clone(), torch.empty_like(x)
    n_saved = shapes.ceil_div(n_steps, CHECKPOINT_STEPS)
    saved = x.new_empty(n_saved, n_batch, 3, n) if keep else None
    if spikes.numel():
        arrays = (x, weight, table, subtract, fired, state, spikes, saved)
        launch(
            "recurrent",
            f"sf_recurrent_forward_{suffix(weight)}",
            (n_batch, 1, 1),
            (shapes.lanes(n, 1024), 1, 1),
            (*arrays, n_steps, n_batch, n),
            12 * n + _bit_bytes(n),
        )
    return spikes, state, saved


def recurrent_backward(
    launch: Launcher,
    grad: Tensor | None,  # [T, B, N]
    grad_state: Tensor,  # [B, 3, N]
    x: Tensor,
    weight: Tensor,
    table: Tensor,
    fired: Tensor,
    spikes: Tensor,
    saved: Tensor,
    *,
    subtract: bool,
    detach: bool,
    surrogate: Surrogate,
    wants_table: bool = True,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of x, the first state and (float64) the table.

    That of ``fired`` is ``dx[0] @ weight.T``; that of ``weight`` is the product of the spikes of
    each step with ``dx`` of the next, which `products.gather` gives from their events.
    """
    n_steps, n_batch, n = x.shape
    dstate, dx = grad_state.detach().clone(), torch.empty_like(x)
    parts = None
    if wants_table:
        parts = torch.zeros((5, n_batch, n), dtype=torch.float64, device=x.device)
    if dx.numel():
        scratch = x.new_empty(CHECKPOINT_STEPS, n_batch, 4, n)
        options = (subtract, detach, NAMES.index(surrogate.name), surrogate.slope)
        arrays = (fired, spikes, saved, scratch, dstate, dx, parts)
        launch(
            "recurrent",
            f"sf_recurrent_backward_{suffix(weight)}",
            (n_batch, 1, 1),
            (shapes.lanes(n, 512), 1, 1),
            (grad, x, weight, table, *options, *arrays, n_steps, n_batch, n),
            8 * n + _bit_bytes(n),
        )
    return dx, dstate, None if parts is None else parts.sum(1)


def _bit_bytes(n: int) -> int:
    """Two rows of bits."""
    return 8 * shapes.ceil_div(n, shapes.WARP)
