"""NirNetwork: a graph of our layers, the middle form between a model and a NIR file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.neurons import LIF, CubaLIF, LIReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import DelayedLinear, SpikeDelay

Inputs = SpikeBatch | Tensor | Mapping[str, SpikeBatch | Tensor]
Shape = tuple[int, ...]

NEURONS = (LIF, CubaLIF, LIReadout)
_STATEFUL = (*NEURONS, DelayedLinear, SpikeDelay)


@dataclass(frozen=True)
class Node:
    """One layer of a graph.

    Parameters
    ----------
    name : str
        Without dots.
    layer : nn.Module
        Of `spikefuse.neurons` or `spikefuse.synapses`.
    sources : tuple of str
        Names of inputs or earlier nodes; what they send is added up.
    shape : tuple of int
        Of one step of its output, such as (C, H, W) of maps.
    unit : Tensor[N], optional
        What 1 of a neuron's membrane is in the file that it came from, where thresholds differ.
    """

    name: str
    layer: nn.Module
    sources: tuple[str, ...]
    shape: Shape
    unit: Tensor | None = None

    @property
    def size(self) -> int:
        """Addresses of its output."""
        return math.prod(self.shape)


class NirNetwork(nn.Module):
    """Layers of ours in a graph without cycles but those inside a recurrent layer.

    It is time-major, its state is a value, and it can be counted, and serve as an encoder of a
    `FusionSNN` where it has one input and one output.

    Parameters
    ----------
    inputs : mapping of name to shape of one step
    nodes : sequence of Node
        Each after its sources.
    outputs : sequence of str
        Names of nodes.
    dt_ms : float
        Length of a step.
    joined : mapping of modality to its number of addresses, optional
        What the one input consists of, side by side.

    Raises
    ------
    ValueError
        If a name repeats or a source comes later or is not there.
    """

    batch_dim = 1

    def __init__(
        self,
        inputs: Mapping[str, Shape],
        nodes: Sequence[Node],
        outputs: Sequence[str],
        dt_ms: float,
        joined: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        known = set(inputs)
        for node in nodes:
            missing = [name for name in node.sources if name not in known]
            if missing or not node.sources or node.name in known:
                raise ValueError(
                    f"nodes must have distinct names and come after their sources, got "
                    f"{node.name!r} of {list(node.sources)}"
                )
            known.add(node.name)
        if not outputs or any(name not in known for name in outputs):
            raise ValueError(f"outputs must be names of nodes, got {list(outputs)}")
        self.inputs = dict(inputs)
        self.nodes = {node.name: node for node in nodes}
        self.outputs, self.dt_ms = tuple(outputs), dt_ms
        self.joined = dict(joined or {})
        self.layers = nn.ModuleDict({_key(node.name): node.layer for node in nodes})

    @property
    def n_out(self) -> int:
        """Addresses of all outputs together."""
        return sum(
            self.nodes[name].size if name in self.nodes else math.prod(self.inputs[name])
            for name in self.outputs
        )

    def forward(
        self, inputs: Inputs, state: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Spikes (T, B, N), of each input by name if there are several, to output and state.

        Returns
        -------
        out : Tensor[T, B, n_out]
            Spikes, or membranes of a readout; of several outputs side by side.
        state : dict
            Of every layer that has one, by the name of its node.

        Raises
        ------
        ValueError
            If an input is missing or of another size.
        """
        sent, after = self.run(inputs, state)
        out = [_dense(sent[name]) for name in self.outputs]
        return out[0] if len(out) == 1 else torch.cat(out, dim=2), after

    def run(
        self, inputs: Inputs, state: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, SpikeBatch | Tensor], dict[str, Any]]:
        """As `forward`, with what every input and node sends."""
        sent: dict[str, SpikeBatch | Tensor] = self._given(inputs)
        after: dict[str, Any] = {}
        for name, node in self.nodes.items():
            parts = [sent[source] for source in node.sources]
            whole = parts[0] if len(parts) == 1 else _total(parts)
            if isinstance(node.layer, NEURONS):
                whole = _dense(whole)
            if isinstance(node.layer, _STATEFUL):
                before = None if state is None else state[name]
                sent[name], after[name] = node.layer(whole, before)
            else:
                sent[name] = node.layer(whole)
        return sent, after

    def _given(self, inputs: Inputs) -> dict[str, SpikeBatch | Tensor]:
        """Spikes of every input, checked."""
        names = list(self.inputs)
        if not isinstance(inputs, Mapping):
            if len(names) > 1:
                raise ValueError(f"inputs must be a mapping of {names}, got one tensor")
            given: dict[str, SpikeBatch | Tensor] = {names[0]: inputs}
        elif set(inputs) >= set(names):
            given = {name: inputs[name] for name in names}
        elif self.joined and set(inputs) >= set(self.joined):
            parts = [_dense(inputs[name]) for name in self.joined]
            given = {names[0]: torch.cat(parts, dim=2)}
        else:
            raise ValueError(f"inputs must hold {list(self.joined) or names}, got {sorted(inputs)}")
        for name, shape in self.inputs.items():
            size = tuple(given[name].shape)
            if len(size) != 3 or size[2] != math.prod(shape):
                raise ValueError(f"inputs[{name!r}] must be (T, B, {math.prod(shape)}), got {size}")
        return given


def _key(name: str) -> str:
    """A name that a ModuleDict takes."""
    return f"{name}_" if hasattr(nn.ModuleDict(), name) else name


def _dense(spikes: SpikeBatch | Tensor) -> Tensor:
    return spikes.to_dense() if isinstance(spikes, SpikeBatch) else spikes


def _total(parts: Sequence[SpikeBatch | Tensor]) -> Tensor:
    return torch.stack([_dense(part) for part in parts]).sum(0)
