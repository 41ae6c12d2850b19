"""A guard against numbers that are no longer finite: training stops and names where they arose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.errors import SpikefuseError
from spikefuse.spikes import SpikeBatch


class NotFiniteError(SpikefuseError):
    """Loss, gradient or weights of a batch are not finite; the last good epoch stays saved.

    Parameters
    ----------
    what : str
        What is not finite and where, such as ``"weight of layer readout_synapse"``.
    place : str
        The model, epoch and batch.
    """

    def __init__(self, what: str, place: str) -> None:
        super().__init__(
            f"training must stay finite, got a non-finite {what} in {place}; the last good epoch "
            "is saved, a lower train.learning_rate or train.clip_norm may help"
        )


def all_finite(tensors: list[Tensor]) -> bool:
    """Whether every number of every tensor is finite; one pass, no copies."""
    floats = [t.detach() for t in tensors if t.is_floating_point() and t.numel()]
    if not floats:
        return True
    # The largest magnitude, which no sum can overflow; NaN is larger than anything.
    largest = torch.stack([torch.linalg.vector_norm(t, torch.inf).double() for t in floats])
    return bool(torch.isfinite(largest).all())


def bad_weight(model: nn.Module) -> str | None:
    """The first parameter or buffer that is not finite, by its layer, or None."""
    named = [*model.named_parameters(), *model.named_buffers()]
    for path, tensor in named:
        if not all_finite([tensor]):
            layer, _, name = path.rpartition(".")
            return f"{name} of layer {layer or '(the model itself)'}"
    return None


def bad_gradient(model: nn.Module) -> str | None:
    """The gradient that is not finite and nearest to the loss, by its layer, or None.

    Gradients run from the loss backwards, so the last such layer of the model is where it began.
    """
    for path, parameter in reversed([*model.named_parameters()]):
        if parameter.grad is not None and not all_finite([parameter.grad]):
            layer, _, name = path.rpartition(".")
            return f"gradient of {name} of layer {layer or '(the model itself)'}"
    return None


@contextmanager
def first_bad_output(model: nn.Module) -> Iterator[list[str]]:
    """Watch forward passes of ``model``: the list then names the first layer that went wrong.

    For a second pass over a batch that failed: it reads every layer's output.
    """
    found: list[str] = []

    def watch(path: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not found and not all_finite([*_tensors(output)]):
                found.append(f"output of layer {path or '(the model itself)'}")

        return hook

    handles = [m.register_forward_hook(watch(path)) for path, m in model.named_modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors of nested outputs: tuples, mappings, dataclasses, events."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, SpikeBatch):
        if value.value is not None:
            yield value.value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
