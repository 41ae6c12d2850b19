"""Count what a model really executes, layer by layer, from its own inputs and spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.cost.counter import Counter
from spikefuse.cost.messages import ReadAs
from spikefuse.cost.placement import Placement
from spikefuse.opcounts import OpCounts
from spikefuse.spikes import SpikeBatch

Inputs = Tensor | SpikeBatch | tuple[Any, ...] | list[Any] | Mapping[str, Any]


def count(
    model: nn.Module,
    inputs: Inputs,
    batch_dim: int | None = None,
    *,
    read_as: ReadAs | Mapping[str, ReadAs] = "auto",
    strict: bool = True,
    placement: Placement | None = None,
    infer: bool = False,
) -> OpCounts:
    """Run ``model`` once on ``inputs`` in evaluation mode and count every operation.

    Parameters
    ----------
    model : nn.Module
        Of our layers, of torch's, of neurons of snnTorch, Norse or SpikingJelly, or of calls of
        torch's functions. A layer may bring its own rule,
        ``count_paths(args, output, modality) -> {suffix of the path: PathCounts}``.
    inputs : Tensor, SpikeBatch, tuple of them, or mapping of modality to them
        What ``model(inputs)`` takes (a tuple is unpacked). A SpikeBatch is handed on as it is to a
        model of ours (``batch_dim = 1``) and as dense to any other.
    batch_dim : int, optional
        Which dimension of the inputs is the batch: 1 for our time-major modules, 0 otherwise.
    read_as : "auto", "events" or "frames", or a mapping of module name to one of them
        How layers that are not ours read their inputs. *Events*: a whole number n is abs(n)
        spikes, anything else is multiplied. *Frames*: every non-zero is multiplied. *Auto*: in a
        network with spiking neurons, a call whose inputs are all whole numbers reads events and
        any other a frame; in a network without, ones and minus ones are accumulated if every
        non-zero of the call is one of them, as in NeuroBench. A mapping holds for the modules
        below the name as well, ``""`` for all.
    strict : bool
        Refuse if an operation has no rule; otherwise `OpCounts.uncounted` names it.
    placement : Placement, optional
        Where the neurons sit; messages between cores and their hops are then counted too.
    infer : bool
        Run ``model.infer(inputs)`` instead: events through, on the fused kernels, whose counts are
        the same.

    Returns
    -------
    OpCounts
        Totals over the batch; attributes read as the mean per sample.

    Raises
    ------
    ValueError
        If the inputs hold no tensor, there is no ``infer`` to run, an operation has no counting
        rule (they are named), a normalisation of ours is not folded into its synapses, or a
        placement lacks a path.

    Notes
    -----
    *Synapses.* A whole number n into an event layer is abs(n) spikes: so many accumulates per
    non-zero weight in its true fan-out (fewer at borders); ``weight_reads`` counts the weights of
    zero as well. Spikes of -1 subtract (``signed_acs``). Other values are multiply-accumulates.
    Two spikes that meet, as in attention, are an AND (``and_ops``). Biases are not counted, as in
    NeuroBench. A constant current is one accumulate per neuron and step.

    *Neurons.* Each step of each neuron is one update, active if its input is not zero or its state
    not at rest. It reads and writes one word per state variable. Recurrent synapses are event
    synapses, of the path ``<layer>.recurrent``: a spike drives its row one step later.

    *Operations* outside a layer with a rule are seen as torch runs them, see
    `spikefuse.cost.operations`; their path is ``<module>:<kind>``. Work on parameters alone is not
    counted: it is done once. In modules of ours (``batch_dim = 1``) only products are: currents
    that meet there are sums that the synapses have made.

    *Normalisations* are one multiply-accumulate per value with fixed statistics; those that could
    be folded into the layer before are in `OpCounts.foldable`.

    *Routing.* Pooling accumulates each spike into the windows it falls into, joining counts one
    operation per spike of either branch. A delay writes each spike to a memory of one word per
    address and step of delay, and reads it once. Delayed synapses add their currents to a ring of
    pending ones, the path ``<layer>.pending``: every delayed accumulate reads and writes a word of
    it, and every step reads and clears the words that arrive. A trace is a neuron's state per
    address, and one accumulate per spike.

    *Memory.* ``weight_reads`` assumes no reuse. A dense layer reads and writes its activations.
    """
    if infer and not callable(getattr(model, "infer", None)):
        raise ValueError(f"model must have infer to be run by it, got a {type(model).__name__}")
    ours = getattr(model, "batch_dim", 0) == 1
    prepared = inputs if ours else _dense(inputs)
    if batch_dim is None:
        batch_dim = 1 if ours else 0
    n_samples = _first_spikes(prepared).shape[batch_dim]
    was_training = model.training
    model.eval()
    counter = Counter(
        model, read_as=read_as, strict=strict, batch_dim=batch_dim, placement=placement
    )
    try:
        with torch.no_grad(), counter:
            run: Any = model.infer if infer else model
            if isinstance(prepared, tuple | list):
                run(*prepared)
            else:
                run(prepared)
    finally:
        model.train(was_training)
    return counter.counts(n_samples)


def footprint_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers, at the width they have."""
    held = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return sum(t.numel() * t.element_size() for t in held.values())


def _dense(inputs: Any) -> Any:
    """SpikeBatches as dense tensors, whatever holds them."""
    if isinstance(inputs, SpikeBatch):
        return inputs.to_dense()
    if isinstance(inputs, Mapping):
        return {name: _dense(value) for name, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(_dense(value) for value in inputs)
    return inputs


def _first_spikes(inputs: Any) -> Tensor | SpikeBatch:
    """Any of the inputs; all of them share the batch size."""
    if isinstance(inputs, Tensor | SpikeBatch):
        return inputs
    values = list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs or ())
    if not values:
        raise ValueError("inputs must hold at least one tensor, got none")
    return _first_spikes(values[0])
