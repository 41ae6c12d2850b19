"""A model as a graph of layers, in the form that a profile's readers can run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spikefuse.encoders import SpikingEncoder
from spikefuse.encoders.spec import ModalitySpec
from spikefuse.errors import ConfigError
from spikefuse.fusion.concat import ConcatFusion
from spikefuse.fusion.current_sum import CurrentSumFusion, GainedLinear
from spikefuse.fusion.early import EarlyFusion
from spikefuse.interop.nir.graph import NEURONS, NirNetwork, Node, Shape
from spikefuse.interop.nir.profiles import Profile
from spikefuse.models import FusionSNN
from spikefuse.neurons import LIF, LIFParams, LIReadout
from spikefuse.runtime.network_builder import unrolled
from spikefuse.synapses import DelayedLinear, EventConv2d, EventLinear, SpikeDelay, SpikePool

_MOST_WEIGHTS = 1 << 26  # of a matrix written out: half a gigabyte in float64
_PAIRS = (ConcatFusion, EarlyFusion, CurrentSumFusion)

Stage = tuple[nn.Module, LIF]


def chain(layers: Sequence[nn.Module], in_shape: Shape, dt_ms: float) -> NirNetwork:
    """Layers in the order in which they run, as a graph.

    Parameters
    ----------
    layers : sequence of nn.Module
        Of `spikefuse.synapses` and `spikefuse.neurons`; a Sequential is one.
    in_shape : tuple of int
        Of one step of the input: (N,) or (C, H, W).
    dt_ms : float

    Raises
    ------
    ConfigError
        If a layer is of another kind.
    """
    nodes: list[Node] = []
    source, shape = "input", tuple(in_shape)
    for number, layer in enumerate(layers):
        name = f"{type(layer).__name__.lower()}_{number}"
        shape = out_shape(layer, shape)
        nodes.append(Node(name, layer, (source,), shape))
        source = name
    return NirNetwork({"input": tuple(in_shape)}, nodes, [source], dt_ms)


def out_shape(layer: nn.Module, shape: Shape) -> Shape:
    """Shape of a layer's output.

    Raises
    ------
    ConfigError
        If NIR has no node for such a layer.
    """
    if isinstance(layer, EventConv2d | SpikePool):
        return layer.out_shape
    if isinstance(layer, EventLinear):
        return (layer.weight.shape[1],)
    if isinstance(layer, DelayedLinear):
        return (layer.n_out,)
    if isinstance(layer, SpikeDelay) or type(layer) in NEURONS:
        return shape
    raise ConfigError(
        f"layers must be linear, convolutional, pooling or delaying synapses and LIF, CubaLIF or "
        f"LI neurons to be written as NIR, got {type(layer).__name__}"
    )


def lower(model: nn.Module, profile: Profile, in_shape: Shape | None, dt_ms: float) -> NirNetwork:
    """A model as a graph: one chain, or with profile ``native`` a branch for each modality.

    Parameters
    ----------
    model : FusionSNN, NirNetwork or nn.Sequential of our layers
    profile : Profile
    in_shape : tuple of int, optional
        Needed for a Sequential.
    dt_ms : float
        Likewise; a FusionSNN has its own.

    Raises
    ------
    ConfigError
        If the model has no such form; the message says why.
    """
    if isinstance(model, NirNetwork):
        return model
    if isinstance(model, nn.Sequential):
        if in_shape is None:
            raise ConfigError("in_shape must be given for a Sequential, got None")
        return chain(list(model), in_shape, dt_ms)
    if not isinstance(model, FusionSNN):
        raise ConfigError(
            f"model must be a FusionSNN, a NirNetwork or a Sequential, got {type(model).__name__}"
        )
    if type(model.fusion) not in _PAIRS:
        raise ConfigError(
            f"fusion must be early, concat or current_sum to be written as NIR, got "
            f"{model.spec.fusion!r}: NIR has no node for what it computes"
        )
    stages = {part.name: _stages(model, part) for part in model.spec.modalities}
    if profile == "native" or len(stages) == 1:
        return _branches(model, stages)
    return _joined(model, stages)


def _stages(model: FusionSNN, part: ModalitySpec) -> list[Stage]:
    """Pairs of synapses and neurons of a modality's encoder; none with early fusion."""
    if part.name not in model.encoders:
        return []
    encoder = model.encoders[part.name]
    if not isinstance(encoder, SpikingEncoder):
        raise ConfigError(
            f"encoders must be of this library to be written as NIR, got {type(encoder).__name__} "
            f"of {part.name}: its own library writes it"
        )
    found: list[Stage] = []
    for synapse, neuron in zip(encoder.synapses, encoder.neurons, strict=True):
        if type(neuron) is not LIF:
            raise ConfigError(
                f"neurons must be LIF to be written as NIR, got {type(neuron).__name__} of "
                f"{part.name}"
            )
        found.append((synapse, neuron))
    return found


def _branches(model: FusionSNN, stages: dict[str, list[Stage]]) -> NirNetwork:
    """One input and one branch for each modality; convolutions stay as they are."""
    inputs: dict[str, Shape] = {}
    nodes: list[Node] = []
    onto: list[str] = []
    for part in model.spec.modalities:
        width, height, polarities = part.sensor_size
        shape: Shape = (polarities, height, width) if part.encoder.convs else (part.n_inputs,)
        if part.name not in model.encoders:
            shape = (part.n_inputs,)
        inputs[part.name] = shape
        source = part.name
        for number, (synapse, neuron) in enumerate(stages[part.name]):
            shape = out_shape(synapse, shape)
            wire, cell = f"{part.name}_synapse_{number}", f"{part.name}_lif_{number}"
            nodes += [Node(wire, synapse, (source,), shape), Node(cell, neuron, (wire,), shape)]
            source = cell
        wire = f"{part.name}_fusion"
        layer = _linear(_fusion_weight(model, part.name))
        nodes.append(Node(wire, layer, (source,), (layer.weight.shape[1],)))
        onto.append(wire)
    return _finished(model, inputs, nodes, tuple(onto), {})


def _joined(model: FusionSNN, stages: dict[str, list[Stage]]) -> NirNetwork:
    """One chain over all modalities side by side: matrices in blocks.

    A modality with fewer layers passes its spikes on through neurons that fire for each.
    """
    sizes = {part.name: part.n_inputs for part in model.spec.modalities}
    inputs: dict[str, Shape] = {"input": (sum(sizes.values()),)}
    depth = max(len(found) for found in stages.values())
    widths = list(sizes.values())
    nodes: list[Node] = []
    source = "input"
    for number in range(depth):
        here = [found[number] if number < len(found) else None for found in stages.values()]
        cells = [pair[1] for pair in here if pair is not None]
        filler = float(cells[0].beta().detach()[0])
        params, dt_ms = cells[0].params, cells[0].dt_ms
        blocks, betas = [], []
        for pair, width in zip(here, widths, strict=True):
            if pair is None:
                blocks.append(torch.eye(width) * _relay_weight(params, filler))
                betas.append(torch.full((width,), filler))
            else:
                blocks.append(_matrix(pair[0]))
                betas.append(pair[1].beta().detach())
        delays = {tuple(p[0].delays_steps) for p in here if p and isinstance(p[0], DelayedLinear)}
        if delays or any(cell.recurrent_weight is not None for cell in cells):
            raise ConfigError(
                "modalities side by side must be without delays and recurrence, got "
                f"{'delays' if delays else 'recurrence'}: use profile 'native'"
            )
        widths = [len(beta) for beta in betas]
        layer = _linear(_blocks(blocks))
        shape = (sum(widths),)
        wire, cell_name = f"synapse_{number}", f"lif_{number}"
        nodes.append(Node(wire, layer, (source,), shape))
        merged = LIF(sum(widths), params, dt_ms)
        merged.beta_logit.data.copy_(torch.logit(torch.cat(betas)))
        nodes.append(Node(cell_name, merged, (wire,), shape))
        source = cell_name
    layer = _linear(torch.cat([_fusion_weight(model, name) for name in stages]))
    nodes.append(Node("fusion_synapse", layer, (source,), (layer.weight.shape[1],)))
    return _finished(model, inputs, nodes, ("fusion_synapse",), sizes)


def _relay_weight(params: LIFParams, beta: float) -> float:
    """Of a neuron that fires exactly when it receives a spike of 1, whatever its decay."""
    if params.reset == "zero":
        return 2.0 * params.threshold
    # What is left after each reset adds up to at most half a threshold.
    return params.threshold * (1.0 + 0.5 * (1.0 - beta))


def _finished(
    model: FusionSNN,
    inputs: dict[str, Shape],
    nodes: list[Node],
    onto: tuple[str, ...],
    joined: dict[str, int],
) -> NirNetwork:
    """With the fused neurons and the readout behind."""
    hidden = model.fusion.hidden
    if type(hidden) is not LIF or type(model.readout) is not LIReadout:
        raise ConfigError(
            f"neurons must be LIF and LI to be written as NIR, got {type(hidden).__name__} and "
            f"{type(model.readout).__name__}"
        )
    if model.readout_synapse is None or type(model.readout_synapse) is not EventLinear:
        raise ConfigError("model must have a linear readout to be written as NIR, got another one")
    n_hidden, n_classes = model.spec.fusion_hidden, model.spec.n_classes
    nodes += [
        Node("fusion_lif", hidden, onto, (n_hidden,)),
        Node("readout_synapse", model.readout_synapse, ("fusion_lif",), (n_classes,)),
        Node("readout", model.readout, ("readout_synapse",), (n_classes,)),
    ]
    return NirNetwork(inputs, nodes, ["readout"], model.spec.dt_ms, joined)


def _fusion_weight(model: FusionSNN, name: str) -> Tensor:
    """Weights of a modality onto the fused neurons, gains folded in."""
    synapses: nn.ModuleDict = model.fusion.fusion_synapses  # type: ignore[assignment]
    layer = synapses[name]
    if isinstance(layer, GainedLinear):
        return layer.folded().detach()
    if type(layer) is not EventLinear:
        raise ConfigError(
            f"synapses must be linear to be written as NIR, got {type(layer).__name__}"
        )
    return layer.weight.detach()


def _matrix(synapse: nn.Module) -> Tensor:
    """Synapses as weights [n_in, n_out]; convolutions written out."""
    if isinstance(synapse, DelayedLinear):
        return synapse.synapses.weight.detach()[:, : synapse.n_out]  # refused by the caller
    if isinstance(synapse, EventLinear):
        return synapse.weight.detach()
    if not isinstance(synapse, EventConv2d):
        raise ConfigError(
            f"synapses must be linear or convolutional side by side, got {type(synapse).__name__}"
        )
    n_in, n_out = math.prod(synapse.in_shape), synapse.n_out
    if n_in * n_out > _MOST_WEIGHTS:
        raise ConfigError(
            f"a convolution beside another modality is written out as a matrix, which must have at "
            f"most {_MOST_WEIGHTS} weights, got {n_in} x {n_out}: use profile 'native'"
        )
    ptr, target, weight = unrolled(synapse)
    matrix = torch.zeros(n_in, n_out)
    row = torch.repeat_interleave(torch.arange(n_in), ptr.diff())
    matrix[row, target.long()] = weight
    return matrix


def _blocks(parts: Sequence[Tensor]) -> Tensor:
    """Matrices along the diagonal of one."""
    rows, columns = sum(len(part) for part in parts), sum(part.shape[1] for part in parts)
    if rows * columns > _MOST_WEIGHTS:
        raise ConfigError(
            f"modalities side by side must have at most {_MOST_WEIGHTS} weights, got {rows} x "
            f"{columns}: use profile 'native'"
        )
    whole: Tensor = torch.block_diag(*parts)  # type: ignore[no-untyped-call]
    return whole


def _linear(weight: Tensor) -> EventLinear:
    """A linear layer of given weights [n_in, n_out]."""
    layer = EventLinear(1, 1)
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    return layer
