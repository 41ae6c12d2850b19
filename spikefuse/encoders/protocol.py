"""Encoder: what a model asks of whatever turns a modality's input into its hidden spikes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from spikefuse.kernels.compaction import compact
from spikefuse.spikes import SpikeBatch


@runtime_checkable
class Encoder(Protocol):
    """Any module that maps spikes (T, B, N) to spikes ``[T, B, n_out]`` with explicit state.

    `spikefuse.encoders.SpikingEncoder` is one, and so are networks of other libraries behind
    `spikefuse.interop.encoders`. It must be causal, and what it keeps from one call to the next
    must be in the state that it returns.

    Beyond this an encoder may bring

    - ``infer(events, state)``: the same in evaluation, events in and events out, no gradient;
    - ``batch_dims(state)``: which dimension of each part of its state is the batch (else 0);
    - ``skip(state, n_steps)``: its state after steps that it is not run for (else unchanged).

    Attributes
    ----------
    n_out : int
        Addresses of its spikes.
    """

    n_out: int

    def __call__(self, spikes: SpikeBatch | Tensor, state: Any = None, /) -> tuple[Tensor, Any]:
        """Spikes (T, B, N) and state (None = rest) to spikes ``[T, B, n_out]`` and new state."""
        ...


def check_encoder(name: str, module: object) -> None:
    """Refuse what cannot be an encoder.

    Raises
    ------
    ValueError
        If it is no module, or does not say how many addresses its spikes have.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"encoders[{name!r}] must be a module, got {type(module).__name__}")
    n_out = getattr(module, "n_out", None)
    if not isinstance(n_out, int) or n_out < 1:
        raise ValueError(
            f"encoders[{name!r}] must have n_out, the number of its addresses (wrap networks of "
            f"other libraries by spikefuse.interop.encoders), got {n_out!r} of "
            f"{type(module).__name__}"
        )


@torch.no_grad()
def infer_encoder(encoder: nn.Module, events: SpikeBatch, state: Any) -> tuple[SpikeBatch, Any]:
    """An encoder in evaluation, events in and events out, without a gradient.

    Parameters
    ----------
    encoder : Encoder
        Its own ``infer`` if it has one, else its forward pass and the events of what came out.
    events : SpikeBatch of shape (T, B, N)
    state : its own kind, or None

    Returns
    -------
    events : SpikeBatch of shape (T, B, n_out), state : its own kind
    """
    own: Any = getattr(encoder, "infer", None)
    if own is not None:
        out: tuple[SpikeBatch, Any] = own(events, state)
        return out
    with evaluating(encoder):
        spikes, after = encoder(events, state)
    return compact(spikes), after


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """``module`` in evaluation mode, then each of its parts in the mode that it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def freeze(module: nn.Module) -> nn.Module:
    """Keep a trained module as it is: no gradients, and evaluation mode.

    A `FusionSNN` leaves frozen encoders in evaluation mode when it is set to training, so that
    dropout stays off and running statistics stay fixed.

    Parameters
    ----------
    module : nn.Module
        Changed in place.

    Returns
    -------
    The same module.
    """
    return module.requires_grad_(False).eval()


def is_frozen(module: nn.Module) -> bool:
    """Whether a module has parameters and none of them wants a gradient."""
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)
