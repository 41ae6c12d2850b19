"""SpikePool: pooling of spike maps, without weights."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor, nn

from spikefuse.kernels.pooling import Mode, Pair, spike_pool
from spikefuse.spikes import SpikeBatch

Spikes = TypeVar("Spikes", SpikeBatch, Tensor)


class SpikePool(nn.Module):
    """Pool the maps of every step over windows: see `spike_pool`.

    Parameters
    ----------
    in_shape : (C, H, W)
        Shape of one step's input; the module works on flat ``[T, B, C * H * W]``.
    kernel, stride : (rows, columns)
        ``stride`` defaults to ``kernel``.
    mode : "sum" or "max"
        Spikes are added up, or a window sends one where any of its cells fired.

    Raises
    ------
    ValueError
        If the window does not fit the maps.
    """

    batch_dim = 1

    def __init__(
        self,
        in_shape: tuple[int, int, int],
        kernel: Pair,
        stride: Pair | None = None,
        mode: Mode = "sum",
    ) -> None:
        super().__init__()
        if mode not in ("sum", "max"):
            raise ValueError(f"mode must be 'sum' or 'max', got {mode!r}")
        self.in_shape, self.kernel, self.mode = in_shape, kernel, mode
        self.stride = kernel if stride is None else stride
        channels, height, wide = in_shape
        if kernel[0] > height or kernel[1] > wide:
            raise ValueError(f"kernel must fit the input {in_shape}, got {kernel}")
        rows = (height - kernel[0]) // self.stride[0] + 1
        columns = (wide - kernel[1]) // self.stride[1] + 1
        self.out_shape = (channels, rows, columns)

    @property
    def n_out(self) -> int:
        """Flat size of one step's output."""
        return math.prod(self.out_shape)

    def forward(self, spikes: Spikes) -> Spikes:
        """Spikes ``[T, B, C * H * W]`` to ``[T, B, C * H' * W']`` of the same kind."""
        return spike_pool(spikes, self.in_shape, self.kernel, self.stride, self.mode)
