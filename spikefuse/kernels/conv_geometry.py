"""Sizes of a convolution and the layouts that its event kernels read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

from spikefuse._types import Int64Array
from spikefuse.kernels import eager
from spikefuse.spikes import SpikeBatch

Pair = tuple[int, int]
Ints = npt.NDArray[np.int32]

# A GPU's block keeps a sum for every column of a line and 32 channels in 48 KiB.
GPU_COLUMNS = 48 * 1024 // (4 * 32)


@dataclass(frozen=True)
class ConvGeometry:
    """Sizes of one convolution: input maps, kernel and what follows from them."""

    in_shape: tuple[int, int, int]
    n_channels: int
    kernel: Pair
    stride: Pair
    padding: Pair

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(C_out, H', W')."""
        return self.n_channels, self._positions(0), self._positions(1)

    @property
    def n_in(self) -> int:
        """Flat size of the input maps."""
        return math.prod(self.in_shape)

    @property
    def n_out(self) -> int:
        """Flat size of the output maps."""
        return math.prod(self.out_shape)

    @property
    def width(self) -> int:
        """Channels padded to whole vectors of 8 floats."""
        return -(-self.n_channels // 8) * 8

    @property
    def patch(self) -> Pair:
        """Most output positions that one input reaches, down and across."""
        return -(-self.kernel[0] // self.stride[0]), -(-self.kernel[1] // self.stride[1])

    @property
    def grid(self) -> Pair:
        """Positions with the rim of those that an input at the border would reach."""
        return self._grid_length(0), self._grid_length(1)

    def too_large_for_gpu(self) -> str | None:
        """Why the event kernel of a GPU cannot hold a line of output in shared memory, or None."""
        columns = self.out_shape[2]
        if columns <= GPU_COLUMNS:
            return None
        return f"it needs output maps of at most {GPU_COLUMNS} columns, got {columns}"

    def _positions(self, axis: int) -> int:
        """Output positions along an axis."""
        room = self.in_shape[1 + axis] + 2 * self.padding[axis] - self.kernel[axis]
        return room // self.stride[axis] + 1

    def _grid_length(self, axis: int) -> int:
        """Length of the grid along an axis."""
        last = (self.in_shape[1 + axis] - 1 + self.padding[axis]) // self.stride[axis]
        return max(last + 1, self._positions(axis)) + self.patch[axis] - 1

    @property
    def run(self) -> int:
        """Floats in one line of a patch."""
        return self.patch[1] * self.width

    @cached_property
    def sizes(self) -> Int64Array:
        """What the kernels read."""
        line, lanes = self.grid[1] * self.width, 16 if self.width % 16 == 0 else 8
        n_grid = self.grid[0] * line
        sizes = [self.patch[0], self.run, self.width, lanes, self.n_channels, n_grid, line]
        return np.array(sizes, np.int64)

    @cached_property
    def place(self) -> Ints:
        """Where the sums of each output position lie in the grid."""
        y, x = np.indices(self.out_shape[1:])
        down, across = y + self.patch[0] - 1, x + self.patch[1] - 1
        place: Ints = ((down * self.grid[1] + across) * self.width).astype(np.int32).reshape(-1)
        return place

    @cached_property
    def reach(self) -> Ints:
        """First position in the grid, and patch, of every address, end to end."""
        channel, y, x = np.indices(self.in_shape)
        down, down_phase = np.divmod(y + self.padding[0], self.stride[0])
        across, across_phase = np.divmod(x + self.padding[1], self.stride[1])
        position = down * self.grid[1] + across
        phase = (channel * self.stride[0] + down_phase) * self.stride[1] + across_phase
        return np.stack([position, phase], -1).astype(np.int32).reshape(-1)

    def patches_of(self, weight: Tensor) -> Tensor:
        """The kernel as one patch ``[down, across, width]`` per input channel and phase, flat.

        An input of phase p meets the taps p, p + stride, ... from its last position backwards.
        """
        (down, across), (sy, sx) = self.patch, self.stride
        last = weight.detach().permute(1, 2, 3, 0)
        gap = (self.width - self.n_channels, across * sx - last.shape[2], down * sy - last.shape[1])
        padded = functional.pad(last, (0, gap[0], 0, gap[1], 0, gap[2]))
        split = padded.reshape(-1, down, sy, across, sx, self.width).flip(1, 3)
        return split.permute(0, 2, 4, 1, 3, 5).reshape(-1)

    def weight_of(self, patches: Tensor) -> Tensor:
        """The kernel ``[C_out, C_in, kh, kw]`` from its patches: `patches_of` undone."""
        (down, across), (sy, sx) = self.patch, self.stride
        split = patches.view(-1, sy, sx, down, across, self.width).permute(0, 3, 1, 4, 2, 5)
        padded = split.flip(1, 3).reshape(-1, down * sy, across * sx, self.width)
        cut = padded[:, : self.kernel[0], : self.kernel[1], : self.n_channels]
        return cut.permute(3, 0, 1, 2)


@lru_cache(maxsize=256)
def geometry_of(
    in_shape: tuple[int, int, int], n_channels: int, kernel: Pair, stride: Pair, padding: Pair
) -> ConvGeometry:
    """The sizes of a convolution, kept with their tables for the next call."""
    return ConvGeometry(in_shape, n_channels, kernel, stride, padding)


def geometry_from(
    weight_shape: Any, in_shape: list[int], stride: list[int], padding: list[int]
) -> ConvGeometry:
    """The sizes from what an operator is given."""
    n_channels, _, rows, columns = (int(n) for n in weight_shape)
    shape = (in_shape[0], in_shape[1], in_shape[2])
    make = ConvGeometry if eager.tracing() else geometry_of  # a tracer cannot see through a cache
    return make(
        shape, n_channels, (rows, columns), (stride[0], stride[1]), (padding[0], padding[1])
    )


def checked(
    spikes: SpikeBatch | Tensor,
    weight: Tensor,
    in_shape: tuple[int, int, int],
    stride: Pair,
    padding: Pair,
    events: SpikeBatch | None,
    active: SpikeBatch | None,
) -> ConvGeometry:
    """Sizes of the convolution, once everything fits together."""
    if len(in_shape) != 3 or min(in_shape) < 1:
        raise ValueError(f"in_shape must be (C, H, W) of at least 1 each, got {tuple(in_shape)}")
    if weight.ndim != 4 or weight.shape[1] != in_shape[0] or 0 in weight.shape:
        raise ValueError(
            f"weight must be [C_out, {in_shape[0]}, kh, kw], got shape {tuple(weight.shape)}"
        )
    if len(stride) != 2 or min(stride) < 1:
        raise ValueError(f"stride must be two numbers of at least 1, got {stride}")
    if len(padding) != 2 or min(padding) < 0:
        raise ValueError(f"padding must be two numbers of at least 0, got {padding}")
    geometry = geometry_from(weight.shape, list(in_shape), list(stride), list(padding))
    if min(geometry.out_shape) < 1:
        raise ValueError(
            f"weight must fit the padded input {tuple(in_shape)}, got a kernel of "
            f"{tuple(weight.shape[2:])} with padding {tuple(padding)}"
        )
    shape = tuple(spikes.shape)
    if len(shape) != 3 or shape[2] != geometry.n_in:
        raise ValueError(f"spikes must be [T, B, {geometry.n_in}], got shape {shape}")
    if isinstance(spikes, Tensor) and (spikes.dtype, spikes.device) != (
        weight.dtype,
        weight.device,
    ):
        raise ValueError(
            f"spikes must be {weight.dtype} on {weight.device} as weight is, got "
            f"{spikes.dtype} on {spikes.device}"
        )
    for name, batch in (("events", events), ("active", active)):
        if batch is None:
            continue
        if isinstance(spikes, SpikeBatch):
            raise ValueError(f"{name} must be None with a SpikeBatch, got a second SpikeBatch")
        if tuple(batch.shape) != shape:
            raise ValueError(f"{name} must be of shape {shape}, got {batch.shape}")
    return geometry
