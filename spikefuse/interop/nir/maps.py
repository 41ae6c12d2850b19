"""Convolutions and pooling of a NIR graph as layers of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from spikefuse.errors import DataError
from spikefuse.interop.nir.graph import Shape
from spikefuse.synapses import EventConv2d, SpikePool


def _pair(value: Any) -> tuple[int, int]:
    first, second = np.broadcast_to(np.asarray(value), (2,)).tolist()
    return int(first), int(second)


def conv_of(name: str, node: Any, shape: Shape) -> EventConv2d:
    """A convolution; groups and dilation are written out as weights of zero.

    Raises
    ------
    DataError
        If it does not fit the maps that it is given.
    """
    weight = torch.from_numpy(np.asarray(node.weight, dtype=np.float64))
    groups, dilation, stride = int(node.groups), _pair(node.dilation), _pair(node.stride)
    n_channels, per_group, rows, columns = weight.shape
    if len(shape) != 3 or shape[0] != per_group * groups:
        raise DataError(
            f"{name!r} must be given maps of {per_group * groups} channels, got shape {shape}"
        )
    size = ((rows - 1) * dilation[0] + 1, (columns - 1) * dilation[1] + 1)
    whole = torch.zeros(n_channels, shape[0], *size, dtype=torch.float64)
    each = n_channels // groups
    for g in range(groups):
        out, into = slice(g * each, (g + 1) * each), slice(g * per_group, (g + 1) * per_group)
        whole[out, into, :: dilation[0], :: dilation[1]] = weight[out]
    if isinstance(node.padding, str | bytes):
        text = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
        if text == "same" and (stride != (1, 1) or size[0] % 2 == 0 or size[1] % 2 == 0):
            raise DataError(f"padding 'same' must have odd kernels and stride 1, got {name!r}")
        padding = (size[0] // 2, size[1] // 2) if text == "same" else (0, 0)
    else:
        padding = _pair(node.padding)
    try:
        layer = EventConv2d((shape[0], shape[1], shape[2]), n_channels, size, stride, padding)
    except ValueError as error:
        raise DataError(f"{name!r} must be a convolution of its input, got: {error}") from error
    layer.weight.data = whole.float()
    return layer


def pool_of(name: str, node: Any, shape: Shape) -> SpikePool:
    """A sum over windows.

    Raises
    ------
    DataError
        As of `conv_of`.
    """
    if len(shape) != 3 or _pair(node.padding) != (0, 0):
        raise DataError(f"pooling must be of maps without padding, got {shape} at {name!r}")
    kernel, stride = _pair(node.kernel_size), _pair(node.stride)
    return SpikePool((shape[0], shape[1], shape[2]), kernel, stride)
