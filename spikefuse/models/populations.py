"""Which synapses drive which neurons of a model: whose weights share a unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikefuse.encoders import SpikingEncoder
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
from spikefuse.models.fusion_snn import FusionSNN
from spikefuse.neurons import LIF, LIReadout
from spikefuse.synapses import DelayedLinear, EventConv2d, EventLinear
from spikefuse.synapses.cross import CrossSynapses


@dataclass(frozen=True)
class Drive:
    """Synapses onto consecutive neurons of a population.

    Parameters
    ----------
    name : str
        Path of the module that holds ``weight``.
    module : nn.Module
    first : int
        Its first target in the population.
    """

    name: str
    module: nn.Module
    first: int = 0

    def weight(self) -> Tensor:
        """Weights as they act, any gain or gate of the synapses in them."""
        if isinstance(self.module, GainedLinear):
            return self.module.folded()
        if isinstance(self.module, CrossSynapses):
            return self.module.strength()
        return self.module.get_parameter("weight")

    def per_weight(self, values: Tensor) -> Tensor:
        """One value per neuron of the population to one that fits the shape of the weights."""
        if isinstance(self.module, CrossSynapses):
            return values[self.first + self.module.fan.target.long()]
        if isinstance(self.module, EventConv2d):
            return values[:, None, None, None]
        columns = self.module.get_parameter("weight").shape[1]
        here = values[self.first :]
        # A delayed layer holds the weights of its delays side by side.
        return here.repeat(columns // len(here)) if columns > len(here) else here[:columns]

    def largest(self, n: int) -> Tensor:
        """Largest absolute weight onto each of ``n`` neurons of the population, float64."""
        size = self.weight().detach().double().abs()
        neuron = self.per_weight(torch.arange(n, device=size.device)).expand(size.shape)
        found = size.new_zeros(n)
        return found.scatter_reduce(0, neuron.flatten(), size.flatten(), "amax")


@dataclass(frozen=True)
class Population:
    """Neurons that share a membrane unit each with all synapses onto them.

    Parameters
    ----------
    name : str
        Path of the neurons.
    neurons : LIF or LIReadout
    drives : tuple of Drive
    """

    name: str
    neurons: LIF | LIReadout
    drives: tuple[Drive, ...]


def populations(model: FusionSNN) -> list[Population]:
    """Populations of a model, from its inputs to its readout.

    Raises
    ------
    ConfigError
        If an encoder or the fusion operator is not made of whole sums alone; it names it.
    """
    found: list[Population] = []
    for name, encoder in model.encoders.items():
        if not isinstance(encoder, SpikingEncoder):
            raise ConfigError(
                f"whole numbers need a SpikingEncoder, got encoders[{name!r}] of "
                f"{type(encoder).__name__}"
            )
        layers = zip(encoder.synapses, encoder.neurons, strict=True)
        for i, (synapse, neuron) in enumerate(layers):
            at = f"encoders.{name}"
            found.append(_population(f"{at}.neurons.{i}", neuron, {f"{at}.synapses.{i}": synapse}))
    operator = type(model.fusion)
    if operator not in _OPERATORS:
        able = [name for name, kind in OPERATORS.items() if kind in _OPERATORS]
        raise ConfigError(
            f"whole numbers need a fusion operator of {able}, got {model.spec.fusion!r}, whose "
            "gates, windows or traces are no whole numbers"
        )
    found += _OPERATORS[operator](model)
    if model.readout is not None and model.readout_synapse is not None:
        found.append(
            _population("readout", model.readout, {"readout_synapse": model.readout_synapse})
        )
    return found


def _population(name: str, neurons: nn.Module, synapses: dict[str, nn.Module]) -> Population:
    """Neurons that all of the given synapses drive."""
    if not isinstance(neurons, LIF | LIReadout):
        raise ConfigError(f"whole numbers need LIF neurons, got {name} of {type(neurons).__name__}")
    drives: list[Drive] = []
    for path, module in synapses.items():
        inner = isinstance(module, DelayedLinear)
        held = module.synapses if isinstance(module, DelayedLinear) else module
        if not isinstance(held, EventLinear | EventConv2d):
            raise ConfigError(
                f"whole numbers need linear synapses, got {path} of {type(held).__name__}"
            )
        drives.append(Drive(f"{path}.synapses" if inner else path, held))
    return Population(name, neurons, tuple(drives))


def _named(path: str, modules: nn.ModuleDict) -> dict[str, nn.Module]:
    return {f"{path}.{name}": module for name, module in modules.items()}


def _concat(model: FusionSNN) -> Iterator[Population]:
    hidden = model.fusion.get_submodule("hidden")
    synapses = _dict(model, "fusion_synapses")
    yield _population("fusion.hidden", hidden, _named("fusion.fusion_synapses", synapses))


def _late(model: FusionSNN) -> Iterator[Population]:
    for name, synapse in _dict(model, "readout_synapses").items():
        readout = model.fusion.get_submodule(f"readouts.{name}")
        path = f"fusion.readout_synapses.{name}"
        yield _population(f"fusion.readouts.{name}", readout, {path: synapse})


def _latent(model: FusionSNN) -> Iterator[Population]:
    reads = _named("fusion.reads", _dict(model, "reads"))
    yield _population("fusion.latents", model.fusion.get_submodule("latents"), reads)
    synapse = {"fusion.synapse": model.fusion.get_submodule("synapse")}
    yield _population("fusion.hidden", model.fusion.get_submodule("hidden"), synapse)


def _cross_residual(model: FusionSNN) -> Iterator[Population]:
    for name, synapse in _dict(model, "own").items():
        neurons = model.fusion.get_submodule(f"own_neurons.{name}")
        yield _population(f"fusion.own_neurons.{name}", neurons, {f"fusion.own.{name}": synapse})
    for target, neurons in _dict(model, "cross_neurons").items():
        crossing = {
            f"fusion.cross.{source}.{target}": layers.get_submodule(target)
            for source, layers in _dict(model, "cross").items()
            if f"to_{source}" != target
        }
        yield _population(f"fusion.cross_neurons.{target}", neurons, crossing)
    yield from _concat(model)


def _cross_synapse(model: FusionSNN) -> Iterator[Population]:
    operator = model.fusion
    if not isinstance(operator, CrossSynapseFusion):
        raise ConfigError(f"operator must be cross_synapse, got {type(operator).__name__}")
    sizes = operator.sizes
    first = {name: sum(list(sizes.values())[:i]) for i, name in enumerate(sizes)}
    drives = [Drive(f"fusion.own.{name}", operator.own[name], first[name]) for name in sizes]
    drives += [
        Drive(f"fusion.cross.{name}", path, first[name.split(ARROW)[1]])
        for name, path in operator.cross.items()
    ]
    yield Population("fusion.hidden", operator.hidden, tuple(drives))


def _dict(model: FusionSNN, name: str) -> nn.ModuleDict:
    """A dictionary of layers of the fusion operator."""
    held = model.fusion.get_submodule(name)
    if not isinstance(held, nn.ModuleDict):
        raise ConfigError(f"fusion.{name} must be a ModuleDict, got {type(held).__name__}")
    return held


_OPERATORS: dict[type[nn.Module], Callable[[FusionSNN], Iterator[Population]]] = {
    ConcatFusion: _concat,
    EarlyFusion: _concat,
    CurrentSumFusion: _concat,
    LateFusion: _late,
    LatentFusion: _latent,
    CrossResidualFusion: _cross_residual,
    CrossSynapseFusion: _cross_synapse,
}
