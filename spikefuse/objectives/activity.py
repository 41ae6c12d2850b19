"""Synaptic operations of a forward pass as a number that training can lower."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.encoders.dropout import SpikeDropout
from spikefuse.fusion.cross_synapse import CrossPath
from spikefuse.fusion.windows import CoincidenceWindow
from spikefuse.kernels.fan import Fan
from spikefuse.neurons import ALIF, LIF, CubaLIF, LIReadout
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import (
    ConstantCurrent,
    EventConv2d,
    EventLinear,
    SpikeAdd,
    SpikeDelay,
    SpikePool,
    SpikeTrace,
)

Spikes = Tensor | SpikeBatch
Sent = Callable[[Spikes], Tensor]

_LINEAR = (EventLinear, EventConv2d, nn.Linear, SpikePool, CrossPath)
# What moves spikes about, or only holds parameters, works at no synapse.
_FREE = (LIReadout, SpikeDelay, SpikeDropout, nn.Identity, nn.Flatten, nn.Dropout)


@dataclass(frozen=True)
class Work:
    """A share of a layer's operations, and the weights that it goes through.

    Parameters
    ----------
    operations : Tensor
        Float64 scalar.
    weight : Parameter, optional
    price : callable, optional
        Messages that met each weight, to be broadcast over it.
    """

    operations: Tensor
    weight: nn.Parameter | None = None
    price: Callable[[], Tensor] | None = None


class Activity:
    """Synaptic operations by layer, summed over the batch; see `measured`.

    Parameters
    ----------
    priced : bool
        Whether to keep what each weight costs.

    Attributes
    ----------
    by_layer : dict of layer path to Tensor
        Float64 scalars; whole numbers in evaluation mode.
    prices : list of (Parameter, Tensor)
        Messages of the batch that met each weight: operations are the sum of prices over weights
        that are not zero.
    """

    def __init__(self, priced: bool = False) -> None:
        self.by_layer: dict[str, Tensor] = {}
        self.prices: list[tuple[nn.Parameter, Tensor]] = []
        self._priced = priced
        self._graded: list[Tensor] = []
        self._fan_outs: dict[str, Tensor] = {}
        # Several layers may read one tensor; it is kept, so that its id stays its own.
        self._sums: dict[int, tuple[Spikes, Tensor]] = {}

    def total(self) -> Tensor:
        """All layers together, a scalar with a gradient."""
        return torch.stack(list(self.by_layer.values())).sum()

    def add(self, name: str, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Add what one call of a layer did.

        Raises
        ------
        ValueError
            If the layer is of a kind whose operations are not known.
        """
        if isinstance(layer, CoincidenceWindow):
            self._graded.append(output[0])
        graded = any(args and args[0] is seen for seen in self._graded)
        if isinstance(layer, _LINEAR):
            if name not in self._fan_outs:  # weights do not change within a pass
                self._fan_outs[name] = fan_out(layer)
            sent = _graded(args[0]) if graded else self._sent(args[0])
            work = [_linear(layer, self._fan_outs[name], sent)]
        else:
            work = _other(name, layer, args, output, self._sent)
        for part in work:
            before = self.by_layer.get(name)
            self.by_layer[name] = part.operations if before is None else before + part.operations
            if self._priced and part.weight is not None and part.price is not None:
                self.prices.append((part.weight, part.price()))

    def _sent(self, spikes: Spikes) -> Tensor:
        """`_messages`, once for each tensor."""
        if id(spikes) not in self._sums:
            self._sums[id(spikes)] = (spikes, _messages(spikes))
        return self._sums[id(spikes)][1]


@contextmanager
def measured(model: nn.Module, priced: bool = False) -> Iterator[Activity]:
    r"""Measure the synaptic operations of every forward pass of ``model`` inside the block.

    .. math:: A = \sum_\ell \sum_{t, b, i} s^\ell_{t,b,i} \, f^\ell_i

    with the spikes that reach layer :math:`\ell` and the fan-out :math:`f_i` of each address: the
    non-zero weights that one spike meets, fewer at the borders of a convolution, times the lags
    that it opens in a window. In evaluation mode this equals accumulates plus
    multiply-accumulates of `spikefuse.cost.count` exactly; in training mode spikes that survive
    dropout are scaled, so it is an unbiased estimate. A window's taps in training are those of
    training.

    The gradient is :math:`\partial A / \partial s = f`: a spike is as dear as its fan-out. A
    graded message costs one operation per weight whatever its size; its gradient is that of its
    absolute value (straight-through). Work that layers count themselves (gains, statistics), and
    the last product of a window, is in the sum but passes no gradient.

    Parameters
    ----------
    model : nn.Module
        Of our layers, torch's ``Linear``, or layers with a rule ``count_paths`` of their own.
    priced : bool
        Whether to keep the prices of weights, for `spikefuse.objectives.pruning`.

    Yields
    ------
    Activity

    Raises
    ------
    ValueError
        From the forward pass, if a layer is of a kind whose operations are not known.

    References
    ----------
    Synaptic operations, spikes weighted by their fan-out, as a loss: Sorbaro et al., "Optimizing
    the energy consumption of spiking neural networks for neuromorphic applications", Front.
    Neurosci. 14:662, 2020 (arXiv:1912.01268).
    """
    activity = Activity(priced)

    def hook(name: str) -> Any:
        def after(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            activity.add(name, layer, args, output)

        return after

    handles = [
        layer.register_forward_hook(hook(name or type(layer).__name__))
        for name, layer in model.named_modules()
        if next(layer.children(), None) is None and not isinstance(layer, _FREE)
    ]
    try:
        yield activity
    finally:
        for handle in handles:
            handle.remove()


def fan_out(layer: nn.Module) -> Tensor:
    """Operations that one spike at each address of a layer sets off, float64 ``[n_in]``.

    Raises
    ------
    ValueError
        If the layer is no linear, convolutional, pooling or cross-modal one.
    """
    if isinstance(layer, SpikePool):
        channels, height, width = layer.in_shape
        used = torch.ones(1, 1, *layer.kernel, dtype=torch.float64)
        one = _reached(used, (1, height, width), layer.stride, (0, 0))
        return one.repeat(channels)
    if isinstance(layer, CrossPath):
        return _by_source(layer.fan, layer.strength())
    if isinstance(layer, EventConv2d):
        return _reached(_used(layer.weight), layer.in_shape, layer.stride, layer.padding)
    if isinstance(layer, EventLinear):
        return layer.weight.count_nonzero(1).double()
    if isinstance(layer, nn.Linear):
        return layer.weight.count_nonzero(0).double()
    raise ValueError(
        f"layer must be linear, convolutional, pooling or cross-modal, got {type(layer).__name__}"
    )


def _linear(layer: nn.Module, fans: Tensor, sent: Tensor) -> Work:
    """Every message of an address costs the address's fan-out."""
    operations, met = sent @ fans, sent.detach()
    if isinstance(layer, CrossPath):
        source, edges = layer.fan.source(), layer.weight
        return Work(operations, edges, lambda: met[source])
    if isinstance(layer, EventConv2d):
        return Work(operations, layer.weight, lambda: _met_by_kernel(layer, met))
    if isinstance(layer, EventLinear):
        return Work(operations, layer.weight, lambda: met[:, None])
    if isinstance(layer, nn.Linear) and isinstance(layer.weight, nn.Parameter):
        return Work(operations, layer.weight, lambda: met)
    return Work(operations)


def _other(
    name: str, layer: nn.Module, args: tuple[Any, ...], output: Any, sent: Sent
) -> list[Work]:
    """Work of layers that are no plain map of their input."""
    if isinstance(layer, LIF | CubaLIF | ALIF):
        return _recurrent(layer, args, output)
    if isinstance(layer, CoincidenceWindow):
        return _window(layer, args[0], args[1], sent)
    if isinstance(layer, SpikeAdd):
        return [Work(sent(args[0]).sum() + sent(args[1]).sum())]
    if isinstance(layer, SpikeTrace):
        return [Work(sent(args[0]).sum())]
    if isinstance(layer, ConstantCurrent):
        return [Work(torch.tensor(float(output.numel()), dtype=torch.float64))]
    rule: Any = getattr(layer, "count_paths", None)
    if rule is None:
        raise ValueError(
            f"layer {name!r} must be of a kind whose synaptic operations are known, got "
            f"{type(layer).__name__}"
        )
    paths: dict[str, PathCounts] = rule(args, output, "shared")
    work = sum(path.effective_acs + path.effective_macs for path in paths.values())
    return [Work(torch.tensor(float(work), dtype=torch.float64))]


def _messages(spikes: Spikes) -> Tensor:
    """Messages of each address over all other dimensions, float64 [N], with a gradient."""
    if isinstance(spikes, SpikeBatch):
        weights = None if spikes.value is None else spikes.value.double()
        n = spikes.shape[2]
        return torch.bincount(spikes.index.long(), weights=weights, minlength=n).double()
    return spikes.flatten(0, -2).sum(0).double()


def _graded(spikes: Tensor) -> Tensor:
    """`_messages` of values that are no spikes: one for each that is not zero."""
    size = spikes.abs()
    return _messages((size > 0).to(size.dtype) + (size - size.detach()))


def _recurrent(layer: LIF | CubaLIF | ALIF, args: tuple[Any, ...], output: Any) -> list[Work]:
    """A spike drives its row of recurrent weights one step later."""
    weight = layer.recurrent_weight
    if weight is None:
        return []
    fired: Tensor = output[0]
    back = fired[:-1].sum((0, 1))
    state = args[1] if len(args) > 1 else None
    if state is not None and state.s is not None:
        back = back + state.s.sum(0)
    sent = back.double()
    return [Work(sent @ weight.count_nonzero(1).double(), weight, lambda: sent.detach()[:, None])]


def _window(layer: CoincidenceWindow, opener: Spikes, spikes: Spikes, sent: Sent) -> list[Work]:
    """Lags that events of A open, weights that events of B meet, products of both."""
    lags = 1 if layer.delay is None else int((layer.taps().detach() != 0).sum(1).max())
    opens, counts = sent(opener) * lags, sent(spikes)
    if isinstance(spikes, SpikeBatch):
        rows = int((spikes.indptr.diff() > 0).sum())
    else:
        rows = int((spikes.detach() != 0).any(2).sum())
    return [
        Work(
            opens @ _by_source(layer.fan, layer.opening),
            layer.opening,
            lambda: opens.detach()[layer.fan.source()],
        ),
        Work(
            counts @ layer.counting.count_nonzero(1).double() + rows * layer.n_units,
            layer.counting,
            lambda: counts.detach()[:, None],
        ),
    ]


def _used(weight: Tensor) -> Tensor:
    """1 where a weight is not zero, float64."""
    return (weight.detach() != 0).double()


def _by_source(fan: Fan, weight: Tensor) -> Tensor:
    """Non-zero edges of every presynaptic neuron."""
    return torch.bincount(fan.source(), weights=_used(weight), minlength=fan.n_in)


def _reached(
    used: Tensor, shape: tuple[int, int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Kernel weights that each cell of the input meets, flat: those of windows it falls into."""
    rows, columns = (
        (size + 2 * pad - kernel) // step + 1
        for size, pad, kernel, step in zip(shape[1:], padding, used.shape[2:], stride, strict=True)
    )
    windows = torch.ones(1, used.shape[0], rows, columns, dtype=used.dtype)
    met: Tensor = torch.nn.grad.conv2d_input(  # type: ignore[no-untyped-call]
        (1, *shape), used, windows, stride, padding
    )
    return met.flatten()


def _met_by_kernel(layer: EventConv2d, sent: Tensor) -> Tensor:
    """Messages that met each weight of a kernel, [1, C, rows, columns]."""
    kernel = layer.weight.shape[1:]
    windows = torch.ones(1, 1, *layer.out_shape[1:], dtype=sent.dtype)
    met: Tensor = torch.nn.grad.conv2d_weight(  # type: ignore[no-untyped-call]
        sent.reshape(1, *layer.in_shape), (1, *kernel), windows, layer.stride, layer.padding
    )
    return met
