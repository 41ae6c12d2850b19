"""What neurons and traces execute: updates of their state, and spikes that come back to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spikefuse.cost.messages import messages_of, n_rows
from spikefuse.cost.synapse_rules import count_recurrent
from spikefuse.encoders.observing import FusedLayer
from spikefuse.neurons import (
    ALIF,
    LIF,
    CubaLIF,
    FixedLIF,
    FixedReadout,
    LIReadout,
    RecurrentState,
)
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import DelayedLinear, SpikeTrace

SpikingNeurons = LIF | CubaLIF | ALIF
Neurons = SpikingNeurons | LIReadout | FixedLIF | FixedReadout
# Neurons whose kernels tell how many of their updates were active (`ActiveUpdates`).
TELLING = (LIF, CubaLIF, ALIF, LIReadout)


def count_neurons(
    layer: Neurons, args: tuple[Any, ...], output: Any, modality: str, n_active: int | None = None
) -> dict[str, PathCounts]:
    """Updates of a layer, one per neuron and step, and its recurrent synapses as a path apart.

    ``n_active`` is the number of active ones where the kernel has told it; else they are found.
    """
    current: Tensor = args[0].detach()
    out: Tensor = output[0].detach()
    state = args[1] if len(args) > 1 else None
    if isinstance(layer, LIReadout | FixedReadout) or layer.recurrent_weight is None:
        if n_active is None:
            n_active = _active_from(layer, current, out, state)
        return {"": count_updates(layer, n_active, out, modality)}
    weight = layer.recurrent_weight.detach()
    arriving = one_step_later(out, state)
    back = count_recurrent(weight, messages_of(arriving), n_rows(out), modality)
    if n_active is None:
        if isinstance(layer, FixedLIF):
            n_active = layer.active(current, state)
        else:
            n_active = _active_recurrent(layer, current + arriving @ weight, out, state)
    return {"": count_updates(layer, n_active, out, modality), ".recurrent": back}


def count_updates(
    layer: Neurons, n_active: int, output: Tensor | SpikeBatch, modality: str
) -> PathCounts:
    """Updates of all neurons in every step, so many of them active, and the spikes sent."""
    shape = output.shape
    words = 2 if isinstance(layer, CubaLIF | ALIF) else 1
    if isinstance(layer, LIReadout | FixedReadout):
        return _updates(shape, n_active, words, modality)
    # A layer that follows reads the same spikes: they are tallied once.
    fired = output.n_events if isinstance(output, SpikeBatch) else messages_of(output).total
    return _updates(shape, n_active, words, modality, fired)


def active_updates_of(layer: FusedLayer, output: SpikeBatch | Tensor) -> int:
    """Active neuron-steps of a fused layer whose kernel has told none: its currents again."""
    currents: list[Tensor] = []
    for events, synapse in zip(layer.events, layer.synapses, strict=True):
        delayed = isinstance(synapse, DelayedLinear)
        currents.append(synapse(events, layer.pending)[0] if delayed else synapse(events))
    neuron: Any = layer.neuron
    dense = output.to_dense() if isinstance(output, SpikeBatch) else output
    return _active_from(neuron, sum(currents[1:], currents[0]), dense, layer.v0)


def count_trace(
    _: SpikeTrace, args: tuple[Any, ...], output: Any, modality: str
) -> dict[str, PathCounts]:
    """A trace is a leaky state per address: an update each step, an accumulate per spike."""
    sent = messages_of(args[0])
    trace: Tensor = output[0]
    before = trace.roll(1, 0)
    before[0] = 0.0 if len(args) < 2 or args[1] is None else args[1]
    # What arrived is in the trace of the same step; traces only ever cancel with negative input.
    active = int(((before != 0) | (trace != 0)).sum())
    path = _updates(trace.shape, active, 1, modality)
    return {"": path, ".input": _accumulated(sent.total, trace.numel(), modality)}


def _accumulated(n_messages: int, cells: int, modality: str) -> PathCounts:
    """One accumulate per message, without a weight."""
    return PathCounts(
        effective_acs=n_messages, dense_macs=cells, spikes_routed=n_messages, modality=modality
    )


def _updates(
    shape: Sequence[int], active: int, words: int, modality: str, fired: int = 0
) -> PathCounts:
    """Neuron-steps, each of which reads and writes ``words`` words of state."""
    updates = shape[0] * shape[1] * shape[2]
    return PathCounts(
        neuron_updates_active=active,
        neuron_updates_idle=updates - active,
        spikes_fired=fired,
        state_reads=words * updates,
        state_writes=words * updates,
        state_words=words * shape[2],
        modality=modality,
    )


def one_step_later(spikes: Tensor, state: Any) -> Tensor:
    """Spikes ``[T, B, N]`` when they reach the layer again; those of the last step do so later."""
    arriving = spikes.roll(1, 0)
    arriving[0] = 0.0 if state is None or state.s is None else state.s
    return arriving


def _active_from(layer: Neurons, current: Tensor, output: Tensor, state: Any) -> int:
    """Active neuron-steps of neurons without recurrence, from rest or from a state."""
    if isinstance(layer, FixedLIF | FixedReadout):
        return layer.active(current, state)
    if state is None:
        return layer.count_active(current)
    if isinstance(layer, LIReadout):
        return int((((current != 0).cumsum(0) > 0) | (state != 0)).sum())
    last = RecurrentState(state, state) if isinstance(state, Tensor) else state
    return _active_recurrent(layer, current, output, last)


def _active_recurrent(layer: SpikingNeurons, drive: Tensor, spikes: Tensor, state: Any) -> int:
    """Neuron-steps whose state or input (recurrent input included) is non-zero.

    The spikes are those of the run, so no threshold is asked again.
    """
    rest = torch.zeros_like(drive[0])
    v = rest if state is None else state.v
    i = rest if state is None or not isinstance(layer, CubaLIF) else state.i
    a = rest if state is None or not isinstance(layer, ALIF) else state.a
    beta, p = layer.beta().detach(), layer.params
    n_active = 0
    for x, s in zip(drive.unbind(0), spikes.unbind(0), strict=True):
        seen = (x != 0) | (v != 0)
        if isinstance(layer, CubaLIF):
            i = layer.alpha().detach() * i
            seen |= i != 0
            i = x = i + x
        elif isinstance(layer, ALIF):
            seen |= layer.params.kappa * a != 0
            a = layer.rho().detach() * a + s
        n_active += int(seen.sum())
        v = beta * v + x
        v = v * (1.0 - s) if p.reset == "zero" else v - p.threshold * s
    return n_active
