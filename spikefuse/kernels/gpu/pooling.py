"""Calls of `pooling.cu`: pooled maps and joined trains, as events."""

from __future__ import annotations

import torch

from spikefuse.kernels.gpu import shapes
from spikefuse.kernels.gpu.compaction import Events, compact
from spikefuse.kernels.gpu.sources import Launcher

Pair = tuple[int, int]


def pool(
    launch: Launcher,
    events: Events,
    in_shape: tuple[int, int, int],
    kernel: Pair,
    stride: Pair,
    *,
    largest: bool,
) -> Events:
    """Events of the pooled maps: sums of the windows, or their largest amplitudes."""
    n_rows, (channels, height, width) = len(events[0]) - 1, in_shape
    rows = (height - kernel[0]) // stride[0] + 1
    columns = (width - kernel[1]) // stride[1] + 1
    n_out = channels * rows * columns
    out = torch.empty((n_rows, n_out), dtype=torch.float32, device=events[0].device)
    if out.numel():
        grid, block = shapes.rows(n_rows, n_out)
        sizes = (*in_shape, *kernel, *stride, rows, columns)
        launch("pooling", "sf_pool_windows", grid, block, (*events, out, largest, *sizes))
    return compact(launch, out)


def join(launch: Launcher, left: Events, right: Events, rule: int, n: int) -> Events:
    """Events of two trains brought together by ``rule``, its place in `pooling.RULES`."""
    n_rows = len(left[0]) - 1
    out = torch.empty((n_rows, n), dtype=torch.float32, device=left[0].device)
    if out.numel():
        grid, block = shapes.rows(n_rows, n)
        launch("pooling", "sf_join_cells", grid, block, (*left, *right, out, rule, n))
    return compact(launch, out)
