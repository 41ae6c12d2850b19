"""Calls of `cross.cu`: sparse synapses that answer an event with a row of taps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.compaction import Events
from spikefuse.kernels.gpu.sources import Launcher


class Edges(NamedTuple):
    """Edges by source, as of `fan.Fan`, with their taps; all on one device.

    Parameters
    ----------
    taps : float32 Tensor[E, K]
    first : int32 Tensor[E]
        Lag of the first tap; every tap lies in ``[0, L - T]``.
    fan_ptr : int32 Tensor[n_in + 1]
    target : int32 Tensor[E]
    n_out : int
    """

    taps: Tensor
    first: Tensor
    fan_ptr: Tensor
    target: Tensor
    n_out: int

    def source(self) -> Tensor:
        """Source of every edge, int32 [E], without waiting for the device."""
        place = torch.arange(len(self.target), dtype=torch.int32, device=self.target.device)
        found = torch.searchsorted(self.fan_ptr, place, right=True, out_int32=True)
        return found - 1

    def by_target(self) -> tuple[Tensor, Tensor]:
        """Where each target's edges start, int32 [n_out + 1], and the edges, by source in each."""
        ordered, edge = self.target.sort(stable=True)
        cut = torch.arange(self.n_out + 1, dtype=torch.int32, device=self.target.device)
        return torch.searchsorted(ordered, cut, out_int32=True), edge.int()


def cross_forward(launch: Launcher, x: Tensor, edges: Edges, out: Tensor) -> None:
    """Add the answers to spikes x [T, B, n_in] to the currents ``out`` [B, n_out, L]."""
    n_steps, n_batch, n_in = x.shape
    if x.numel() and edges.taps.numel():
        grid, block = shapes.warps(n_batch * edges.n_out)
        arrays = (x, edges.taps, edges.first, edges.source(), *edges.by_target(), out)
        sizes = (n_steps, n_batch, n_in, edges.n_out, edges.taps.shape[1], out.shape[2])
        launch("cross", "sf_cross_forward", grid, block, (*arrays, *sizes))


def cross_tap_gradient(
    launch: Launcher,
    columns: Events,
    edges: Edges,
    grad: Tensor,  # [B, n_out, L]
) -> Tensor:
    """Gradient [E, K] of the taps, from the spikes' events by column (rows are ``t * B + b``)."""
    out = torch.empty_like(edges.taps)
    if out.numel():
        n_batch, n_out, length = grad.shape
        grid, block = shapes.rows(*out.shape)
        arrays = (grad, *columns, edges.first, edges.source(), edges.target, out)
        sizes = (n_batch, n_out, out.shape[1], length)
        launch("cross", "sf_cross_tap_grad", grid, block, (*arrays, *sizes))
    return out


def cross_spike_gradient(
    launch: Launcher,
    edges: Edges,
    grad: Tensor,  # [B, n_out, L]
    n_steps: int,
) -> Tensor:
    """Gradient [B, n_in, T] of every spike."""
    n_batch, n_out, length = grad.shape
    n_in, n_taps = len(edges.fan_ptr) - 1, edges.taps.shape[1]
    out = torch.empty((n_batch, n_in, n_steps), dtype=torch.float32, device=grad.device)
    if out.numel():
        grid, block = shapes.rows(n_batch * n_in, n_steps)
        arrays = (grad, edges.taps, edges.first, edges.fan_ptr, edges.target, out)
        sizes = (n_steps, n_in, n_out, n_taps, length)
        launch("cross", "sf_cross_spike_grad", grid, block, (*arrays, *sizes))
    return out
