"""Calls of `conv.cu`: convolution event by event and its gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.conv_geometry import ConvGeometry
from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.compaction import Events
from spikefuse.kernels.gpu.products import suffix
from spikefuse.kernels.gpu.sources import Argument, Launcher

_BLOCK = (32, 4, 1)  # channels by SF_CONV_WARPS
# What a block gets on every architecture without asking for more.
_SHARED_BYTES = 48 * 1024
MAX_COLUMNS = _SHARED_BYTES // (4 * shapes.WARP)


def taps_of(weight: Tensor) -> Tensor:
    """The kernel [C_out, C_in, kh, kw] as [C_in, kh, kw, C_out]."""
    return weight.detach().permute(1, 2, 3, 0).contiguous()


def channels_last(grad: Tensor, geometry: ConvGeometry) -> Tensor:
    """Flat maps [R, C_out * H' * W'] as [R, H', W', C_out]."""
    return grad.reshape(-1, *geometry.out_shape).permute(0, 2, 3, 1).contiguous()


def lines_of_tile(geometry: ConvGeometry) -> int:
    """Output lines whose sums fit the shared memory of a block; 0 if not one does."""
    _, rows, columns = geometry.out_shape
    return min(rows, _SHARED_BYTES // (4 * shapes.WARP * columns))


def conv_forward(
    launch: Launcher,
    events: Events,
    taps: Tensor,
    geometry: ConvGeometry,
    *,
    lines: int | None = None,
) -> Tensor:
    """Currents [R, C_out * H' * W'], by tiles of ``lines`` output lines (the most by default).

    Raises
    ------
    ValueError
        If a line does not fit the shared memory of a block.
    """
    n_rows, (_, rows, columns) = len(events[0]) - 1, geometry.out_shape
    lines = lines_of_tile(geometry) if lines is None else lines
    if not lines:
        raise ValueError(f"output maps must be <= {MAX_COLUMNS} columns wide, got {columns}")
    out = torch.empty((n_rows, geometry.n_out), dtype=torch.float32, device=taps.device)
    if n_rows:
        channels = shapes.ceil_div(geometry.n_channels, shapes.WARP)
        grid = (n_rows, channels, shapes.ceil_div(rows, lines))
        arguments: list[Argument] = [*events, taps, out]
        arguments += [*_sizes(geometry), lines]
        shared = 4 * shapes.WARP * lines * columns
        launch("conv", f"sf_conv_forward_{suffix(taps)}", grid, _BLOCK, arguments, shared)
    return out


def conv_tap_gradient(
    launch: Launcher,
    columns: Events,
    grad: Tensor,  # [R, H', W', C_out]
    geometry: ConvGeometry,
    n_slices: int = 8,
) -> Tensor:
    """Gradient of the taps from events by column, [C_in, kh, kw, C_out]."""
    n_taps = geometry.in_shape[0] * geometry.kernel[0] * geometry.kernel[1]
    n_out = geometry.n_channels
    part = torch.empty((n_slices, n_taps, n_out), dtype=torch.float32, device=grad.device)
    grid = (n_taps, n_slices, shapes.ceil_div(n_out, shapes.WARP))
    arguments = (*columns, grad, part, *_sizes(geometry))
    launch("conv", "sf_conv_tap_grad", grid, _BLOCK, arguments)
    return part.sum(0).view(geometry.in_shape[0], *geometry.kernel, n_out)


def conv_site_gradient(
    launch: Launcher,
    indptr: Tensor,
    index: Tensor,
    taps: Tensor,
    grad: Tensor,  # [R, H', W', C_out]
    geometry: ConvGeometry,
) -> Tensor:
    """Gradient [R, n_in] of the input at the listed cells, zero elsewhere."""
    n_rows = len(grad)
    out = torch.zeros((n_rows, geometry.n_in), dtype=torch.float32, device=grad.device)
    if n_rows:
        arguments: list[Argument] = [indptr, index, taps, grad, out]
        arguments += _sizes(geometry)
        name = f"sf_conv_site_grad_{suffix(taps)}"
        launch("conv", name, (n_rows, 1, 1), _BLOCK, arguments)
    return out


def _sizes(g: ConvGeometry) -> list[int]:
    """What every kernel here takes last."""
    return [*g.in_shape, g.n_channels, *g.kernel, *g.stride, *g.padding, *g.out_shape[1:]]
