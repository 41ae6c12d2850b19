"""NetworkBuilder: populations and edges, one by one, into the arrays of a `StreamNetwork`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from spikefuse._types import Int64Array
from spikefuse.errors import ConfigError
from spikefuse.events import SensorSize
from spikefuse.kernels import packing
from spikefuse.kernels.stream import (
    ALIF as ALIF_KIND,
)
from spikefuse.kernels.stream import (
    CUBA,
    READOUT,
    StreamNetwork,
    peak_lift,
)
from spikefuse.kernels.stream import (
    LIF as LIF_KIND,
)
from spikefuse.neurons import ALIF, LIF, CubaLIF, LIReadout
from spikefuse.synapses import DelayedLinear, EventConv2d, EventLinear

_BLOCK = 16  # currents of a population are padded to whole vectors
_MOST_SYNAPSES = 1 << 26  # half a gigabyte of a convolution written out
_NEVER = float(np.finfo(np.float32).max)


@dataclass
class _Population:
    """A population while its edges are still coming."""

    kind: int
    subtract: bool
    parameters: Tensor  # [6, n]
    slots: int = 1

    @property
    def size(self) -> int:
        return int(self.parameters.shape[1])


@dataclass
class _Edge:
    """Dense weights ``[n_in, columns]`` or sparse ones, from a source onto a population."""

    source: int
    target: int
    at: int
    delay: int = 0
    weight: Tensor | None = None
    fan: tuple[Tensor, Tensor, Tensor, Tensor] | None = None  # ptr, target, weight, lag


@dataclass(frozen=True)
class Wire:
    """Which module's weights lead from a source onto a population."""

    synapses: nn.Module
    source: int
    target: int


@dataclass
class NetworkBuilder:
    """Collects a network; sources are the inputs by number, then the populations as they are added.

    Parameters
    ----------
    sizes : mapping of modality to sensor size (W, H, P)
    """

    sizes: Mapping[str, SensorSize]
    names: dict[str, int] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    _populations: list[_Population] = field(default_factory=list)
    _edges: list[_Edge] = field(default_factory=list)

    def add(self, name: str, neurons: nn.Module) -> int:
        """A population behind all that are there; its number as a source.

        Raises
        ------
        ConfigError
            If the neurons have no event-driven form.
        """
        population = _population_of(name, neurons)
        source = len(self.sizes) + len(self._populations)
        self.names[name] = len(self._populations)
        self._populations.append(population)
        recurrent = getattr(neurons, "recurrent_weight", None)
        if recurrent is not None:
            self.connect_dense(source, source, recurrent, delay=1)
        return source

    def connect(self, name: str, source: int, target: int, synapse: nn.Module) -> None:
        """Synapses of a kind that the library has.

        Raises
        ------
        ConfigError
            If they are of another one.
        """
        self.wire(source, target, synapse)
        if type(synapse) is EventLinear:
            self.connect_dense(source, target, synapse.weight)
        elif isinstance(synapse, DelayedLinear):
            # Longest first: what arrives in a step is added in the order of its departure.
            wide = torch.split(synapse.synapses.weight, synapse.n_out, dim=1)
            for delay, weight in sorted(
                zip(synapse.delays_steps, wide, strict=True), key=lambda pair: -pair[0]
            ):
                self.connect_dense(source, target, weight, delay=delay)
        elif isinstance(synapse, EventConv2d):
            ptr, to, weight = unrolled(synapse)
            self.connect_sparse(source, target, ptr, to, weight, torch.zeros_like(to))
        else:
            raise ConfigError(
                f"the event engine needs linear, delayed or convolutional synapses, got {name} of "
                f"{type(synapse).__name__}; the stepped engine runs it (engine='stepped')"
            )

    def wire(self, source: int, target: int, synapse: nn.Module) -> None:
        """Note whose weights an edge has, for the count of operations."""
        self.wires.append(Wire(synapse, source, target - len(self.sizes)))

    def connect_dense(
        self, source: int, target: int, weight: Tensor, at: int = 0, delay: int = 0
    ) -> None:
        """Weights ``[n_in, columns]`` onto the neurons from ``at`` on, ``delay`` steps later."""
        self._reserve(target, delay)
        self._edges.append(_Edge(source, target, at, delay, weight.detach().float()))

    def connect_sparse(
        self,
        source: int,
        target: int,
        ptr: Tensor,
        to: Tensor,
        weight: Tensor,
        lag: Tensor,
        at: int = 0,
    ) -> None:
        """Synapses ``ptr[i]`` to ``ptr[i + 1]`` of input i, each with its target and delay."""
        self._reserve(target, int(lag.max()) if len(lag) else 0)
        fan = (ptr.long(), to.int(), weight.detach().float(), lag.int())
        self._edges.append(_Edge(source, target, at, fan=fan))

    def network(self) -> StreamNetwork:
        """What has been collected."""
        populations, neurons = self._population_arrays()
        order = sorted(range(len(self._edges)), key=lambda e: (self._edges[e].source, e))
        edges = [self._edges[e] for e in order]
        rows = np.zeros((len(edges), 8), np.int64)
        tables: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
        fans: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        n_table = n_pointers = n_synapses = 0
        for row, edge in zip(rows, edges, strict=True):
            row[:2] = edge.target - len(self.sizes), edge.at
            if edge.weight is not None:
                n_in, columns = edge.weight.shape
                width = packing.tile_width(n_in, columns)
                table = packing.table_of(edge.weight, 0, memo=False, width=width)
                row[2:] = columns, edge.delay, n_table, table.tile_step, width, -1
                tables.append(table.flat)
                n_table += len(table.flat)
            elif edge.fan is not None:
                row[7] = n_pointers
                ptr, to, weight, lag = edge.fan
                fans.append((ptr + n_synapses, to, weight, lag))
                n_pointers, n_synapses = n_pointers + len(ptr), n_synapses + len(to)
        n_sources = len(self.sizes) + len(self._populations)
        per_source = np.bincount([edge.source for edge in edges], minlength=n_sources)
        ptr, to, weight, lag = (torch.cat(x) for x in zip(_NO_FAN, *fans, strict=True))
        return StreamNetwork(
            np.array([_input_row(size) for size in self.sizes.values()], np.int64),
            populations,
            neurons,
            rows,
            np.concatenate([[0], np.cumsum(per_source)]).astype(np.int64),
            np.concatenate([np.zeros(0, np.float32), *tables]),
            ptr.numpy(),
            to.numpy(),
            lag.numpy(),
            weight.numpy(),
        )

    def _reserve(self, target: int, delay: int) -> None:
        population = self._populations[target - len(self.sizes)]
        population.slots = max(population.slots, delay + 1)

    def _population_arrays(
        self,
    ) -> tuple[Int64Array, np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
        rows = np.zeros((len(self._populations), 8), np.int64)
        neurons: list[Tensor] = []
        first = ring = flags = 0
        for row, p in zip(rows, self._populations, strict=True):
            padded = -(-p.size // _BLOCK) * _BLOCK
            row[:] = p.kind, first, p.size, padded, ring, p.slots, p.subtract, flags
            filler = torch.zeros(6, padded - p.size)
            filler[2] = _NEVER
            neurons += [p.parameters, filler]
            first, ring, flags = first + padded, ring + padded * p.slots, flags + p.slots
        return rows, torch.cat(neurons, 1).numpy()


def unrolled(layer: EventConv2d) -> tuple[Tensor, Tensor, Tensor]:
    """A convolution as sparse synapses: pointers [n_in + 1], targets and weights [E].

    Raises
    ------
    ConfigError
        If it has too many of them to be written out.
    """
    weight = layer.weight.detach()
    n_channels, channels, *kernel = weight.shape
    _, rows, columns = layer.out_shape
    _, height, width = layer.in_shape
    n_most = rows * columns * weight.numel()
    if n_most > _MOST_SYNAPSES:
        raise ConfigError(
            f"a convolution must have at most {_MOST_SYNAPSES} synapses for the event engine, got "
            f"{n_most}; the stepped engine runs it (engine='stepped')"
        )
    source, target, used = [], [], []
    place = torch.arange(rows * columns).view(rows, columns)
    for y in range(kernel[0]):
        for x in range(kernel[1]):
            down = torch.arange(rows) * layer.stride[0] - layer.padding[0] + y
            across = torch.arange(columns) * layer.stride[1] - layer.padding[1] + x
            inside = ((down >= 0) & (down < height))[:, None] & ((across >= 0) & (across < width))
            pixel = (down[:, None] * width + across)[inside]
            to = place[inside]
            for c in range(channels):
                source.append((c * height * width + pixel)[:, None].expand(-1, n_channels))
                target.append(to[:, None] + torch.arange(n_channels) * (rows * columns))
                used.append(weight[:, c, y, x].expand(len(to), -1))
    flat = torch.cat([x.flatten() for x in source])
    order = torch.argsort(flat, stable=True)
    ptr = torch.zeros(channels * height * width + 1, dtype=torch.int64)
    ptr[1:] = torch.bincount(flat, minlength=len(ptr) - 1).cumsum(0)
    targets, weights = (torch.cat([x.flatten() for x in part])[order] for part in (target, used))
    return ptr, targets.int(), weights


_NO_FAN = (
    torch.zeros(0, dtype=torch.int64),
    torch.zeros(0, dtype=torch.int32),
    torch.zeros(0),
    torch.zeros(0, dtype=torch.int32),
)


def _input_row(size: SensorSize) -> tuple[int, int, int]:
    """Addresses, width and plane of a sensor."""
    width, height, polarities = size
    return width * height * polarities, width, width * height if polarities > 1 else 0


def _population_of(name: str, neurons: nn.Module) -> _Population:
    """Kind and parameters of neurons."""
    if isinstance(neurons, LIReadout):
        beta = torch.sigmoid(neurons.beta_logit).detach()
        return _Population(READOUT, False, _table(beta, alpha=1.0 - beta))
    if not isinstance(neurons, LIF | CubaLIF | ALIF):
        raise ConfigError(
            f"the event engine needs LIF, CubaLIF or ALIF neurons, got {name} of "
            f"{type(neurons).__name__}; the stepped engine runs it (engine='stepped')"
        )
    p, beta = neurons.params, neurons.beta().detach()
    if not p.threshold > 0:
        raise ConfigError(
            f"threshold must be positive for the event engine, got {p.threshold} of {name}"
        )
    subtract = p.reset == "subtract"
    if isinstance(neurons, CubaLIF):
        alpha = neurons.alpha().detach()
        lift = torch.from_numpy(peak_lift(alpha.numpy(), beta.numpy()))
        return _Population(CUBA, subtract, _table(beta, p.threshold, alpha=alpha, peak=lift))
    if isinstance(neurons, ALIF):
        if neurons.params.kappa < 0:
            raise ConfigError(
                f"kappa must be >= 0 for the event engine, got {neurons.params.kappa} of {name}"
            )
        rho, kappa = neurons.rho().detach(), neurons.params.kappa
        return _Population(ALIF_KIND, subtract, _table(beta, p.threshold, kappa=kappa, rho=rho))
    return _Population(LIF_KIND, subtract, _table(beta, p.threshold))


def _table(
    beta: Tensor,
    threshold: float = 0.0,
    *,
    alpha: Tensor | float = 0.0,
    kappa: float = 0.0,
    rho: Tensor | float = 0.0,
    peak: Tensor | float = 0.0,
) -> Tensor:
    """Parameters as rows [6, n], in the order of `spikefuse.kernels.stream`."""
    rows = torch.zeros(6, len(beta))
    for row, value in zip(rows, (alpha, beta, threshold, kappa, rho, peak), strict=True):
        row[:] = value
    return rows
