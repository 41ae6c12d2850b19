"""The counting rule of each layer of ours."""

from __future__ import annotations

from typing import Any

from torch import nn

from spikefuse.cost.contractions import Convolution
from spikefuse.cost.messages import messages_of
from spikefuse.cost.neuron_rules import count_neurons, count_trace, one_step_later
from spikefuse.cost.placement import Traffic
from spikefuse.cost.synapse_rules import (
    count_add,
    count_constant,
    count_delay,
    count_pending,
    count_pool,
    count_synapses,
)
from spikefuse.neurons import ALIF, LIF, CubaLIF, FixedLIF, FixedReadout, LIReadout
from spikefuse.opcounts import PathCounts
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

NEURONS = (LIF, CubaLIF, ALIF, LIReadout, FixedLIF, FixedReadout)
_KNOWN = (
    *NEURONS,
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


def has_rule(layer: nn.Module) -> bool:
    """Whether a layer is counted as a whole, instead of by the operations that it calls."""
    if isinstance(layer, _KNOWN):
        return True
    return hasattr(layer, "count_paths") and next(layer.children(), None) is None


def paths_of(
    layer: nn.Module,
    name: str,
    args: tuple[Any, ...],
    output: Any,
    modality: str,
    n_active: int | None = None,
) -> dict[str, PathCounts]:
    """What one call of such a layer did: ``""`` for the layer itself, a suffix for a part of it.

    ``n_active`` are active updates of neurons where their kernel has told them.

    Raises
    ------
    ValueError
        If it is a normalisation that is not folded into its synapses.
    """
    # Modules are slow to say that they lack an attribute.
    if "count_paths" in layer.__dict__ or hasattr(type(layer), "count_paths"):
        rule: Any = layer.count_paths
        own: dict[str, PathCounts] = rule(args, output, modality)
        return own
    if isinstance(layer, NEURONS):
        return count_neurons(layer, args, output, modality, n_active)
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
    raise ValueError(
        f"layer {name!r} must be folded into its synapses before counting "
        f"(SpikeBatchNorm.fold), got a {type(layer).__name__} that runs"
    )


def traffic_of(layer: nn.Module, args: tuple[Any, ...], output: Any) -> dict[str, Traffic]:
    """Messages of every input of a layer with weights, by suffix of its path."""
    if isinstance(layer, EventLinear):
        return {"": Traffic(messages_of(args[0]).all, layer.weight.detach())}
    if isinstance(layer, EventConv2d):
        sent = messages_of(args[0]).all.reshape(layer.in_shape)
        options = Convolution(layer.stride, layer.padding, (1, 1), False, (0, 0), 1)
        return {"": Traffic(sent, layer.weight.detach(), options)}
    weight = getattr(layer, "recurrent_weight", None)
    if isinstance(layer, LIF | CubaLIF | ALIF | FixedLIF) and weight is not None:
        state = args[1] if len(args) > 1 else None
        back = messages_of(one_step_later(output[0].detach(), state))
        return {".recurrent": Traffic(back.all, weight.detach())}
    return {}
