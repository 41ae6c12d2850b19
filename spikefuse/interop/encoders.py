"""Networks of snnTorch and Norse as encoders of a `FusionSNN`, their state passed explicitly.

``wrap_snntorch(net, n_in, n_out)`` and ``wrap_norse(net, n_in, n_out)`` give a module that maps
spikes (T, B, n_in) to spikes ``[T, B, n_out]`` and the state after the last step. Weights stay
those of ``net``, which can be trained, frozen (`spikefuse.encoders.freeze`) and saved as before.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.spikes import SpikeBatch


class WrappedEncoder(nn.Module, ABC):
    """A network of another library, run step by step from a state that is a value.

    Behind an energy gate its state stands still while it is skipped, and one that no open window
    has made yet is all zero: libraries do not say how their neurons rest. A layer with a bias works
    without input too; leave biases out if an absent modality is to cost nothing.

    Parameters
    ----------
    net : nn.Module
    n_in, n_out : int
        Addresses of its input and its output.
    in_shape : sequence of int, optional
        What the ``n_in`` addresses of a sample are reshaped to, such as (P, H, W) before a
        convolution.

    Raises
    ------
    ValueError
        If a size does not fit, here or when it runs.
    """

    batch_dim = 1

    def __init__(
        self, net: nn.Module, n_in: int, n_out: int, in_shape: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        shape = (n_in,) if in_shape is None else tuple(in_shape)
        if math.prod(shape) != n_in or n_in < 1:
            raise ValueError(f"in_shape must hold n_in={n_in} addresses, got {shape}")
        if n_out < 1:
            raise ValueError(f"n_out must be at least 1, got {n_out}")
        self.net, self.n_in, self.n_out, self.in_shape = net, n_in, n_out, shape

    def forward(self, spikes: SpikeBatch | Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Spikes (T, B, n_in), events or dense, to spikes ``[T, B, n_out]`` and new state.

        The state given is not changed; None is rest.
        """
        dense = spikes.to_dense() if isinstance(spikes, SpikeBatch) else spikes
        if dense.ndim != 3 or dense.shape[2] != self.n_in:
            raise ValueError(f"spikes must be (T, B, {self.n_in}), got {tuple(dense.shape)}")
        if not len(dense):
            return dense.new_zeros(0, dense.shape[1], self.n_out), state
        out, after = self._run(dense.reshape(*dense.shape[:2], *self.in_shape), state)
        flat = out.flatten(2)
        if flat.shape[2] != self.n_out:
            raise ValueError(f"net must yield n_out={self.n_out} addresses, got {flat.shape[2]}")
        return flat, after

    @abstractmethod
    def _run(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Input ``[T, B, *in_shape]`` to output ``[T, B, ...]`` and new state."""


class _SnnTorch(WrappedEncoder):
    """A chain of torch layers and snnTorch neurons; the state is a tuple for each neuron layer."""

    def __init__(
        self, net: nn.Module, n_in: int, n_out: int, in_shape: Sequence[int] | None
    ) -> None:
        super().__init__(net, n_in, n_out, in_shape)
        self._layers = [(layer, _n_states(layer)) for layer in _chain(net)]

    def _run(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        given: dict[int, tuple[Tensor, ...]] = {} if state is None else dict(state)
        neurons = [layer for layer, n_states in self._layers if n_states]
        out: list[Tensor] = []
        with _explicit(neurons):
            if state is None:
                given = {i: _rest(layer) for i, (layer, n) in enumerate(self._layers) if n}
            for step in x.unbind(0):
                spikes = step
                for i, (layer, n_states) in enumerate(self._layers):
                    if n_states:
                        # Recurrent neurons count their own spikes among their state.
                        results = layer(spikes, *given[i])
                        spikes, given[i] = results[0], tuple(results[-n_states:])
                    else:
                        spikes = layer(spikes)
                out.append(spikes)
        return torch.stack(out), given


class _Norse(WrappedEncoder):
    """A Norse network, which takes and returns its state itself."""

    def __init__(
        self,
        net: nn.Module,
        n_in: int,
        n_out: int,
        in_shape: Sequence[int] | None,
        has_time: bool,
    ) -> None:
        super().__init__(net, n_in, n_out, in_shape)
        self.has_time = has_time

    def _run(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        # SequentialState writes into the list that it is given.
        state = _copied(state)
        if self.has_time:
            whole: tuple[Tensor, Any] = self.net(x, state)
            return whole
        out: list[Tensor] = []
        for step in x.unbind(0):
            spikes, state = self.net(step, state)
            out.append(spikes)
        return torch.stack(out), state


def wrap_snntorch(
    net: nn.Module, n_in: int, n_out: int, in_shape: Sequence[int] | None = None
) -> WrappedEncoder:
    """An encoder of a snnTorch network.

    Parameters
    ----------
    net : nn.Sequential or a neuron layer
        Torch layers and neurons of snnTorch (Leaky, Lapicque, Synaptic, Alpha and the recurrent
        RLeaky, RSynaptic) in the order in which they run, nested or not. Neurons with
        ``init_hidden=True`` are run with their state outside all the same, and keep what they held.
    n_in, n_out, in_shape
        As of `WrappedEncoder`.

    Returns
    -------
    WrappedEncoder
        Its state is a dict: position of a neuron layer to the tensors that the layer takes.

    Raises
    ------
    ValueError
        If the network is no such chain, or a neuron layer is of another kind; it is named.
    """
    return _SnnTorch(net, n_in, n_out, in_shape)


def wrap_norse(
    net: nn.Module,
    n_in: int,
    n_out: int,
    in_shape: Sequence[int] | None = None,
    *,
    has_time: bool = False,
) -> WrappedEncoder:
    """An encoder of a Norse network.

    Parameters
    ----------
    net : nn.Module
        Called as ``net(x, state) -> (spikes, state)``: a cell, or a ``SequentialState`` of torch
        layers and cells.
    n_in, n_out, in_shape
        As of `WrappedEncoder`.
    has_time : bool
        Whether it takes all steps at once, [T, B, ...], as ``LIF`` and ``Lift`` do, or one step,
        [B, ...].

    Returns
    -------
    WrappedEncoder
        Its state is that of the network.
    """
    return _Norse(net, n_in, n_out, in_shape, has_time)


_N_STATES = {"Leaky": 1, "Lapicque": 1, "Synaptic": 2, "Alpha": 3, "RLeaky": 2, "RSynaptic": 3}


def _chain(net: nn.Module) -> list[nn.Module]:
    """Layers of nested Sequentials in the order in which they run."""
    if type(net) is nn.Sequential:
        return [layer for part in net for layer in _chain(part)]
    return [net]


def _n_states(layer: nn.Module) -> int:
    """How many tensors a neuron layer takes as its state; 0 for a layer without state."""
    import snntorch

    name = type(layer).__name__
    kinds: dict[str, Any] = {kind: getattr(snntorch, kind) for kind in _N_STATES}
    if type(layer) in kinds.values():
        return _N_STATES[name]
    if any(isinstance(part, snntorch.SpikingNeuron) for part in layer.modules()):
        raise ValueError(
            f"net must be a Sequential of torch layers and neurons of {list(_N_STATES)}, got "
            f"{name}; give the Sequential inside, or write a module with n_out and explicit state"
        )
    return 0


def _rest(layer: Any) -> tuple[Tensor, ...]:
    """State of a neuron layer at rest, in the layer's own order."""
    state = layer.reset_mem()
    return tuple(state) if isinstance(state, tuple) else (state,)


@contextmanager
def _explicit(neurons: Sequence[Any]) -> Iterator[None]:
    """Neuron layers that take and return their state; then as they were before."""
    held = [(n, n.init_hidden, dict(n._buffers)) for n in neurons]
    for neuron in neurons:
        neuron.init_hidden = False
    try:
        yield
    finally:
        for neuron, hidden, buffers in held:
            neuron.init_hidden = hidden
            neuron._buffers.update(buffers)


def _copied(state: Any) -> Any:
    """The same state with lists of its own."""
    return [_copied(part) for part in state] if isinstance(state, list) else state
