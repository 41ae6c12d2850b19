"""Calls of `products.cu` and `gradients.cu`: synaptic products and their gradients."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.sources import Launcher

Layout = Literal["wide1", "wide4", "narrow", "resident"]

# Up to here a warp holds two columns' worth of event slots or more.
NARROW_COLUMNS = 16
# A block may ask for so much on every architecture from sm_80 on, of which the least lend 99 KiB.
RESIDENT_BYTES = 96 * 1024
_RESIDENT_THREADS = 256


def suffix(weight: Tensor) -> str:
    """Which build of a kernel reads these weights.

    Raises
    ------
    ValueError
        If no kernel reads their type.
    """
    if weight.dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"weight must be float32 or bfloat16, got {weight.dtype}")
    return "f32" if weight.dtype == torch.float32 else "bf16"


def layout_of(weight: Tensor) -> Layout:
    """The layout that takes any density: few columns, aligned columns, or the rest."""
    n_out = weight.shape[1]
    if n_out <= NARROW_COLUMNS:
        return "narrow"
    aligned = weight.data_ptr() % (4 * weight.element_size()) == 0
    return "wide4" if n_out % 4 == 0 and aligned else "wide1"


def resident_columns(weight: Tensor, shared_bytes: int = RESIDENT_BYTES) -> int:
    """Columns of the tile that fits ``shared_bytes``: a power of two up to 32, or 0."""
    fit = shared_bytes // max(1, weight.shape[0] * weight.element_size())
    return next((columns for columns in (32, 16, 8, 4) if columns <= fit), 0)


def gather(
    launch: Launcher,
    indptr: Tensor,  # [R + 1]
    index: Tensor,
    value: Tensor | None,
    weight: Tensor,  # [K, N]
    *,
    layout: Layout | None = None,
    columns: int | None = None,
    n_slices: int = 64,
) -> Tensor:
    """Sums of the weight rows that each row of events picks.

    Parameters
    ----------
    launch : Launcher
    indptr : int32 Tensor[R + 1]
    index : int32 Tensor[E]
    value : float32 Tensor[E], optional
    weight : float32 or bfloat16 Tensor[K, N]
        Over transposed events, with ``weight`` the gradient of the output, the result is the
        weight's gradient.
    layout : str, optional
        Chosen by the number of columns by default; "resident" only where it is asked for.
    columns : int, optional
        Columns of the resident tile.
    n_slices : int
        Blocks that share the rows of a resident tile.

    Returns
    -------
    float32 Tensor[R, N]

    Raises
    ------
    ValueError
        If the resident tile fits no block.
    """
    n_rows, (n_in, n_out) = len(indptr) - 1, weight.shape
    out = torch.empty((n_rows, n_out), dtype=torch.float32, device=weight.device)
    if not out.numel():
        return out
    layout = layout_of(weight) if layout is None else layout
    name = f"sf_gather_{layout}_{suffix(weight)}"
    events = (indptr, index, value, weight, out)
    if layout == "narrow":
        width = 1 << (n_out - 1).bit_length()
        grid, block = shapes.warps(n_rows)
        launch("products", name, grid, block, (*events, n_rows, n_out, width))
    elif layout == "resident":
        columns = resident_columns(weight) if columns is None else columns
        if not columns:
            raise ValueError(
                f"weight must fit 4 columns in {RESIDENT_BYTES} bytes to stay, got {n_in} rows"
            )
        groups = _RESIDENT_THREADS // columns
        grid = (
            shapes.ceil_div(n_out, columns),
            min(n_slices, shapes.ceil_div(n_rows, groups)),
            1,
        )
        shared = n_in * columns * weight.element_size()
        sizes = (n_rows, n_in, n_out, columns)
        launch("products", name, grid, (_RESIDENT_THREADS, 1, 1), (*events, *sizes), shared)
    else:
        grid, block = shapes.rows(n_rows, n_out // 4 if layout == "wide4" else n_out)
        launch("products", name, grid, block, (*events, n_out))
    return out


def weight_gradient_atomic(
    launch: Launcher, indptr: Tensor, index: Tensor, value: Tensor | None, grad: Tensor, n_in: int
) -> Tensor:
    """Gradient [n_in, N] of the weight from grad [R, N], by additions in no fixed order."""
    n_rows, n_out = grad.shape
    out = torch.zeros((n_in, n_out), dtype=torch.float32, device=grad.device)
    if grad.numel():
        grid, block = shapes.rows(n_rows, n_out)
        arguments = (indptr, index, value, grad, out, n_out)
        launch("gradients", "sf_weight_grad_atomic", grid, block, arguments)
    return out


def site_gradient(
    launch: Launcher, indptr: Tensor, index: Tensor, grad: Tensor, weight: Tensor
) -> Tensor:
    """Gradient [R, K] of the input at the listed cells, zero elsewhere, from grad [R, N]."""
    n_rows, (n_in, n_out) = len(grad), weight.shape
    out = torch.zeros((n_rows, n_in), dtype=torch.float32, device=grad.device)
    if grad.numel() and n_in:
        arguments = (indptr, index, grad, weight, out, n_in, n_out)
        name = f"sf_site_grad_{suffix(weight)}"
        launch("gradients", name, (n_rows, 1, 1), (128, 1, 1), arguments, 4 * n_out)
    return out
