"""From a trained model to the arrays of a network that runs as its events come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.errors import ConfigError
from spikefuse.fusion import OPERATORS
from spikefuse.fusion.concat import ConcatFusion
from spikefuse.fusion.cross_residual import CrossResidualFusion
from spikefuse.fusion.cross_synapse import CrossSynapseFusion
from spikefuse.fusion.current_sum import CurrentSumFusion, GainedLinear
from spikefuse.fusion.early import EarlyFusion
from spikefuse.fusion.late import LateFusion
from spikefuse.fusion.latent import LatentFusion
from spikefuse.fusion.pairs import ARROW
from spikefuse.kernels.stream import StreamNetwork
from spikefuse.models import FusionSNN
from spikefuse.neurons import LIReadout
from spikefuse.runtime.network_builder import NetworkBuilder, Wire
from spikefuse.synapses import EventLinear
from spikefuse.synapses.cross import CrossSynapses

Sources = dict[str, int]
INSTEAD = "; the stepped engine runs it (engine='stepped')"


@dataclass(frozen=True, eq=False)
class EventNetwork:
    """A model's network.

    Parameters
    ----------
    network : StreamNetwork
    populations : mapping of path of the neurons to number of the population
    wires : tuple of Wire
        Modules of the model whose weights the network holds.
    """

    network: StreamNetwork
    populations: Mapping[str, int]
    wires: tuple[Wire, ...]


def event_network(model: FusionSNN) -> EventNetwork:
    """The network of a model.

    Encoders must be chains of ``synapses`` and ``neurons``, as `SpikingEncoder` is: linear, delayed
    or convolutional synapses, LIF, CubaLIF or ALIF neurons, recurrent or not. The fusion operator
    must be one of sums alone.

    Parameters
    ----------
    model : FusionSNN
        As it is now: later training does not reach the network.

    Raises
    ------
    ConfigError
        If a part cannot run event by event; it says which and why, and names the stepped engine.
    """
    operator = type(model.fusion)
    if operator not in _OPERATORS:
        able = [name for name, kind in OPERATORS.items() if kind in _OPERATORS]
        raise ConfigError(
            f"the event engine needs a fusion operator of {able}, got {model.spec.fusion!r}, whose "
            f"gates, windows or masks act on whole steps{INSTEAD}"
        )
    parts = model.spec.modalities
    builder = NetworkBuilder({part.name: part.sensor_size for part in parts})
    sources: Sources = {part.name: m for m, part in enumerate(parts)}
    with torch.no_grad():
        for name, encoder in model.encoders.items():
            sources[name] = _chain(builder, name, encoder, sources[name])
        fused = _OPERATORS[operator](builder, model.fusion, sources)
        if model.readout is not None and model.readout_synapse is not None:
            _read_out(builder, "readout", fused, model.readout_synapse, model.readout)
        return EventNetwork(builder.network(), builder.names, tuple(builder.wires))


def _chain(builder: NetworkBuilder, name: str, encoder: nn.Module, source: int) -> int:
    """Layers of an encoder, one behind the other."""
    synapses, neurons = (getattr(encoder, part, None) for part in ("synapses", "neurons"))
    if not isinstance(synapses, nn.ModuleList) or not isinstance(neurons, nn.ModuleList):
        raise ConfigError(
            f"the event engine needs encoders of synapses and neurons, got encoders[{name!r}] of "
            f"{type(encoder).__name__}{INSTEAD}"
        )
    for i, (synapse, neuron) in enumerate(zip(synapses, neurons, strict=True)):
        at = f"encoders.{name}"
        target = builder.add(f"{at}.neurons.{i}", neuron)
        builder.connect(f"{at}.synapses.{i}", source, target, synapse)
        source = target
    return source


def _read_out(
    builder: NetworkBuilder, name: str, source: int, synapse: nn.Module, readout: nn.Module
) -> None:
    """Leaky integrators; their gain goes into the weights, as in the batch path."""
    if not isinstance(synapse, EventLinear) or not isinstance(readout, LIReadout):
        kinds = f"{type(synapse).__name__} and {type(readout).__name__}"
        raise ConfigError(f"the event engine needs a float readout, got {kinds}{INSTEAD}")
    target = builder.add(name, readout)
    builder.connect_dense(source, target, synapse.weight * readout.log_gain.exp())
    builder.wire(source, target, synapse)


def _concat(builder: NetworkBuilder, fusion: Any, sources: Sources) -> int:
    target = builder.add("fusion.hidden", fusion.hidden)
    for name, synapse in fusion.fusion_synapses.items():
        if isinstance(synapse, GainedLinear):
            builder.connect_dense(sources[name], target, synapse.folded())
            builder.wire(sources[name], target, synapse)
        else:
            builder.connect(f"fusion.fusion_synapses.{name}", sources[name], target, synapse)
    return target


def _late(builder: NetworkBuilder, fusion: Any, sources: Sources) -> int:
    for name, synapse in fusion.readout_synapses.items():
        readout = fusion.readouts[name]
        _read_out(builder, f"fusion.readouts.{name}", sources[name], synapse, readout)
    return -1


def _latent(builder: NetworkBuilder, fusion: Any, sources: Sources) -> int:
    latents = builder.add("fusion.latents", fusion.latents)
    for name, synapse in fusion.reads.items():
        builder.connect(f"fusion.reads.{name}", sources[name], latents, synapse)
    target = builder.add("fusion.hidden", fusion.hidden)
    builder.connect("fusion.synapse", latents, target, fusion.synapse)
    return target


def _cross_residual(builder: NetworkBuilder, fusion: Any, sources: Sources) -> int:
    rules = {join.rule for join in fusion.joins.values()}
    if rules - {"add"}:
        raise ConfigError(
            f"the event engine needs cross_residual of rule 'add', got {rules.pop()!r}, which "
            f"compares spikes of one step{INSTEAD}"
        )
    own = {}
    for name, synapse in fusion.own.items():
        own[name] = builder.add(f"fusion.own_neurons.{name}", fusion.own_neurons[name])
        builder.connect(f"fusion.own.{name}", sources[name], own[name], synapse)
    branches: dict[str, int] = {}
    for to, neurons in fusion.cross_neurons.items():
        target = to.removeprefix("to_")
        branches[target] = builder.add(f"fusion.cross_neurons.{to}", neurons)
        for source, layers in fusion.cross.items():
            if source != target:
                path = f"fusion.cross.{source}.{to}"
                builder.connect(path, own[source], branches[target], layers[to])
    hidden = builder.add("fusion.hidden", fusion.hidden)
    for name in own:
        path, synapse = f"fusion.fusion_synapses.of_{name}", fusion.fusion_synapses[f"of_{name}"]
        for train in (own[name], branches.get(name)):  # the sum of both trains drives one weight
            if train is not None:
                builder.connect(path, train, hidden, synapse)
    return hidden


def _cross_synapse(builder: NetworkBuilder, fusion: Any, sources: Sources) -> int:
    target = builder.add("fusion.hidden", fusion.hidden)
    first = dict(zip(fusion.sizes, _starts(list(fusion.sizes.values())), strict=True))
    for name, synapse in fusion.own.items():
        builder.connect_dense(sources[name], target, _plain(name, synapse), at=first[name])
        builder.wire(sources[name], target, synapse)
    for name, path in fusion.cross.items():
        source, to = name.split(ARROW)
        if not isinstance(path, CrossSynapses):
            raise ConfigError(f"fusion.cross[{name!r}] must be CrossSynapses{INSTEAD}")
        weight, lag = path.rounded()
        fan = path.fan
        builder.connect_sparse(
            sources[source], target, fan.ptr, fan.target, weight[:, 0], lag, first[to]
        )
        builder.wire(sources[source], target, path)
    return target


def _plain(name: str, synapse: nn.Module) -> Tensor:
    if not isinstance(synapse, EventLinear):
        raise ConfigError(f"synapses of {name!r} must be linear, got {type(synapse)}{INSTEAD}")
    return synapse.weight


def _starts(sizes: list[int]) -> Iterator[int]:
    at = 0
    for size in sizes:
        yield at
        at += size


_OPERATORS: dict[type[nn.Module], Callable[[NetworkBuilder, Any, Sources], int]] = {
    ConcatFusion: _concat,
    EarlyFusion: _concat,
    CurrentSumFusion: _concat,
    LateFusion: _late,
    LatentFusion: _latent,
    CrossResidualFusion: _cross_residual,
    CrossSynapseFusion: _cross_synapse,
}
