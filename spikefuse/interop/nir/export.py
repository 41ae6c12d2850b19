"""A model of ours to a NIR graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikefuse.errors import ConfigError
from spikefuse.interop.nir.files import nir_module, write_graph
from spikefuse.interop.nir.graph import NEURONS, NirNetwork, Node, Shape
from spikefuse.interop.nir.lowering import lower
from spikefuse.interop.nir.neuron_nodes import input_gain, neuron_node
from spikefuse.interop.nir.profiles import NOMINAL_DT_S, Profile, checked_profile, refuse
from spikefuse.neurons import LIF, CubaLIF, LIReadout
from spikefuse.synapses import DelayedLinear, EventConv2d, EventLinear, SpikeDelay, SpikePool
from spikefuse.synapses.norm import ConstantCurrent

_SYNAPSES = (EventLinear, EventConv2d, DelayedLinear, ConstantCurrent)
_MOST_SCALED = 8192  # neurons whose scaling is written out as a matrix


@dataclass
class _Graph:
    """A NIR graph that is being collected; sources of ours may have another name there."""

    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)

    def add(self, name: str, node: Any, sources: tuple[str, ...]) -> None:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]


def to_nir(
    model: nn.Module,
    profile: str = "portable",
    *,
    in_shape: Shape | None = None,
    dt_ms: float = 1.0,
    allow_lossy: bool = False,
) -> Any:
    """A model as a ``nir.NIRGraph``.

    Parameters
    ----------
    model : FusionSNN, NirNetwork or nn.Sequential of our layers
        Fusion ``early``, ``concat`` or ``current_sum``.
    profile : "portable", "snntorch" or "native"
        Whose readers shall run it: see `spikefuse.interop.nir.profiles`.
    in_shape : tuple of int, optional
        Shape of one step of a Sequential's input.
    dt_ms : float
        Step of a Sequential; it is noted in the file, whose time constants are for a nominal step.
    allow_lossy : bool
        Write what the file can hold of a model that it cannot hold whole.

    Returns
    -------
    nir.NIRGraph

    Raises
    ------
    LossyExportError
        If the file would do something else than the model; every loss is named.
    ConfigError
        If the model has no form in this profile at all, or `nir` is not installed.
    """
    nir = nir_module()
    chosen = checked_profile(profile)
    network = lower(model, chosen, in_shape, dt_ms)
    if chosen != "native" and len(network.inputs) > 1:
        raise ConfigError(
            f"a graph must have one input for profile {profile!r}, got {list(network.inputs)}: "
            "Norse and snnTorch run no other; use profile 'native'"
        )
    graph = _Graph()
    for name, shape in network.inputs.items():
        graph.add(name, nir.Input(np.array(shape)), ())
    gains = {n.name: input_gain(n, chosen) for n in network.nodes.values() if _is_neuron(n)}
    places: dict[str, str] = {}
    for node in network.nodes.values():
        _write(graph, network, node, chosen, gains, places)
    for number, name in enumerate(network.outputs):
        shape = network.nodes[name].shape
        label = "output" if number == 0 else f"output_{number}"
        graph.add(label, nir.Output(np.array(shape)), (places.get(name, name),))
    refuse(sorted(set(graph.losses)), allow_lossy)
    metadata = {
        "creator": "spikefuse",
        "profile": chosen,
        "dt_ms": network.dt_ms,
        "nominal_dt_s": NOMINAL_DT_S,
        "joined": ",".join(f"{name}:{n}" for name, n in network.joined.items()),
        "lost": "; ".join(sorted(set(graph.losses))),
    }
    # Type checks of nir 1.0.8 take a kernel for square, and walk in circles around recurrence.
    return nir.NIRGraph(graph.nodes, graph.edges, metadata=metadata, type_check=False)


def save_nir(path: Path, model: nn.Module, profile: str = "portable", **options: Any) -> None:
    """`to_nir` into a file."""
    write_graph(path, to_nir(model, profile, **options))


def _is_neuron(node: Node) -> bool:
    return isinstance(node.layer, NEURONS)


def _write(
    graph: _Graph,
    network: NirNetwork,
    node: Node,
    profile: Profile,
    gains: dict[str, Tensor],
    places: dict[str, str],
) -> None:
    """Add a node of ours, with what stands around it there."""
    nir = nir_module()
    layer = node.layer
    sources = tuple(places.get(source, source) for source in node.sources)
    if isinstance(layer, LIF | CubaLIF | LIReadout):
        gain = gains[node.name]
        pairs = zip(node.sources, sources, strict=True)
        sources = tuple(_driving(graph, network, node, *pair, gain) for pair in pairs)
        graph.add(node.name, neuron_node(node, profile, graph.losses), sources)
        recurrent = getattr(layer, "recurrent_weight", None)
        if recurrent is not None:
            _write_recurrent(graph, node, recurrent, gain, profile)
        return
    if isinstance(layer, SpikeDelay):
        sizes = layer.sizes or (node.size,) * len(layer.steps)
        steps = np.repeat(np.array(layer.steps, float), sizes).reshape(node.shape)
        if profile != "native" and steps.any():
            graph.losses.append(f"delays of {node.name}: Norse drops them, snnTorch refuses them")
            places[node.name] = sources[0]
            return
        graph.add(node.name, nir.Delay(steps * NOMINAL_DT_S), sources)
        return
    if isinstance(layer, SpikePool):
        if profile != "native" or layer.mode != "sum":
            raise ConfigError(
                f"pooling must be a sum in profile 'native' to be written, got {layer.mode!r} of "
                f"{node.name} in {profile!r}: snnTorch has no sum, NIR has no maximum"
            )
        kernel, stride = np.array(layer.kernel), np.array(layer.stride)
        graph.add(node.name, nir.SumPool2d(kernel, stride, np.array((0, 0))), sources)
        return
    gain = _gain_behind(network, node, gains)
    if isinstance(layer, ConstantCurrent):
        # Its shift has a value for each map where neurons share it, and so has a bias.
        shift = layer.shift.detach().double()
        scale = gain.expand(node.size).reshape(len(shift), -1)[:, 0]
        graph.nodes[sources[0]].bias = (shift * scale).numpy()
        places[node.name] = sources[0]
        return
    if isinstance(layer, EventConv2d):
        graph.add(node.name, _conv(layer, gain, profile, node.name), sources)
        return
    sources = _flat(graph, network, node, sources)
    if isinstance(layer, DelayedLinear):
        _write_delayed(graph, network, node, layer, gain, profile, sources)
        places[node.name] = node.name
    elif isinstance(layer, EventLinear):
        graph.add(node.name, _affine(layer.weight * gain), sources)
    else:
        raise ConfigError(
            f"layers must have a node in NIR, got {type(layer).__name__} of {node.name}"
        )


def _write_delayed(
    graph: _Graph,
    network: NirNetwork,
    node: Node,
    layer: DelayedLinear,
    gain: Tensor,
    profile: Profile,
    sources: tuple[str, ...],
) -> None:
    """Delayed synapses: a branch of delay and matrix for each, onto the same neurons."""
    nir = nir_module()
    weights = torch.split(layer.synapses.weight.detach(), layer.n_out, dim=1)
    if profile != "native" and layer.longest:
        graph.losses.append(f"delays of {node.name}: Norse drops them, snnTorch refuses them")
        graph.add(node.name, _affine(sum(weights[1:], weights[0]) * gain), sources)
        return
    n_in = weights[0].shape[0]
    targets = [n.name for n in network.nodes.values() if node.name in n.sources]
    if len(targets) != 1 or not _is_neuron(network.nodes[targets[0]]):
        raise ConfigError(f"delayed synapses must lead onto one layer of neurons, got {targets}")
    for number, (steps, weight) in enumerate(zip(layer.delays_steps, weights, strict=True)):
        start = sources
        if steps:
            late = f"{node.name}_delay_{number}"
            graph.add(late, nir.Delay(np.full(n_in, steps * NOMINAL_DT_S)), sources)
            start = (late,)
        # The first keeps the node's name: the neurons' edge comes from there.
        name = node.name if number == 0 else f"{node.name}_{number}"
        graph.add(name, _affine(weight * gain), start)
        if number:
            graph.edges.append((name, targets[0]))


def _write_recurrent(
    graph: _Graph, node: Node, weight: Tensor, gain: Tensor, profile: Profile
) -> None:
    """A matrix from a layer's spikes back onto it, one step later."""
    if profile != "native":
        raise ConfigError(
            f"neurons must be without recurrence in profile {profile!r}, got a recurrent layer "
            f"{node.name}: snnTorch does not run its loop; use profile 'native'"
        )
    name = f"{node.name}_recurrent"
    graph.add(name, _affine(weight * gain), (node.name,))
    graph.edges.append((name, node.name))


def _flat(
    graph: _Graph, network: NirNetwork, node: Node, sources: tuple[str, ...]
) -> tuple[str, ...]:
    """Sources of a matrix, maps among them flattened."""
    nir = nir_module()
    found = []
    for ours, theirs in zip(node.sources, sources, strict=True):
        shape = network.inputs[ours] if ours in network.inputs else network.nodes[ours].shape
        if len(shape) == 1:
            found.append(theirs)
            continue
        name = f"{theirs}_flat"
        if name not in graph.nodes:
            graph.add(name, nir.Flatten({"input": np.array(shape)}, 0, -1), (theirs,))
        found.append(name)
    return tuple(found)


def _gain_behind(network: NirNetwork, node: Node, gains: dict[str, Tensor]) -> Tensor:
    """What the weights of synapses are multiplied by for the neurons behind them, [n] or [1]."""
    behind = [gains[name] for name in _neurons_behind(network, node)]
    if not behind:
        return torch.ones(1, dtype=torch.float64)
    if any(not torch.equal(behind[0], other) for other in behind[1:]):
        raise ConfigError(
            f"synapses onto several layers of neurons must be scaled alike there, got {node.name}"
        )
    others = [n for n in network.nodes.values() if node.name in n.sources and not _is_neuron(n)]
    apart = any(not isinstance(n.layer, ConstantCurrent) for n in others)
    if (apart or node.name in network.outputs) and bool((behind[0] != 1.0).any()):
        raise ConfigError(
            f"synapses onto neurons whose input the file scales must lead nowhere else, got "
            f"{node.name}"
        )
    return behind[0]


def _driving(
    graph: _Graph, network: NirNetwork, node: Node, source: str, place: str, gain: Tensor
) -> str:
    """A source of neurons: synapses have the gain in their weights, others get it here."""
    layer = network.nodes[source].layer if source in network.nodes else None
    if isinstance(layer, _SYNAPSES) or bool((gain == 1.0).all()):
        return place
    if len(node.shape) > 1 or node.size > _MOST_SCALED:
        raise ConfigError(
            f"neurons must have synapses in front where the file scales their input (but for "
            f"{_MOST_SCALED} flat ones), got {node.name} of {source}"
        )
    name = f"{node.name}_from_{place}"
    graph.add(name, _affine(torch.diag(gain.expand(node.size))), (place,))
    return name


def _neurons_behind(network: NirNetwork, node: Node) -> list[str]:
    """Layers of neurons that a node's currents flow into."""
    found: list[str] = []
    for other in network.nodes.values():
        if node.name in other.sources:
            if _is_neuron(other):
                found.append(other.name)
            elif isinstance(other.layer, ConstantCurrent):
                found += _neurons_behind(network, other)
    return found


def _conv(layer: EventConv2d, gain: Tensor, profile: Profile, name: str) -> Any:
    """A convolution; neurons behind it scale all positions of a map alike."""
    n_channels, _, rows, columns = layer.weight.shape
    if profile != "native" and rows != columns:
        raise ConfigError(
            f"kernels must be square in profile {profile!r}, got {(rows, columns)} of {name}: nir "
            "finds shapes from the rows alone; use profile 'native'"
        )
    whole = gain.expand(layer.n_out).reshape(n_channels, -1)
    per_map = whole[:, 0]
    if not torch.equal(whole, per_map[:, None].expand_as(whole)):
        raise ConfigError(
            f"neurons behind a convolution must share their decay over a map in profile "
            f"{profile!r}, got others behind {name}: use profile 'snntorch'"
        )
    return nir_module().Conv2d(
        input_shape=tuple(layer.in_shape[1:]),
        weight=(layer.weight.detach().double() * per_map[:, None, None, None]).numpy(),
        stride=tuple(layer.stride),
        padding=tuple(layer.padding),
        dilation=(1, 1),
        groups=1,
        bias=np.zeros(n_channels),
    )


def _affine(weight: Tensor) -> Any:
    """Weights [n_in, n_out] as a node, with a bias of zero: readers without one fail."""
    theirs = weight.detach().double().t().contiguous().numpy()
    return nir_module().Affine(weight=theirs, bias=np.zeros(len(theirs)))
