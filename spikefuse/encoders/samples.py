"""Some samples of an encoder's state: taken out, run apart, put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

OnTensors = Callable[[int, Sequence[Tensor]], Tensor]


def take_samples(encoder: nn.Module, state: Any, samples: Tensor) -> Any:
    """State of the samples ``samples`` (int64 [S]) alone; None stays None."""
    if state is None:
        return None
    return _walk(encoder, [state], lambda dim, parts: parts[0].index_select(dim, samples))


def put_samples(encoder: nn.Module, state: Any, samples: Tensor, part: Any, n_batch: int) -> Any:
    """``state`` of ``n_batch`` samples with those of ``part`` in their places; None is all zero."""

    def put(dim: int, parts: Sequence[Tensor]) -> Tensor:
        small = parts[0]
        if len(parts) == 1:
            shape = [*small.shape[:dim], n_batch, *small.shape[dim + 1 :]]
            return small.new_zeros(shape).index_copy(dim, samples, small)
        return parts[1].index_copy(dim, samples, small)

    return _walk(encoder, [part] if state is None else [part, state], put)


def choose_samples(encoder: nn.Module, chosen: Tensor, yes: Any, no: Any) -> Any:
    """State of ``yes`` for the samples with ``chosen`` (bool [B]), of ``no`` for the others."""

    def choose(dim: int, parts: Sequence[Tensor]) -> Tensor:
        shape = [1] * parts[0].ndim
        shape[dim] = -1
        return torch.where(chosen.view(shape), parts[0], parts[1])

    return _walk(encoder, [yes, no], choose)


def zero_state(state: Any) -> Any:
    """A state of the same shape, all zero: rest."""
    return _mapped([state], 0, lambda _, parts: torch.zeros_like(parts[0]))


def skip_steps(encoder: nn.Module, state: Any, n_steps: int) -> Any:
    """State after steps that the encoder is not run for: as it says, else unchanged."""
    own: Any = getattr(encoder, "skip", None)
    return state if own is None or state is None else own(state, n_steps)


def _walk(encoder: nn.Module, states: Sequence[Any], do: OnTensors) -> Any:
    """``do`` on the tensors of like states, each with its batch dimension."""
    own: Any = getattr(encoder, "batch_dims", None)
    if own is None:
        return _mapped(states, 0, do)
    dims: tuple[int, ...] = own(states[0])
    columns = zip(*states, strict=True)
    return tuple(_mapped(parts, dim, do) for parts, dim in zip(columns, dims, strict=True))


def _mapped(states: Sequence[Any], dim: int, do: OnTensors) -> Any:
    """``do`` on the tensors of like nests of tuples, lists, dicts, named tuples."""
    first = states[0]
    if isinstance(first, Tensor):
        return do(dim, states) if first.ndim > dim else first
    if isinstance(first, dict):
        return {key: _mapped([s[key] for s in states], dim, do) for key in first}
    if isinstance(first, tuple | list):
        parts = [_mapped(column, dim, do) for column in zip(*states, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return first
