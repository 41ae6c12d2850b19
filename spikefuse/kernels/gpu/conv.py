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
# A sum for every position and channel of a tile must fit the shared memory of one block.
MAX_SHARED_BYTES = 99 * 1024


def taps_of(weight: Tensor) -> Tensor:
    """The kernel [C_out, C_in, kh, kw] as [C_in, kh, kw, C_out]."""
    return weight.detach().permute(1, 2, 3, 0).contiguous()


def channels_last(grad: Tensor, geometry: ConvGeometry) -> Tensor:
    """Flat maps [R, C_out * H' * W'] as [R, H', W', C_out]."""
    return grad.reshape(-1, *geometry.out_shape).permute(0, 2, 3, 1).contiguous()


def shared_bytes(geometry: ConvGeometry) -> int:
    """Shared memory of a block of the forward pass."""
    _, rows, columns = geometry.out_shape
    return 4 * shapes.WARP * rows * columns


def conv_forward(launch: Launcher, events: Events, taps: Tensor, geometry: ConvGeometry) -> Tensor:
    """Currents [R, C_out * H' * W'].

    Raises
    ------
    ValueError
        If the output maps do not fit the shared memory of a block.
    """
    n_rows, shared = len(events[0]) - 1, shared_bytes(geometry)
    if shared > MAX_SHARED_BYTES:
        raise ValueError(
            f"output maps must take <= {MAX_SHARED_BYTES} bytes of shared memory, got {shared}"
        )
    out = torch.empty((n_rows, geometry.n_out), dtype=torch.float32, device=taps.device)
    if n_rows:
        grid = (n_rows, shapes.ceil_div(geometry.n_channels, shapes.WARP), 1)
        arguments = (*events, taps, out, *_sizes(geometry))
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
