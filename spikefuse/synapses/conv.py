"""EventConv2d: convolutional synapses driven by spikes, without bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikefuse.kernels.conv import event_conv2d
from spikefuse.spikes import SpikeBatch


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

    def forward(
        self,
        spikes: Tensor | SpikeBatch,
        events: SpikeBatch | None = None,
        active: SpikeBatch | None = None,
    ) -> Tensor:
        """Spikes ``[T, B, C * H * W]`` to currents ``[T, B, C' * H' * W']``.

        Parameters
        ----------
        spikes : Tensor or SpikeBatch, (T, B, C * H * W)
            Only a dense tensor passes a gradient on to the layer before.
        events, active : SpikeBatch, optional
            The non-zero cells of a dense ``spikes``, and the cells that need a gradient: see
            `event_conv2d`.
        """
        return event_conv2d(
            spikes,
            self.weight,
            self.in_shape,
            self.stride,
            self.padding,
            events=events,
            active=active,
        )
