"""Count what a model really executes, layer by layer, from its own inputs and spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.cost.neuron_rules import count_neurons, count_trace
from spikefuse.cost.synapse_rules import (
    count_add,
    count_constant,
    count_delay,
    count_pending,
    count_pool,
    count_synapses,
)
from spikefuse.cost.torch_rules import count_torch_layer
from spikefuse.encoders.dropout import SpikeDropout
from spikefuse.neurons import ALIF, LIF, CubaLIF, LIReadout
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import (
    ConstantCurrent,
    DelayedLinear,
    EventConv2d,
    EventLinear,
    SpikeAdd,
    SpikeBatchNorm,
    SpikeDelay,
    SpikePool,
    SpikeTrace,
)

Inputs = Tensor | SpikeBatch | tuple[Any, ...] | list[Any] | Mapping[str, Any]

# Modules that move or mask data without arithmetic of their own at inference.
_FREE = (nn.Dropout, nn.Flatten, nn.Identity, nn.ReLU, SpikeDropout)


def count(model: nn.Module, inputs: Inputs, batch_dim: int | None = None) -> OpCounts:
    """Run ``model`` once on ``inputs`` in evaluation mode and count every layer's operations.

    Parameters
    ----------
    model : nn.Module
        Built from our layers, or from torch's ``Linear``, ``Conv1d`` and ``Conv2d`` with
        activations that need no multiplication. Any other layer brings its own rule,
        ``count_paths(args, output, modality) -> {suffix of the path: PathCounts}``.
    inputs : Tensor, SpikeBatch, tuple of them, or mapping of modality to them
        What ``model(inputs)`` takes (a tuple is unpacked). A SpikeBatch is handed on as it is to a
        model of ours (``batch_dim = 1``) and as dense to any other.
    batch_dim : int, optional
        Which dimension of the inputs is the batch: 1 for our time-major modules, 0 otherwise.

    Returns
    -------
    OpCounts
        Totals over the batch; attributes read as the mean per sample.

    Raises
    ------
    ValueError
        If the inputs hold no tensor, or a layer has no counting rule or is a normalisation that is
        not folded into its synapses (it is named).

    Notes
    -----
    *Synapses.* An input of whole number n > 0 into an event layer is n spikes: n accumulates per
    non-zero weight in its true fan-out (fewer at borders). Other values are multiply-accumulates.
    In a torch layer, inputs of +1 and -1 count as accumulates only if every non-zero of the call
    is one of them (a spike tensor); otherwise each non-zero costs a multiply-accumulate. Biases
    are not counted, as in NeuroBench. A constant current is one accumulate per neuron and step.

    *Neurons.* Each step of each neuron is one update, active if its state or input is non-zero.
    It reads and writes one word of state, two in CubaLIF and ALIF layers. Recurrent synapses are
    event synapses, of the path ``<layer>.recurrent``: a spike drives its row one step later.

    *Routing.* Pooling accumulates each spike into the windows it falls into, joining counts one
    operation per spike of either branch. A delay writes each spike to a memory of one word per
    address and step of delay, and reads it once. Delayed synapses add their currents to a ring of
    pending ones, the path ``<layer>.pending``: every delayed accumulate reads and writes a word of
    it, and every step reads and clears the words that arrive. A trace is a neuron's state per
    address, and one accumulate per spike.

    *Memory.* ``weight_reads`` assumes no reuse. A dense layer reads and writes its activations.
    """
    ours = getattr(model, "batch_dim", 0) == 1
    prepared = inputs if ours else _dense(inputs)
    if batch_dim is None:
        batch_dim = 1 if ours else 0
    n_samples = _first_spikes(prepared).shape[batch_dim]
    paths: dict[str, PathCounts] = {}
    modalities = tuple(getattr(model, "modalities", ()))
    handles = [
        layer.register_forward_hook(_hook(paths, name or type(layer).__name__, modalities))
        for name, layer in model.named_modules()
        if _is_leaf(layer) or isinstance(layer, DelayedLinear)
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            if isinstance(prepared, tuple | list):
                model(*prepared)
            else:
                model(prepared)
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    return OpCounts(paths, n_samples)


def _hook(paths: dict[str, PathCounts], name: str, modalities: tuple[str, ...]) -> Any:
    """A forward hook that adds what one call of the layer did to ``paths[name]``."""
    modality = next((part for part in name.split(".") if part in modalities), "shared")

    def after(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        for part, path in _paths_of(layer, name, args, output, modality).items():
            counted, where = path.with_bytes(), name + part
            paths[where] = paths[where].joined(counted) if where in paths else counted

    return after


def _paths_of(
    layer: nn.Module, name: str, args: tuple[Any, ...], output: Any, modality: str
) -> dict[str, PathCounts]:
    """What one call of a layer did: ``""`` for the layer itself, a suffix for a part of it."""
    rule: Any = getattr(layer, "count_paths", None)
    if rule is not None:
        own: dict[str, PathCounts] = rule(args, output, modality)
        return own
    if isinstance(layer, LIF | CubaLIF | ALIF | LIReadout):
        return count_neurons(layer, args, output, modality)
    if isinstance(layer, SpikeTrace):
        return count_trace(layer, args, output, modality)
    if isinstance(layer, EventLinear | EventConv2d):
        return {"": count_synapses(layer, args, modality)}
    if isinstance(layer, DelayedLinear):
        return {".pending": count_pending(layer, args, modality)} if layer.longest else {}
    if isinstance(layer, SpikePool):
        return {"": count_pool(layer, args, modality)}
    if isinstance(layer, SpikeAdd):
        return {"": count_add(layer, args, modality)}
    if isinstance(layer, SpikeDelay):
        return {"": count_delay(layer, args, output, modality)}
    if isinstance(layer, ConstantCurrent):
        return {"": count_constant(layer, args, output, modality)}
    if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
        return {"": count_torch_layer(layer, args, output, modality)}
    if isinstance(layer, SpikeBatchNorm):
        raise ValueError(
            f"layer {name!r} must be folded into its synapses before counting "
            "(SpikeBatchNorm.fold), got a SpikeBatchNorm that runs"
        )
    raise ValueError(
        f"layer {name!r} of type {type(layer).__name__} has no counting rule; counted are the "
        "layers of spikefuse.synapses and spikefuse.neurons, Linear, Conv1d and Conv2d"
    )


def _is_leaf(layer: nn.Module) -> bool:
    """Layers that do arithmetic: not containers, nor modules known to be free."""
    has_children = next(layer.children(), None) is not None
    has_weights = next(layer.parameters(recurse=False), None) is not None
    return not has_children and (has_weights or not isinstance(layer, _FREE))


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
