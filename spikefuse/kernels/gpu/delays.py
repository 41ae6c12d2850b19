"""Calls of `delays.cu`: integer delays of dense steps and of events."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.compaction import Events, empty_bits, listed
from spikefuse.kernels.gpu.sources import Launcher


def delay_dense(launch: Launcher, x: Tensor, ahead: Tensor, n_steps: int) -> Tensor:
    """``out[t, b, n] = x[t + ahead[n], b, n]``, zero where x [T, B, N] has no such step.

    ``ahead`` is int32 [N]; the gradient goes back by the same call with ``-ahead``.
    """
    n_given, n_batch, n = x.shape
    out = x.new_empty(n_steps, n_batch, n)
    if out.numel():
        grid, block = shapes.flat(n_batch * n)
        arguments = (x, ahead, out, n_given, n_batch, n)
        launch("delays", "sf_delay_dense", (grid[0], n_steps, 1), block, arguments)
    return out


def delay_events(
    launch: Launcher, events: Events, ahead: Tensor, n_steps: int, n_batch: int
) -> Events:
    """As `delay_dense`, on events by row; those that land outside are dropped."""
    indptr, index, value = events
    n_rows, n_out = len(indptr) - 1, n_steps * n_batch
    bits = empty_bits(n_out, len(ahead), indptr.device).zero_()
    if len(index) and n_out:
        arguments = (indptr, index, ahead, bits, n_out, n_batch, bits.shape[1])
        launch("delays", "sf_delay_mark", (n_rows, 1, 1), (64, 1, 1), arguments)
    out_ptr, out_index = listed(launch, bits)
    if value is None:
        return out_ptr, out_index, None
    out_value = torch.empty(len(out_index), dtype=torch.float32, device=value.device)
    if len(out_index):
        grid, block = shapes.warps(n_out)
        arrays = (*events, ahead, out_ptr, out_index, out_value)
        launch("delays", "sf_delay_values", grid, block, (*arrays, n_out, n_batch))
    return out_ptr, out_index, out_value
