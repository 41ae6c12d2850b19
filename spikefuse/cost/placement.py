"""Where neurons sit on a mesh of cores, and what their spikes then travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from spikefuse.cost.contractions import Convolution


@dataclass(frozen=True)
class Traffic:
    """Messages of every input of a layer, and whom they reach.

    Parameters
    ----------
    sent : float64 Tensor[K], or [C, ...] of a convolution
        Messages over all samples.
    weight : Tensor[K, N], or that of a convolution
        Weights of zero reach nobody.
    options : Convolution, optional
    """

    sent: Tensor
    weight: Tensor
    options: Convolution | None = None

    def joined(self, other: Traffic) -> Traffic:
        """Messages of both; they must be of one layer.

        Raises
        ------
        ValueError
            If they are of layers of different sizes.
        """
        if self.sent.shape != other.sent.shape:
            raise ValueError(
                "a path under a placement must have one set of weights, got inputs of "
                f"{tuple(self.sent.shape)} and {tuple(other.sent.shape)}"
            )
        return replace(self, sent=self.sent + other.sent)

    @property
    def out_shape(self) -> torch.Size:
        """Of the neurons that are reached."""
        if self.options is None:
            return self.weight.shape[1:]
        return self.options.of(torch.zeros(1, *self.sent.shape), self.weight.float()).shape[1:]

    def reaches(self, neurons: slice) -> Tensor:
        """Whether each input has a synapse on any of these neurons, bool, flat."""
        if self.options is None:
            return (self.weight[:, neurons] != 0).any(1)
        there = torch.zeros(self.out_shape, dtype=torch.float64)
        there.view(-1)[neurons] = 1
        used = (self.weight != 0).double()
        return self.options.fan_out(self.sent.shape, used, there).flatten() > 0


@dataclass(frozen=True)
class Mesh:
    """Tiles in rows and columns, each of some cores; messages go along a row, then a column.

    Parameters
    ----------
    columns, rows : int
    cores_per_tile : int
    order : "columns" or "rows"
        Whether tiles are numbered down the columns or along the rows.

    Raises
    ------
    ValueError
        If a number is below 1 or the order is unknown.
    """

    columns: int
    rows: int
    cores_per_tile: int = 1
    order: Literal["columns", "rows"] = "rows"

    def __post_init__(self) -> None:
        if min(self.columns, self.rows, self.cores_per_tile) < 1:
            raise ValueError(
                "columns, rows and cores_per_tile must be at least 1, got "
                f"{(self.columns, self.rows, self.cores_per_tile)}"
            )
        if self.order not in ("columns", "rows"):
            raise ValueError(f"order must be 'columns' or 'rows', got {self.order!r}")

    @property
    def n_cores(self) -> int:
        """Cores of all tiles."""
        return self.columns * self.rows * self.cores_per_tile

    def hops(self, source: int, target: int) -> tuple[int, int]:
        """Links between two cores, along the row and along the column."""
        (x0, y0), (x1, y1) = self._tile(source), self._tile(target)
        return abs(x1 - x0), abs(y1 - y0)

    def _tile(self, core: int) -> tuple[int, int]:
        """Column and row of a core's tile."""
        tile = core // self.cores_per_tile
        if self.order == "columns":
            return tile // self.rows, tile % self.rows
        return tile % self.columns, tile // self.columns


@dataclass(frozen=True)
class Placement:
    """Which cores hold which neurons, and between whom each counted path runs.

    A spike is one message to every core that holds a neuron it drives.

    Parameters
    ----------
    mesh : Mesh
    cores : mapping of population to its cores
        Its neurons are split over them evenly and in order. The sender of the first layer's
        inputs is a population as well, on the core where they enter.
    links : mapping of path to (population that sends, population that receives)

    Raises
    ------
    ValueError
        If a core is not on the mesh, a population has none, or a link names an unknown one.
    """

    mesh: Mesh
    cores: Mapping[str, tuple[int, ...]]
    links: Mapping[str, tuple[str, str]]

    def __post_init__(self) -> None:
        for name, cores in self.cores.items():
            if not cores or not all(0 <= core < self.mesh.n_cores for core in cores):
                raise ValueError(
                    f"cores of {name!r} must be some of 0 to {self.mesh.n_cores - 1}, got {cores}"
                )
        for path, ends in self.links.items():
            if any(name not in self.cores for name in ends):
                raise ValueError(
                    f"links[{path!r}] must name two of {sorted(self.cores)}, got {ends}"
                )

    @classmethod
    def in_order(
        cls,
        mesh: Mesh,
        sizes: Mapping[str, int],
        links: Mapping[str, tuple[str, str]],
        neurons_per_core: int,
    ) -> Placement:
        """Fill the cores one population after another, no core with two of them.

        Raises
        ------
        ValueError
            If the mesh has too few cores.
        """
        cores: dict[str, tuple[int, ...]] = {}
        used = 0
        for name, size in sizes.items():
            n = -(-size // neurons_per_core)
            cores[name] = tuple(range(used, used + n))
            used += n
        if used > mesh.n_cores:
            raise ValueError(f"mesh must have at least {used} cores, got {mesh.n_cores}")
        return cls(mesh, cores, links)

    def route(self, path: str, traffic: Traffic) -> dict[str, int]:
        """Messages between cores and their hops, as fields of `PathCounts`.

        Raises
        ------
        ValueError
            If the path is not among the links.
        """
        if path not in self.links:
            raise ValueError(f"links must name the path {path!r}, got {sorted(self.links)}")
        source, target = (self.cores[name] for name in self.links[path])
        sent = traffic.sent.flatten()
        n_out = traffic.out_shape.numel()
        found = {"core_messages": 0, "hops_ew": 0, "hops_ns": 0}
        for core_to, neurons in zip(target, _blocks(n_out, len(target)), strict=True):
            delivered = sent * traffic.reaches(neurons)
            for core_from, senders in zip(source, _blocks(len(sent), len(source)), strict=True):
                n = int(delivered[senders].sum())
                ew, ns = self.mesh.hops(core_from, core_to)
                found["core_messages"] += n
                found["hops_ew"] += n * ew
                found["hops_ns"] += n * ns
        return found


def _blocks(n: int, n_cores: int) -> list[slice]:
    """Neurons of each core: equal shares in order, the last one smaller."""
    share = -(-n // n_cores)
    return [slice(i * share, min((i + 1) * share, n)) for i in range(n_cores)]
