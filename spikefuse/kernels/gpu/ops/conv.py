"""`event_conv2d` and its gradients on a GPU."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from spikefuse.kernels.conv_geometry import ConvGeometry, geometry_from
from spikefuse.kernels.gpu import compaction, conv, dispatch, launch
from spikefuse.kernels.gpu.ops.products import events_of


def convolved(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    weight: Tensor,  # [C_out, C_in, kh, kw]
    active_indptr: Tensor | None,
    active_index: Tensor | None,
    shape: list[int],
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    dense_too: bool,
) -> Tensor:
    """The currents [T, B, C_out * H' * W'], by events or dense."""
    geometry = geometry_from(weight.shape, in_shape, stride, padding)
    if dense_too and _dense_wins(index, shape, geometry, weight):
        maps = _maps(spikes, indptr, index, value, shape, in_shape)
        out = functional.conv2d(maps, weight.detach(), stride=stride, padding=padding)
        return out.reshape(shape[0], shape[1], geometry.n_out)
    events = events_of(spikes, indptr, index, value)
    out = conv.conv_forward(launch.current(), events, conv.taps_of(weight), geometry)
    return out.view(shape[0], shape[1], geometry.n_out)


def weight_gradient(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    grad: Tensor,  # [T, B, C_out * H' * W']
    shape: list[int],
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    weight_shape: list[int],
    dense_too: bool,
) -> Tensor:
    """Gradient of the weight, the same bits each time."""
    geometry = geometry_from(weight_shape, in_shape, stride, padding)
    if dense_too and _dense_wins(index, shape, geometry, grad):
        maps = _maps(spikes, indptr, index, value, shape, in_shape)
        out = grad.reshape(-1, *geometry.out_shape)
        d_weight: Tensor = conv2d_weight(maps, weight_shape, out, stride, padding)  # type: ignore[no-untyped-call]
        return d_weight
    events = events_of(spikes, indptr, index, value)
    columns = compaction.transpose(launch.current(), events, geometry.n_in)
    maps = conv.channels_last(grad.detach(), geometry)
    taps = conv.conv_tap_gradient(launch.current(), columns, maps, geometry)
    return taps.permute(3, 0, 1, 2).contiguous()


def input_gradient(
    grad: Tensor,
    weight: Tensor,
    indptr: Tensor,
    index: Tensor,
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
) -> Tensor:
    """Gradient of the spikes at the given cells, zero elsewhere."""
    geometry = geometry_from(weight.shape, in_shape, stride, padding)
    out = conv.conv_site_gradient(
        launch.current(),
        indptr,
        index,
        conv.taps_of(weight),
        conv.channels_last(grad.detach(), geometry),
        geometry,
    )
    return out.view(grad.shape[0], grad.shape[1], geometry.n_in)


def _dense_wins(
    index: Tensor | None, shape: list[int], geometry: ConvGeometry, beside: Tensor
) -> bool:
    """Whether a dense convolution is taken."""
    n_events = None if index is None else len(index)
    return dispatch.dense_wins(n_events, shape, geometry.n_channels, beside.device, "conv")


def _maps(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    shape: list[int],
    in_shape: list[int],
) -> Tensor:
    """The input as maps [T * B, C, H, W]."""
    if spikes is None:
        events = events_of(None, indptr, index, value)
        spikes = compaction.expand(launch.current(), events, shape[2])
    return spikes.detach().reshape(-1, *in_shape)
