"""How much memory a dense model needs: parameters, and the activations of one layer at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def n_parameters(model: nn.Module) -> int:
    """Trained numbers of a model; buffers are not among them."""
    return sum(p.numel() for p in model.parameters())


@torch.no_grad()
def largest_working_set(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Words of input and output of the layer that needs most, a row (sample or frame) at a time.

    Layers with weights run one after the other, so their buffers can be shared; what stands
    between them works in place.
    """
    found = [0]

    def after(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        found.append((args[0].numel() + output.numel()) // max(len(output), 1))

    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    handles = [layer.register_forward_hook(after) for layer in layers]
    was_training = model.training
    model.eval()
    try:
        model({name: x[:1] for name, x in inputs.items()})
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    return max(found)
