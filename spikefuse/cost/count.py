"""Count what a model really executes, layer by layer, from its own inputs and spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.encoders.dropout import SpikeDropout
from spikefuse.neurons import LIF, LIReadout
from spikefuse.opcounts import COUNT_FIELDS, OpCounts, PathCounts
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventConv2d, EventLinear

Inputs = Tensor | SpikeBatch | tuple[Any, ...] | list[Any] | Mapping[str, Any]

# Modules that move or mask data without arithmetic of their own at inference.
_FREE = (nn.Dropout, nn.Flatten, nn.Identity, nn.ReLU, SpikeDropout)
_WORD_BYTES = 4


def count(model: nn.Module, inputs: Inputs, batch_dim: int | None = None) -> OpCounts:
    """Run ``model`` once on ``inputs`` in evaluation mode and count every layer's operations.

    Parameters
    ----------
    model : nn.Module
        Built from our layers, or from torch's ``Linear``, ``Conv1d`` and ``Conv2d`` with
        activations that need no multiplication.
    inputs : Tensor, SpikeBatch, tuple of them, or mapping of modality to them
        What ``model(inputs)`` takes (a tuple is unpacked). A SpikeBatch is given as dense.
    batch_dim : int, optional
        Which dimension of the inputs is the batch: 1 for our time-major modules, 0 otherwise.

    Returns
    -------
    OpCounts
        Totals over the batch; attributes read as the mean per sample.

    Raises
    ------
    ValueError
        If the inputs hold no tensor, or a layer has no counting rule (it is named).

    Notes
    -----
    *Synapses.* An input of whole number n > 0 into an event layer is n spikes: n accumulates per
    non-zero weight in its true fan-out (fewer at borders). Other values are multiply-accumulates.
    In a torch layer, inputs of +1 and -1 count as accumulates only if every non-zero of the call
    is one of them (a spike tensor); otherwise each non-zero costs a multiply-accumulate. Biases
    are not counted, as in NeuroBench.

    *Neurons.* Each step of each neuron is one update, active if its state or input is non-zero.
    It reads and writes one word of state.

    *Memory.* ``weight_reads`` assumes no reuse. A dense layer reads and writes its activations.
    """
    prepared = _dense(inputs)
    if batch_dim is None:
        batch_dim = int(getattr(model, "batch_dim", 0))
    n_samples = _first_tensor(prepared).shape[batch_dim]
    paths: dict[str, PathCounts] = {}
    modalities = tuple(getattr(model, "modalities", ()))
    handles = [
        layer.register_forward_hook(_hook(paths, name or type(layer).__name__, modalities))
        for name, layer in model.named_modules()
        if _is_leaf(layer)
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            if isinstance(prepared, tuple):
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
        if isinstance(layer, LIF | LIReadout):
            path = _count_neurons(layer, args[0], modality)
        elif isinstance(layer, EventLinear | EventConv2d):
            path = _count_event_synapses(layer, args[0], modality)
        elif isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            path = _count_torch_layer(layer, args[0], output, modality)
        else:
            raise ValueError(
                f"layer {name!r} of type {type(layer).__name__} has no counting rule; counted are "
                "EventLinear, EventConv2d, LIF, LIReadout, Linear, Conv1d and Conv2d"
            )
        paths[name] = paths[name].joined(path) if name in paths else path

    return after


def _count_event_synapses(
    layer: EventLinear | EventConv2d, spikes: Tensor, modality: str
) -> PathCounts:
    """Fan-out of every input event of one event layer."""
    spikes = spikes.detach().double()
    whole = (spikes > 0) & (spikes == spikes.floor())
    events = torch.where(whole, spikes, 0.0)
    graded = ((spikes != 0) & ~whole).double()
    acs = _fan_out(layer, events, pruned=True)
    macs = _fan_out(layer, graded, pruned=True)
    reads = _fan_out(layer, events + graded, pruned=False)
    dense = _fan_out(layer, torch.ones_like(spikes[:1, :1]), pruned=False)
    return _with_bytes(
        PathCounts(
            effective_acs=acs,
            effective_macs=macs,
            dense_macs=dense * spikes.shape[0] * spikes.shape[1],
            spikes_routed=int((events + graded).sum()),
            weight_reads=reads,
            weight_words=layer.weight.numel(),
            kind="event",
            modality=modality,
        )
    )


def _fan_out(layer: EventLinear | EventConv2d, events: Tensor, pruned: bool) -> int:
    """Sum over events of the number of (non-zero, if ``pruned``) weights each one drives."""
    weight = layer.weight.detach()
    used = (weight != 0).double() if pruned else torch.ones_like(weight, dtype=torch.float64)
    if isinstance(layer, EventLinear):
        return int((events.sum((0, 1)) * used.sum(1)).sum())
    # Convolution is linear: the sum over time and batch is convolved once.
    maps = events.sum((0, 1)).reshape(1, *layer.in_shape)
    return int(
        torch.nn.functional.conv2d(maps, used, stride=layer.stride, padding=layer.padding)
        .sum()
        .round()
    )


def _count_torch_layer(
    layer: nn.Linear | nn.Conv1d | nn.Conv2d, x: Tensor, output: Tensor, modality: str
) -> PathCounts:
    """Effective and dense operations of a torch layer, borders and pruned weights exact."""
    x = x.detach()
    nonzero = (x != 0).double()
    is_spikes = bool(((x == 0) | (x.abs() == 1)).all())
    effective = int(_with_binary_weight(layer, nonzero, pruned=True).sum().round())
    dense = int(_with_binary_weight(layer, torch.ones_like(nonzero), pruned=False).sum().round())
    return _with_bytes(
        PathCounts(
            effective_acs=effective if is_spikes else 0,
            effective_macs=0 if is_spikes else effective,
            dense_macs=dense,
            weight_reads=dense,
            state_reads=x.numel(),
            state_writes=output.numel(),
            weight_words=layer.weight.numel(),
            state_words=(x.numel() + output.numel()) // max(len(x), 1),
            kind="dense",
            modality=modality,
        )
    )


def _with_binary_weight(
    layer: nn.Linear | nn.Conv1d | nn.Conv2d, x: Tensor, pruned: bool
) -> Tensor:
    """The layer's own arithmetic with weights of 0 and 1 and no bias, in float64 (exact here)."""
    weight = layer.weight.detach()
    used = (weight != 0).double() if pruned else torch.ones_like(weight, dtype=torch.float64)
    if isinstance(layer, nn.Linear):
        return torch.nn.functional.linear(x, used)
    convolve = (
        torch.nn.functional.conv1d if isinstance(layer, nn.Conv1d) else torch.nn.functional.conv2d
    )
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(
            "padding of a counted convolution must be numeric zero padding, got "
            f"{layer.padding!r} ({layer.padding_mode})"
        )
    options: dict[str, Any] = {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
    }
    result: Tensor = convolve(x, used, **options)
    return result


def _count_neurons(layer: LIF | LIReadout, current: Tensor, modality: str) -> PathCounts:
    """Updates of a neuron layer, one per neuron and step."""
    current = current.detach()
    active = layer.count_active(current)
    updates = current.numel()
    return _with_bytes(
        PathCounts(
            neuron_updates_active=active,
            neuron_updates_idle=updates - active,
            state_reads=updates,
            state_writes=updates,
            state_words=current.shape[2],
            kind="event",
            modality=modality,
        )
    )


def _with_bytes(path: PathCounts) -> PathCounts:
    """The same counts with ``bytes_moved`` filled in."""
    words = path.weight_reads + path.state_reads + path.state_writes + path.spikes_routed
    moved = {name: getattr(path, name) for name in COUNT_FIELDS} | {
        "bytes_moved": _WORD_BYTES * words
    }
    return PathCounts(
        **moved,
        weight_words=path.weight_words,
        state_words=path.state_words,
        kind=path.kind,
        modality=path.modality,
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


def _first_tensor(inputs: Any) -> Tensor:
    """Any tensor of the inputs; all of them share the batch size."""
    if isinstance(inputs, Tensor):
        return inputs
    values = list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs or ())
    if not values:
        raise ValueError("inputs must hold at least one tensor, got none")
    return _first_tensor(values[0])
