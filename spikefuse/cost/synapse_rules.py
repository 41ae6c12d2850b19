"""What event-driven synapses execute, and what routes spikes between them without weights."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from spikefuse.cost.contractions import Convolution
from spikefuse.cost.messages import Messages, Spikes, messages_of, n_rows
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import (
    ConstantCurrent,
    DelayedLinear,
    EventConv2d,
    EventLinear,
    SpikeAdd,
    SpikeDelay,
    SpikePool,
)

_FANS: WeakKeyDictionary[EventLinear | EventConv2d, tuple[int, Tensor, Tensor, int]] = (
    WeakKeyDictionary()
)


def count_synapses(
    layer: EventLinear | EventConv2d, args: tuple[Any, ...], modality: str
) -> PathCounts:
    """Fan-out of every input event of one layer."""
    spikes: Spikes = args[0]
    sent = messages_of(spikes)
    used, every, n_weights = _fans(layer)
    acs, signed, macs, reads, total = sent.weighed(used, every)
    return PathCounts(
        effective_acs=acs,
        signed_acs=signed,
        effective_macs=macs,
        dense_macs=n_weights * n_rows(spikes),
        spikes_routed=total,
        weight_reads=reads,
        weight_words=layer.weight.numel(),
        modality=modality,
    )


def fan_outs(layer: EventLinear | EventConv2d) -> tuple[Tensor, Tensor]:
    """Weights that each input drives: those other than zero, and all of them, float64 [n_in].

    They are kept until the weight is written.
    """
    return _fans(layer)[:2]


def _fans(layer: EventLinear | EventConv2d) -> tuple[Tensor, Tensor, int]:
    """`fan_outs`, and how many weights all inputs drive together."""
    weight = layer.weight.detach()
    version = -1 if weight.is_inference() else layer.weight._version
    known = _FANS.get(layer)
    if known is not None and known[0] == version >= 0:
        return known[1], known[2], known[3]
    if known is None:
        every = _fan_out(layer, torch.ones_like(weight, dtype=torch.float64))
        n_weights = int(every.sum())
    else:
        every, n_weights = known[2:]
    full = int(weight.count_nonzero()) == weight.numel()
    driven = every if full else _fan_out(layer, (weight != 0).double())
    _FANS[layer] = (version, driven, every, n_weights)
    return driven, every, n_weights


def _fan_out(layer: EventLinear | EventConv2d, used: Tensor) -> Tensor:
    """Sum of the weights of each input, borders exact."""
    if isinstance(layer, EventLinear):
        return used.sum(1)
    options = Convolution(layer.stride, layer.padding, (1, 1), False, (0, 0), 1)
    return options.fan_out(torch.Size(layer.in_shape), used).flatten()


def count_recurrent(weight: Tensor, sent: Messages, rows: int, modality: str) -> PathCounts:
    """Recurrent synapses ``[n, n]``: one row of weights for every spike that comes back."""
    used = (weight.detach() != 0).double().sum(1)
    n_messages, n_out = sent.total, weight.shape[1]
    return PathCounts(
        effective_acs=int((sent.all * used).sum()),
        dense_macs=weight.numel() * rows,
        spikes_routed=n_messages,
        weight_reads=n_messages * n_out,
        weight_words=weight.numel(),
        modality=modality,
    )


def count_pool(layer: SpikePool, args: tuple[Any, ...], modality: str) -> PathCounts:
    """One accumulate per message and window that it falls into; there are no weights to read."""
    spikes: Spikes = args[0]
    sent = messages_of(spikes)
    (rows, columns), (down, across) = layer.kernel, layer.stride
    maps = sent.all.reshape(layer.in_shape[0], 1, *layer.in_shape[1:])
    window = torch.ones(1, 1, rows, columns, dtype=torch.float64)
    pooled = torch.nn.functional.conv2d(maps, window, stride=(down, across))
    return PathCounts(
        effective_acs=int(pooled.sum()),
        dense_macs=layer.n_out * rows * columns * n_rows(spikes),
        spikes_routed=sent.total,
        modality=modality,
    )


def count_add(_: SpikeAdd, args: tuple[Any, ...], modality: str) -> PathCounts:
    """One operation, an accumulate or its logical twin, per message of either branch."""
    n_messages = sum(messages_of(branch).total for branch in args[:2])
    cells = n_rows(args[0]) * args[0].shape[2]
    return PathCounts(
        effective_acs=n_messages,
        dense_macs=2 * cells,
        spikes_routed=n_messages,
        modality=modality,
    )


def count_delay(layer: SpikeDelay, args: tuple[Any, ...], output: Any, modality: str) -> PathCounts:
    """A delayed message is written into the delay memory and read out; no arithmetic.

    The memory is that of a clocked line: one word per address and step of delay. Messages without
    delay pass by. What is still under way at the end has not been read.
    """
    spikes: Spikes = args[0]
    delays = delays_of(layer, spikes.shape[2])
    waits = delays > 0
    delayed: Spikes = output[0]
    return PathCounts(
        spikes_routed=messages_of(spikes).total,
        state_writes=_stored(spikes, waits),
        state_reads=_stored(delayed, waits),
        state_words=int(delays.sum()),
        modality=modality,
    )


def count_pending(layer: DelayedLinear, args: tuple[Any, ...], modality: str) -> PathCounts:
    """Memory traffic of currents under way; the accumulates are those of the synapses.

    One word per neuron and step of the longest delay. An accumulate onto a later step reads and
    writes its word; a step reads the words that arrive in it and clears them.
    """
    spikes: Spikes = args[0]
    n_later = sum(delay > 0 for delay in layer.delays_steps)
    delayed = messages_of(spikes).total * n_later * layer.n_out
    arriving = n_rows(spikes) * layer.n_out
    return PathCounts(
        state_reads=delayed + arriving,
        state_writes=delayed + arriving,
        state_words=layer.longest * layer.n_out,
        modality=modality,
    )


def delays_of(layer: SpikeDelay, n: int) -> Tensor:
    """Steps of delay of every address, int64 [n]."""
    steps = torch.tensor(layer.steps)
    if layer.sizes is not None:
        return steps.repeat_interleave(torch.tensor(layer.sizes))
    return steps.expand(n)


def _stored(spikes: Spikes, waits: Tensor) -> int:
    """Cells with a message at addresses that wait; one word holds its amplitude."""
    if isinstance(spikes, SpikeBatch):
        return int(waits[spikes.index.long()].sum())
    return int(((spikes != 0) & waits).sum())


def count_constant(
    layer: ConstantCurrent, args: tuple[Any, ...], output: Tensor, modality: str
) -> PathCounts:
    """One accumulate and one weight read per neuron and step, spikes or not."""
    return PathCounts(
        effective_acs=output.numel(),
        dense_macs=output.numel(),
        weight_reads=output.numel(),
        weight_words=layer.shift.numel(),
        modality=modality,
    )
