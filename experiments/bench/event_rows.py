"""Rows of what makes and moves events: convolution, compaction, binning, threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from experiments.bench.floor import Floor
from experiments.bench.inputs import random_spikes, random_weight
from experiments.bench.recordings import synthetic_streams
from experiments.bench.rows import OURS, Contender, Row, Setting
from spikefuse.kernels.binning import accumulate_events, bin_events, bin_events_ref
from spikefuse.kernels.compaction import compact, compact_ref, expand
from spikefuse.kernels.conv import event_conv2d
from spikefuse.kernels.products import event_matmul, event_matmul_ref
from spikefuse.spikes import SpikeBatch

_FLOAT = 4
Triple = tuple[int, int, int]
Pair = tuple[int, int]


def event_rows(setting: Setting) -> Iterator[Row]:
    """Convolutions of the recipes, dense to events and back, binning, two threads."""
    n_steps, n_batch = (6, 2) if setting.quick else (35, 32)
    layers: list[tuple[str, Triple, int, Pair, Pair, float]] = [
        ("vision 1", (2, 34, 34), 12, (5, 5), (2, 2), 0.027),
        ("vision 2", (12, 15, 15), 24, (5, 5), (2, 2), 0.05),
        ("audio", (1, 1, 64), 16, (1, 13), (1, 4), 0.37),
    ]
    for name, in_shape, channels, kernel, stride, density in layers[: 1 if setting.quick else 3]:
        n_in = in_shape[0] * in_shape[1] * in_shape[2]
        spikes = random_spikes((n_steps, n_batch, n_in), density)
        generator = torch.Generator().manual_seed(8)
        weight = torch.randn(channels, in_shape[0], *kernel, generator=generator)
        yield from _conv(name, spikes, weight, in_shape, stride)
        if name != "audio":
            yield _conv_input(name, spikes, weight, in_shape, stride)
    shape = (10, 4, 96) if setting.quick else (100, 32, 2312)
    yield _compact(setting, random_spikes(shape, 0.01))
    yield _expand(random_spikes(shape, 0.01))
    yield _bin(35, n_batch)
    if not setting.quick:
        yield _threads((100, 128, 2312))


def _conv(
    name: str, spikes: SpikeBatch, weight: Tensor, in_shape: Triple, stride: Pair
) -> Iterator[Row]:
    """Forward, and the weight's gradient, against torch's convolution."""
    dense = spikes.to_dense()
    maps = dense.view(-1, *in_shape)
    expected = functional.conv2d(maps, weight, stride=stride)
    # True fan-out: an event at the border reaches fewer positions.
    additions = float(functional.conv2d(maps, torch.ones_like(weight), stride=stride).sum())
    facts = {
        "additions": additions,
        "in": list(in_shape),
        "kernel": list(weight.shape),
        "stride": list(stride),
        "shape": list(spikes.shape),
        "density": spikes.density,
    }
    yield Row(
        f"event_conv2d forward, {name}",
        (
            Contender(OURS, lambda: {"current": event_conv2d(spikes, weight, in_shape, stride)}),
            Contender(
                "spikefuse, dense input",
                lambda: {"current": event_conv2d(dense, weight, in_shape, stride)},
            ),
            Contender(
                "torch dense",
                lambda: {"current": functional.conv2d(maps, weight, stride=stride)},
            ),
        ),
        {"current": expected},
        facts=facts,
    )
    leaf = weight.clone().requires_grad_()
    gradient = torch.randn(expected.shape, generator=torch.Generator().manual_seed(9))
    ours = event_conv2d(spikes, leaf, in_shape, stride)
    theirs = functional.conv2d(maps, leaf, stride=stride)
    (wanted,) = torch.autograd.grad(theirs, leaf, gradient, retain_graph=True)
    yield Row(
        f"event_conv2d weight gradient, {name}",
        (
            Contender(OURS, _backward(ours, leaf, gradient.reshape(ours.shape))),
            Contender("torch dense", _backward(theirs, leaf, gradient)),
        ),
        {"gradient": wanted},
        facts=facts,
    )


def _conv_input(
    name: str, spikes: SpikeBatch, weight: Tensor, in_shape: Triple, stride: Pair
) -> Row:
    """Gradient of the input, all of it and at a tenth of the cells."""
    leaf = spikes.to_dense().requires_grad_()
    near = random_spikes(spikes.shape, 0.10, seed=13)
    everywhere = event_conv2d(leaf, weight, in_shape, stride)
    at_active = event_conv2d(leaf, weight, in_shape, stride, active=near)
    theirs = functional.conv2d(leaf.view(-1, *in_shape), weight, stride=stride)
    gradient = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(9))
    (wanted,) = torch.autograd.grad(theirs, leaf, gradient, retain_graph=True)
    flat = gradient.reshape(everywhere.shape)
    return Row(
        f"event_conv2d input gradient, {name}, at 10% of the cells",
        (
            Contender(
                OURS, _backward(at_active, leaf, flat), {"gradient": wanted * near.to_dense()}
            ),
            Contender("spikefuse, all cells", _backward(everywhere, leaf, flat)),
            Contender("torch dense", _backward(theirs, leaf, gradient)),
        ),
        {"gradient": wanted},
        facts={"in": list(in_shape), "shape": list(spikes.shape), "active": near.density},
    )


def _backward(out: Tensor, leaf: Tensor, gradient: Tensor) -> Callable[[], dict[str, Any]]:
    """One backward pass to ``leaf``."""

    def run() -> dict[str, Any]:
        return {"gradient": torch.autograd.grad(out, leaf, gradient, retain_graph=True)[0]}

    return run


def _compact(setting: Setting, spikes: SpikeBatch) -> Row:
    """Dense to events."""
    dense = spikes.to_dense()
    flat = dense.view(-1, dense.shape[2])
    contenders = [
        Contender(OURS, lambda: {"spikes": compact(dense)}),
        Contender("torch nonzero", lambda: {"spikes": compact_ref(dense)}),
    ]
    if "torch.sparse" in setting.peers:
        contenders.append(Contender("torch.sparse", lambda: {"spikes": flat.to_sparse_csr()}))
    if "scipy" in setting.peers:
        contenders.append(Contender("scipy", _scipy_csr(flat)))
    return Row(
        f"dense to events {list(spikes.shape)} at {spikes.density:.1%}",
        tuple(contenders),
        {"spikes": dense},
        floor=Floor(0, dense.numel() * _FLOAT, dense.numel() * _FLOAT),
        facts={"shape": list(spikes.shape), "events": spikes.n_events},
    )


def _scipy_csr(flat: Tensor) -> Callable[[], dict[str, Any]]:
    """SciPy's conversion; its result is made dense by the check only."""
    from scipy.sparse import csr_matrix

    def run() -> dict[str, Any]:
        matrix = csr_matrix(flat.numpy())
        indptr, index = torch.from_numpy(matrix.indptr), torch.from_numpy(matrix.indices)
        return {"spikes": SpikeBatch.trusted(indptr, index, None, (1, *flat.shape))}

    return run


def _expand(spikes: SpikeBatch) -> Row:
    """Events to dense."""
    dense = spikes.to_dense()
    return Row(
        f"events to dense {list(spikes.shape)} at {spikes.density:.1%}",
        (
            Contender(OURS, lambda: {"spikes": expand(spikes)}),
            Contender("torch index", lambda: {"spikes": spikes.to_dense()}),
        ),
        {"spikes": dense},
        floor=Floor(dense.numel() * _FLOAT // 2),
        facts={"shape": list(spikes.shape), "events": spikes.n_events},
    )


def _bin(n_steps: int, n_batch: int) -> Row:
    """Recordings to events per step."""
    dt_ms = 20.0
    streams = synthetic_streams("vision", n_batch, seed=10)
    n = streams[0].n_addresses

    def accumulated() -> dict[str, Any]:
        cells = [
            (s.events["t"] // 20_000 * n_batch + b) * n + s.addresses()
            for b, s in enumerate(streams)
        ]
        return {"spikes": accumulate_events(np.concatenate(cells), (n_steps, n_batch, n))}

    return Row(
        f"bin_events {n_batch} recordings",
        (
            Contender(OURS, lambda: {"spikes": bin_events(streams, dt_ms, n_steps)}),
            Contender("NumPy sort", lambda: {"spikes": bin_events_ref(streams, dt_ms, n_steps)}),
            Contender("torch index_add to dense", accumulated),
        ),
        {"spikes": bin_events_ref(streams, dt_ms, n_steps).to_dense()},
        facts={"events": sum(len(s) for s in streams), "recordings": n_batch, "dt_ms": dt_ms},
    )


def _threads(shape: Triple) -> Row:
    """The same product on one and on two threads, by the wall clock."""
    spikes, weight = random_spikes(shape, 0.02), random_weight(shape[2], 512)

    def on(threads: int) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                return {"current": event_matmul(spikes, weight)}
            finally:
                torch.set_num_threads(before)

        return run

    return Row(
        f"event_matmul {shape[2]} -> 512 at 2.0%, two threads",
        (Contender("two threads", on(2)), Contender("one thread", on(1))),
        {"current": event_matmul_ref(spikes, weight)},
        ("threads",),
        facts={"shape": list(shape), "events": spikes.n_events},
        clock="wall",
    )
