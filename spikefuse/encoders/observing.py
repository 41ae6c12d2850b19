"""Fused layers made known: their modules are never called, so no hook of theirs can see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from spikefuse.spikes import SpikeBatch

Output = TypeVar("Output", bound=tuple[Any, ...])


@dataclass(frozen=True)
class FusedLayer:
    """Synapses and the neurons that they drive, run as one.

    Parameters
    ----------
    events : sequence of SpikeBatch, each (T, B, n_in)
    synapses : sequence of Module
        One per source.
    neuron : Module
    v0 : Tensor[B, n_out], optional
        Membrane before the first step.
    pending : Tensor, optional
        Currents under way before the first step.
    """

    events: Sequence[SpikeBatch]
    synapses: Sequence[nn.Module]
    neuron: nn.Module
    v0: Tensor | None = None
    pending: Tensor | None = None


class Observer(Protocol):
    """Whoever wants to know of fused layers."""

    def run(self, layer: FusedLayer, kernel: Callable[[], Output]) -> Output:
        """Run the kernel of a layer and hand on what it yields: output, new state and so on."""
        ...


_observer: ContextVar[Observer | None] = ContextVar("spikefuse_fused_layers", default=None)


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Have the fused layers inside the block run by an observer."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def observed(layer: FusedLayer, kernel: Callable[[], Output]) -> Output:
    """Run a fused layer, under the eyes of the observer if there is one."""
    observer = _observer.get()
    return kernel() if observer is None else observer.run(layer, kernel)
