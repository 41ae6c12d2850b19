"""Synaptic products and their gradients, against float64 matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.gpu import compaction, products
from spikefuse.kernels.gpu.parity.target import (
    Shape,
    Target,
    events_of,
    generator,
    near,
    random_spikes,
    same,
)

# Widths around a warp and around a block; 360 events in a row are more than a stage holds, and
# 1100 columns are more words of bits than a warp has lanes.
SHAPES = [
    Shape(1, 1, 1, 1, 0.5),
    Shape(4, 2, 5, 31, 0.3),
    Shape(7, 3, 70, 32, 0.2),
    Shape(5, 2, 40, 33, 0.3),
    Shape(3, 2, 600, 72, 0.6),
    Shape(2, 2, 9, 260, 0.3),
    Shape(9, 4, 65, 10, 0.1),
    Shape(2, 3, 20, 4, 0.0),
    Shape(2, 1, 1100, 3, 0.1),
]


def _weights(shape: Shape, dtype: torch.dtype) -> Tensor:
    """Random weights [K, N], rounded to ``dtype``."""
    return torch.randn(shape.n_in, shape.n_out, generator=generator(shape)).to(dtype)


def check_products(target: Target, shape: Shape) -> None:
    """Every layout and weight type gives the product; those that add in event order agree."""
    for graded in (False, True):
        spikes = random_spikes(shape, generator(shape, 1), graded=graded)
        events = target.put_events(events_of(spikes))
        for dtype in (torch.float32, torch.bfloat16):
            weight = _weights(shape, dtype)
            want, given = spikes.double() @ weight.double(), target.put(weight)
            got = {"wide1": products.gather(target.launch, *events, given, layout="wide1")}
            if shape.n_out % 4 == 0:
                got["wide4"] = products.gather(target.launch, *events, given, layout="wide4")
            for columns in (4, 32):
                got[f"resident {columns}"] = products.gather(
                    target.launch, *events, given, layout="resident", columns=columns, n_slices=2
                )
            for name, result in got.items():
                near(f"{name} {dtype}", result, want)
                same(f"{name} {dtype}", result, got["wide1"].cpu())
            if shape.n_out <= 32:
                narrow = products.gather(target.launch, *events, given, layout="narrow")
                near(f"narrow {dtype}", narrow, want)


def check_weight_gradient(target: Target, shape: Shape) -> None:
    """The product over events by column, and the one by atomics, are ``spikes^T grad``."""
    random = generator(shape, 2)
    for graded in (False, True):
        spikes = random_spikes(shape, random, graded=graded)
        grad = torch.randn(len(spikes), shape.n_out, generator=random)
        want = spikes.double().t() @ grad.double()
        events, given = target.put_events(events_of(spikes)), target.put(grad)
        columns = compaction.transpose(target.launch, events, shape.n_in)
        near("by column", products.gather(target.launch, *columns, given), want)
        atomic = products.weight_gradient_atomic(target.launch, *events, given, shape.n_in)
        near("by atomics", atomic, want)


def check_site_gradient(target: Target, shape: Shape) -> None:
    """The input's gradient is ``grad weight^T`` at the listed cells and zero elsewhere."""
    random = generator(shape, 3)
    spikes = random_spikes(shape, random)
    grad = torch.randn(len(spikes), shape.n_out, generator=random)
    indptr, index, _ = target.put_events(events_of(spikes))
    for dtype in (torch.float32, torch.bfloat16):
        weight = _weights(shape, dtype)
        want = (grad.double() @ weight.double().t()) * (spikes != 0)
        got = products.site_gradient(
            target.launch, indptr, index, target.put(grad), target.put(weight)
        )
        near(f"sites {dtype}", got, want)
