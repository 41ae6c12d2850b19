"""Calls of `binning.cu`: event streams to rows of events."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.compaction import Events, compact
from spikefuse.kernels.gpu.sources import Launcher


def bin_events(
    launch: Launcher,
    t_us: Tensor,  # [E], all streams end to end
    x: Tensor,
    y: Tensor,
    polarity: Tensor,
    first: Tensor,  # [B + 1]
    *,
    step_us: float,
    n_steps: int,
    width: int,
    plane: int,
    n_addresses: int,
) -> Events:
    """Events of every step and stream, with their number as amplitude.

    Parameters
    ----------
    t_us : int64, x, y : int16, polarity : bool Tensor[E]
        Each stream sorted by time.
    first : int32 Tensor[B + 1]
        Where each stream starts.
    step_us : float
    n_steps : int
        Every event lies before ``n_steps * step_us``.
    width, plane, n_addresses : int
        Columns of the sensor, addresses of one polarity (0 where polarity is no part of the
        address), and all addresses.
    """
    n_batch, n_events = len(first) - 1, len(t_us)
    shape = (n_steps * n_batch, n_addresses)
    count = torch.zeros(shape, dtype=torch.float32, device=t_us.device)
    if n_events:
        grid, block = shapes.flat(n_events)
        whole_us = int(step_us) if step_us == int(step_us) and step_us < 2**31 else 0
        steps = (float(step_us), whole_us)
        sizes = (width, plane, n_events, n_batch, n_steps, n_addresses)
        arguments = (t_us, x, y, polarity, first, count, *steps, *sizes)
        launch("binning", "sf_bin_events", grid, block, arguments)
    return compact(launch, count)
