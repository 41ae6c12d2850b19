"""A NIR graph as a network of our layers: it runs on our kernels and can be counted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikefuse.errors import DataError
from spikefuse.interop.nir import nodes as convert
from spikefuse.interop.nir.files import nir_module, read_graph
from spikefuse.interop.nir.graph import NirNetwork, Node, Shape
from spikefuse.interop.nir.nodes import Neurons
from spikefuse.synapses import EventLinear


@dataclass
class _Importing:
    """A graph on its way: nodes of the file, and those of ours that are ready."""

    graph: Any
    dt_s: float
    step_ms: float
    tau_scale: float
    foreign: bool
    edges: list[tuple[str, str]]
    recurrent: dict[str, str]
    shapes: dict[str, Shape] = field(default_factory=dict)
    neurons: dict[str, Neurons] = field(default_factory=dict)
    places: dict[tuple[str, str], str] = field(default_factory=dict)
    ready: list[Node] = field(default_factory=list)

    def sources(self, name: str) -> list[str]:
        """Nodes that lead to one, its own recurrence aside."""
        return [a for a, b in self.edges if b == name]

    def targets(self, name: str) -> list[str]:
        """Nodes that one leads to."""
        return [b for a, b in self.edges if a == name]


def load_nir(path: Path, *, dt_ms: float | None = None, tau_scale: float = 1.0) -> NirNetwork:
    """`from_nir` of a file.

    Raises
    ------
    DataError
        If the file is damaged, or as of `from_nir`.
    ConfigError
        If `nir` is not installed.
    """
    return from_nir(read_graph(path), dt_ms=dt_ms, tau_scale=tau_scale)


def from_nir(graph: Any, *, dt_ms: float | None = None, tau_scale: float = 1.0) -> NirNetwork:
    r"""A ``nir.NIRGraph`` as a network of our layers.

    Neurons are taken by forward Euler, as Norse and snnTorch take them,

    .. math:: v_t = (1 - \tfrac{dt}{\tau}) v_{t-1} + \tfrac{r\,dt}{\tau} x_t,

    and the factor of the input is folded into the weights in front. Several inputs and outputs,
    branches, sums, delays of whole steps and matrices from a layer back onto itself are kept.

    Parameters
    ----------
    graph : nir.NIRGraph
    dt_ms : float, optional
        Step of the file's time constants: a file does not hold it, so whoever wrote it has to say.
        snnTorch writes for 0.1 ms. Our own files need none.
    tau_scale : float
        Factor on all time constants, for a file that was written in another unit.

    Returns
    -------
    NirNetwork

    Raises
    ------
    DataError
        If the step is missing, or the graph holds what has no twin here; the node is named.
    """
    try:
        return _network(graph, dt_ms, tau_scale)
    except DataError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        # What nobody checked: arrays of other ranks, fields of other types.
        raise DataError(
            f"graph must hold whole nodes of matching sizes, got {type(error).__name__}: {error}"
        ) from error


def _network(graph: Any, dt_ms: float | None, tau_scale: float) -> NirNetwork:
    """`from_nir`, with whatever it stumbles over."""
    nir = nir_module()
    metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
    dt_s, step_ms = _steps(metadata, dt_ms)
    if not tau_scale > 0:
        raise DataError(f"tau_scale must be positive, got {tau_scale}")
    edges = [(str(a), str(b)) for a, b in graph.edges]
    for edge in edges:
        if any(name not in graph.nodes for name in edge):
            raise DataError(f"edges must be between nodes of the graph, got {edge}")
    edges = list(dict.fromkeys(edges))
    recurrent = _recurrent(graph, edges)
    kept = [e for e in edges if e[0] not in recurrent and e[1] not in recurrent]
    foreign = dt_ms is not None
    loops = {b: a for a, b in recurrent.items()}
    work = _Importing(graph, dt_s, step_ms, tau_scale, foreign, kept, loops)
    order = _in_order(graph.nodes, kept, set(recurrent))
    inputs: dict[str, Shape] = {}
    for name in order:
        node = graph.nodes[name]
        if isinstance(node, nir.Input):
            inputs[name] = work.shapes[name] = convert.shape_of(name, node.input_type["input"])
        elif not isinstance(node, nir.Output):
            _find_shape(work, name, node)
    for name in order:
        if not isinstance(graph.nodes[name], nir.Input | nir.Output):
            _convert(work, name, graph.nodes[name])
    outputs: list[str] = []
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Output):
            sources = work.sources(name)
            if len(sources) != 1:
                raise DataError(f"outputs must have one source, got {sources} of {name!r}")
            outputs.append(work.places.get((sources[0], name), sources[0]))
    if not inputs or not outputs:
        raise DataError(f"graph must have inputs and outputs, got nodes {sorted(graph.nodes)}")
    rename = {name: name.replace(".", "_") for name in [*inputs, *(n.name for n in work.ready)]}
    nodes = [
        replace(n, name=rename[n.name], sources=tuple(rename[s] for s in n.sources))
        for n in work.ready
    ]
    return NirNetwork(
        {rename[name]: shape for name, shape in inputs.items()},
        nodes,
        [rename[name] for name in outputs],
        step_ms,
        _joined(metadata),
    )


def _steps(metadata: dict[str, Any], dt_ms: float | None) -> tuple[float, float]:
    """Seconds of the step that time constants are for, and milliseconds of a real step."""
    if dt_ms is not None:
        if not dt_ms > 0:
            raise DataError(f"dt_ms must be positive, got {dt_ms}")
        return dt_ms * 1e-3, dt_ms
    try:
        return float(metadata["nominal_dt_s"]), float(metadata["dt_ms"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            "dt_ms (--dt-ms) must be given for a file of another library, got none: NIR does not "
            "hold the step; snnTorch writes for 0.1 ms, Norse for the dt that it was told"
        ) from error


def _joined(metadata: dict[str, Any]) -> dict[str, int]:
    """Modalities of one input, as our own files note them."""
    text = str(metadata.get("joined", ""))
    try:
        pairs = [part.rsplit(":", 1) for part in text.split(",") if part]
        return {name: int(size) for name, size in pairs}
    except ValueError as error:
        raise DataError(f"joined must be NAME:SIZE,..., got {text!r}") from error


def _recurrent(graph: Any, edges: list[tuple[str, str]]) -> dict[str, str]:
    """Matrices from a layer of neurons back onto it: their name to the layer's."""
    nir = nir_module()
    found: dict[str, str] = {}
    for name, node in graph.nodes.items():
        into, out = [a for a, b in edges if b == name], [b for a, b in edges if a == name]
        if into == out and len(into) == 1 and isinstance(node, nir.Affine | nir.Linear):
            if not isinstance(graph.nodes[into[0]], nir.LIF | nir.CubaLIF | nir.IF):
                continue
            if into[0] in found.values():
                raise DataError(f"neurons must have at most one recurrence, got two of {into[0]!r}")
            found[name] = into[0]
    return found


def _in_order(nodes: Any, edges: list[tuple[str, str]], left_out: set[str]) -> list[str]:
    """Names such that every node comes after those that lead to it."""
    waiting = {name: {a for a, b in edges if b == name} for name in nodes if name not in left_out}
    order: list[str] = []
    while waiting:
        free = [name for name, before in waiting.items() if before <= set(order)]
        if not free:
            raise DataError(
                f"graph must be without cycles but a matrix from a layer back onto itself, got one "
                f"through {sorted(waiting)}"
            )
        order += free
        for name in free:
            del waiting[name]
    return order


def _find_shape(work: _Importing, name: str, node: Any) -> None:
    """Shape of a node's output, and its neurons."""
    sources = work.sources(name)
    if not sources:
        raise DataError(f"nodes must have a source, got none of {name!r}")
    shapes = {work.shapes[source] for source in sources}
    if len(shapes) != 1:
        raise DataError(f"sources of a node must be of one shape, got {shapes} for {name!r}")
    shape = shapes.pop()
    work.shapes[name] = convert.output_shape(name, node, shape)
    if convert.is_neuron(node):
        loop = work.recurrent.get(name)
        work.neurons[name] = convert.neurons_of(
            name,
            node,
            shape,
            work.dt_s,
            work.step_ms,
            work.tau_scale,
            work.foreign,
            None if loop is None else work.graph.nodes[loop],
        )


def _convert(work: _Importing, name: str, node: Any) -> None:
    """Put a node's layers behind what is ready."""
    nir = nir_module()
    shape = work.shapes[name]
    found = [work.places.get((source, name), source) for source in work.sources(name)]
    if convert.is_neuron(node):
        made = work.neurons[name]
        layer = made.layer
        inside = tuple(_scaled(work, name, source) for source in work.sources(name))
        work.ready.append(Node(name, layer, inside, shape, made.unit))
    elif isinstance(node, nir.Flatten):
        # All is flat here: what follows reads what comes before.
        if len(found) != 1:
            raise DataError(f"Flatten must have one source, got {found} of {name!r}")
        for target in work.targets(name):
            work.places[name, target] = found[0]
    elif isinstance(node, nir.Affine | nir.Linear | nir.Conv2d):
        in_shape = work.shapes[work.sources(name)[0]]
        for number, target in enumerate(work.targets(name)):
            own = name if number == 0 else f"{name}__{target}"
            gain = work.neurons[target].gain if target in work.neurons else None
            layers = convert.synapses_of(name, node, in_shape, gain)
            work.ready.append(Node(own, layers[0], tuple(found), shape))
            if len(layers) > 1:
                work.ready.append(Node(f"{own}__bias", layers[1], (own,), shape))
                own = f"{own}__bias"
            work.places[name, target] = own
    else:
        layer = convert.passing(name, node, work.shapes[work.sources(name)[0]], work.dt_s)
        work.ready.append(Node(name, layer, tuple(found), shape))


def _scaled(work: _Importing, name: str, source: str) -> str:
    """A source of neurons: synapses have the factor in their weights, others get it here."""
    nir = nir_module()
    place = work.places.get((source, name), source)
    start = source
    while isinstance(work.graph.nodes[start], nir.Flatten):
        start = work.sources(start)[0]
    gain = work.neurons[name].gain
    if isinstance(work.graph.nodes[start], nir.Affine | nir.Linear | nir.Conv2d):
        if start == source or torch.allclose(gain, torch.ones_like(gain), rtol=1e-12):
            return place
    elif torch.allclose(gain, torch.ones_like(gain), rtol=1e-12, atol=0):
        return place
    if len(gain) > 8192:
        raise DataError(f"neurons without synapses must be at most 8192, got {len(gain)}: {name!r}")
    layer = EventLinear(1, 1)
    layer.weight = nn.Parameter(torch.diag(gain).float(), requires_grad=False)
    own = f"{name}__from__{source}"
    work.ready.append(Node(own, layer, (place,), work.shapes[name]))
    return own
