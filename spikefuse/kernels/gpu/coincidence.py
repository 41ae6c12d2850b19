"""Calls of `coincidence.cu`: events counted while a window is open."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.compaction import Events
from spikefuse.kernels.gpu.products import suffix
from spikefuse.kernels.gpu.sources import Launcher


def coincidence(
    launch: Launcher,
    events: Events,
    weight: Tensor,  # [n_in, M]
    window: Tensor,  # [R, M]
    *,
    saturating: bool,
    keep: bool,
) -> tuple[Tensor, Tensor | None]:
    """The gated product [R, M], and the sum before the gate if ``keep``."""
    n_rows, width = window.shape
    out = torch.empty_like(window)
    drive = torch.empty_like(window) if keep else None
    if out.numel():
        grid, block = shapes.rows(n_rows, width)
        arguments = (*events, weight, window, saturating, out, drive, width)
        launch("coincidence", f"sf_coincidence_{suffix(weight)}", grid, block, arguments)
    return out, drive


def coincidence_backward(
    launch: Launcher, grad: Tensor, window: Tensor, drive: Tensor, *, saturating: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of the window and of the sum, from that of the product; all [R, M]."""
    dwindow, ddrive = torch.empty_like(window), torch.empty_like(window)
    if grad.numel():
        grid, block = shapes.flat(grad.numel())
        arguments = (grad, window, drive, saturating, dwindow, ddrive, grad.numel())
        launch("coincidence", "sf_coincidence_backward", grid, block, arguments)
    return dwindow, ddrive


def coincidence_trace(
    launch: Launcher,
    events: Events,
    weight: Tensor,  # [n_in, M]
    openers: Events,
    opener_weight: Tensor,  # [n_opener, M]
    beta: Tensor,  # [M]
    trace: Tensor,  # [B, M]
    *,
    same_step: bool,
    saturating: bool,
) -> tuple[Tensor, Tensor]:
    """The product [R, M] gated by the trace of the openers, and the trace after the last step."""
    n_batch, width = trace.shape
    n_rows = len(events[0]) - 1
    trace = trace.detach().clone()
    out = torch.empty((n_rows, width), dtype=torch.float32, device=trace.device)
    if out.numel():
        grid, block = shapes.rows(n_batch, width)
        weights = (weight, *openers, opener_weight, beta)
        options = (same_step, saturating, trace, out, n_rows // n_batch, n_batch, width)
        name = f"sf_coincidence_trace_{suffix(weight)}"
        launch("coincidence", name, grid, block, (*events, *weights, *options))
    return out, trace
