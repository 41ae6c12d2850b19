"""Event kernels of a GPU beside torch's dense operations: contenders, and the device's clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from spikefuse.kernels import lif_scan, use_backend
from spikefuse.kernels.gpu.ops import conv, events, products
from spikefuse.kernels.neurons import lif_scan_ref

Run = Callable[[], Any]
Clock = Callable[[Run], float]  # microseconds of one call


@dataclass(frozen=True)
class Sizes:
    """Shape of what is timed: steps, samples, inputs and outputs, side of square maps, channels."""

    n_steps: int = 50
    n_batch: int = 32
    n_in: int = 2312
    n_out: int = 256
    side: int = 32
    channels: int = 16


@dataclass(frozen=True)
class Pair:
    """One operation by events and dense, at one share of active inputs."""

    name: str
    operation: str
    density: float
    ours: Run
    dense: Run


def device_clock(rounds: int = 30) -> Clock:
    """Median time of a call on the GPU, between two events of its stream."""

    event: Any = torch.cuda.Event  # has no types

    def clock(run: Run) -> float:
        for _ in range(3):
            run()
        spans = []
        for _ in range(rounds):
            start, end = (event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            spans.append((start, end))
        torch.cuda.synchronize()
        times_ms: list[float] = [start.elapsed_time(end) for start, end in spans]
        return 1000 * statistics.median(times_ms)

    return clock


def event_pairs(device: str, sizes: Sizes, densities: tuple[float, ...]) -> Iterator[Pair]:
    """Products and convolutions, and the gradients of their weights."""
    random = torch.Generator().manual_seed(0)
    for density in densities:
        yield from _products(device, sizes, density, random)
        yield from _convolutions(device, sizes, density, random)


def neuron_pairs(device: str, sizes: Sizes) -> Iterator[Pair]:
    """A scan in one launch beside a loop of torch over the steps, forward and with gradients."""
    shape = (sizes.n_steps, sizes.n_batch, sizes.n_out)
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device)

    def both(scan: Callable[..., tuple[Tensor, Tensor]], current: Tensor, backward: bool) -> Any:
        spikes, _ = scan(current, 0.9, 1.0)
        if backward:
            torch.autograd.backward(spikes.sum())
        return spikes

    def ours(current: Tensor, backward: bool) -> Any:
        with use_backend("cuda"):
            return both(lif_scan, current, backward)

    yield Pair("lif", "scan", 1.0, lambda: ours(x, False), lambda: both(lif_scan_ref, x, False))
    y = x.clone().requires_grad_()
    yield Pair(
        "lif with gradients",
        "scan",
        1.0,
        lambda: ours(y, True),
        lambda: both(lif_scan_ref, y, True),
    )


def _spikes(shape: tuple[int, ...], density: float, random: torch.Generator) -> Tensor:
    """Random binary spikes."""
    return (torch.rand(shape, generator=random) < density).float()


def _products(device: str, sizes: Sizes, density: float, random: torch.Generator) -> Iterator[Pair]:
    """`event_matmul` and the gradient of its weight, on given events."""
    shape = [sizes.n_steps, sizes.n_batch, sizes.n_in]
    x = _spikes(tuple(shape), density, random).to(device)
    weight = torch.randn(sizes.n_in, sizes.n_out, generator=random).to(device)
    grad = torch.randn(*shape[:2], sizes.n_out, generator=random).to(device)
    batch = events.compact(x)
    given = (None, batch.indptr, batch.index, batch.value)
    rows, grads = x.flatten(0, 1), grad.flatten(0, 1)
    yield Pair(
        "product",
        "product",
        density,
        lambda: products.product(*given, weight, None, None, shape, False),
        lambda: torch.matmul(rows, weight),
    )
    yield Pair(
        "gradient of the weight",
        "product",
        density,
        lambda: products.weight_gradient(*given, grad, shape, False),
        lambda: torch.matmul(rows.t(), grads),
    )


def _convolutions(
    device: str, sizes: Sizes, density: float, random: torch.Generator
) -> Iterator[Pair]:
    """`event_conv2d`, on given events."""
    side, channels = sizes.side, sizes.channels
    in_shape = [2, side, side]
    shape = [sizes.n_steps, sizes.n_batch, 2 * side * side]
    x = _spikes(tuple(shape), density, random).to(device)
    weight = torch.randn(channels, 2, 3, 3, generator=random).to(device)
    batch = events.compact(x)
    given = (None, batch.indptr, batch.index, batch.value)
    maps = x.reshape(-1, *in_shape)
    yield Pair(
        "convolution",
        "conv",
        density,
        lambda: conv.convolved(*given, weight, None, None, shape, in_shape, [1, 1], [1, 1], False),
        lambda: functional.conv2d(maps, weight, padding=1),
    )
