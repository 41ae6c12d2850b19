"""EventConv2d: convolutional synapses driven by spikes, without bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EventConv2d(nn.Module):
    """Two-dimensional convolution of spike maps, step by step, without bias.

    Parameters
    ----------
    in_shape : (C, H, W)
        Shape of one step's input; the module works on flat ``[T, B, C * H * W]``.
    n_channels : int
        Output channels.
    kernel, stride, padding : (rows, columns)
    gain : float
        Standard deviation of the initial weights is ``gain / sqrt(fan-in)``.

    Raises
    ------
    ValueError
        If the kernel does not fit the padded input.
    """

    batch_dim = 1

    def __init__(
        self,
        in_shape: tuple[int, int, int],
        n_channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int] = (0, 0),
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.in_shape, self.stride, self.padding = in_shape, stride, padding
        channels, height, width = in_shape
        rows = (height + 2 * padding[0] - kernel[0]) // stride[0] + 1
        columns = (width + 2 * padding[1] - kernel[1]) // stride[1] + 1
        if rows < 1 or columns < 1:
            raise ValueError(f"kernel must fit the input {in_shape}, got {kernel}")
        self.out_shape = (n_channels, rows, columns)
        fan_in = channels * kernel[0] * kernel[1]
        self.weight = nn.Parameter(torch.randn(n_channels, channels, *kernel) * gain / fan_in**0.5)

    @property
    def n_out(self) -> int:
        """Flat size of one step's output."""
        channels, rows, columns = self.out_shape
        return channels * rows * columns

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes ``[T, B, C * H * W]`` to currents ``[T, B, C' * H' * W']``."""
        n_steps, n_batch, _ = spikes.shape
        maps = spikes.reshape(n_steps * n_batch, *self.in_shape)
        out = torch.nn.functional.conv2d(
            maps, self.weight, stride=self.stride, padding=self.padding
        )
        return out.reshape(n_steps, n_batch, self.n_out)
