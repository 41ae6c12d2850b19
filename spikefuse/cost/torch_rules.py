"""What torch's own layers execute: the arithmetic of a dense network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.opcounts import PathCounts

TorchLayer = nn.Linear | nn.Conv1d | nn.Conv2d


def count_torch_layer(
    layer: TorchLayer, args: tuple[Any, ...], output: Tensor, modality: str
) -> PathCounts:
    """Effective and dense operations of a torch layer, borders and pruned weights exact."""
    x: Tensor = args[0].detach()
    nonzero = (x != 0).double()
    is_spikes = bool(((x == 0) | (x.abs() == 1)).all())
    effective = int(_with_binary_weight(layer, nonzero, pruned=True).sum().round())
    dense = int(_with_binary_weight(layer, torch.ones_like(nonzero), pruned=False).sum().round())
    return PathCounts(
        effective_acs=effective if is_spikes else 0,
        effective_macs=0 if is_spikes else effective,
        dense_macs=dense,
        weight_reads=dense,
        state_reads=x.numel(),
        state_writes=output.numel(),
        weight_words=layer.weight.numel(),
        state_words=(x.numel() + output.numel()) // max(len(x), 1),
        kind="dense",
        modality=modality,
    )


def _with_binary_weight(layer: TorchLayer, x: Tensor, pruned: bool) -> Tensor:
    """The layer's own arithmetic with weights of 0 and 1 and no bias, in float64 (exact here)."""
    weight = layer.weight.detach()
    used = (weight != 0).double() if pruned else torch.ones_like(weight, dtype=torch.float64)
    if isinstance(layer, nn.Linear):
        return torch.nn.functional.linear(x, used)
    convolve = (
        torch.nn.functional.conv1d if isinstance(layer, nn.Conv1d) else torch.nn.functional.conv2d
    )
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(
            "padding of a counted convolution must be numeric zero padding, got "
            f"{layer.padding!r} ({layer.padding_mode})"
        )
    options: dict[str, Any] = {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
    }
    result: Tensor = convolve(x, used, **options)
    return result
