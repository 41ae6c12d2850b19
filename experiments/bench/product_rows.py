"""Rows of the event-driven product and its weight gradient, over sizes and densities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.bench.floor import Floor
from experiments.bench.inputs import random_spikes, random_weight
from experiments.bench.rows import OURS, Contender, Row, Setting
from experiments.bench.timing import Samples, spread
from spikefuse.kernels.products import event_matmul, event_matmul_ref
from spikefuse.spikes import SpikeBatch

_N_OUT, _FLOAT = 512, 4
_DENSITIES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.10, 0.20, 0.40, 0.60)
_PROMISED = (0.005, 0.10)


def product_rows(setting: Setting) -> Iterator[Row]:
    """Forward at every density, packing uncached, dense input, then the weight gradient."""
    if setting.quick:
        yield _forward(setting, (10, 4, 96), 0.05, ("product",))
        yield _dweight(setting, (10, 4, 96), 0.05, "dweight")
        yield _dinput((10, 4, 96), 0.05)
        yield _growth((10, 4, 96), (0.02, 0.1, 0.3))
        return
    for n_in in (700, 2312):
        for density in _DENSITIES:
            promised = _PROMISED[0] <= density <= _PROMISED[1]
            targets = ("product", "row_bandwidth") if promised else ("product_never_slower",)
            yield _forward(setting, (100, 32, n_in), density, targets)
    for density in (0.001, 0.005, 0.01, 0.02):
        targets = ("product_far",) if density >= _PROMISED[0] else ("product_never_slower",)
        yield _forward(setting, (100, 32, 32768), density, targets)
    for n_in in (700, 2312):
        for density in (0.01, 0.40):
            yield _from_dense(setting, (100, 32, n_in), density)
    for shape, n_out in [((1, 1, 700), _N_OUT), ((10, 4, 96), _N_OUT), ((35, 32, 128), 10)]:
        yield _from_dense(setting, shape, 0.05, n_out)
    for n_in, density, target in [
        (700, 0.02, ""),
        (2312, 0.005, ""),
        (2312, 0.02, "dweight"),
        (2312, 0.10, ""),
        (32768, 0.005, "dweight_far"),
    ]:
        yield _dweight(setting, (100, 32, n_in), density, target)
    yield _dinput((100, 32, 512), 0.05)
    yield _growth((100, 32, 2312), (0.001, 0.005, 0.01, 0.02, 0.04, 0.07, 0.10))


def _forward(
    setting: Setting, shape: tuple[int, int, int], density: float, targets: tuple[str, ...]
) -> Row:
    """Events in, with the packed weight kept and packed anew, against dense and sparse products."""
    spikes, weight = random_spikes(shape, density), random_weight(shape[2], _N_OUT)
    changed = weight.clone()

    def anew() -> dict[str, Any]:
        changed[0, 0] += 0.0  # counts as a new version: what an optimiser step does
        return {"current": event_matmul(spikes, changed)}

    out_bytes = shape[0] * shape[1] * _N_OUT * _FLOAT
    row_bytes = spikes.n_events * _N_OUT * _FLOAT
    return Row(
        f"event_matmul {shape[2]} -> {_N_OUT} at {density:.1%}",
        (
            Contender(OURS, lambda: {"current": event_matmul(spikes, weight)}),
            Contender("spikefuse, packed anew", anew),
            *_products(setting, spikes, weight),
        ),
        {"current": event_matmul_ref(spikes, weight)},
        targets,
        # Rows come from a tile that fits the second-level cache; the result is written once.
        Floor(out_bytes // 2, row_bytes, 512 << 10),
        {**_facts(spikes), "row_bytes": row_bytes},
    )


def _from_dense(
    setting: Setting, shape: tuple[int, int, int], density: float, n_out: int = _N_OUT
) -> Row:
    """Dense spikes in, so that looking for the events is part of the work."""
    spikes, weight = random_spikes(shape, density), random_weight(shape[2], n_out)
    dense = spikes.to_dense()
    contenders = [
        Contender(OURS, lambda: {"current": event_matmul(dense, weight)}),
        Contender("torch dense", lambda: {"current": dense @ weight}),
    ]
    if "torch.sparse" in setting.peers:
        flat = dense.view(-1, shape[2])
        contenders.append(
            Contender("torch.sparse", lambda: {"current": flat.to_sparse_csr() @ weight})
        )
    return Row(
        f"event_matmul {list(shape)} -> {n_out} at {density:.1%}, dense input",
        tuple(contenders),
        {"current": dense @ weight},
        ("product_never_slower",),
        facts=_facts(spikes),
    )


def _dweight(setting: Setting, shape: tuple[int, int, int], density: float, target: str) -> Row:
    """Backward pass of the product, the weight's gradient only."""
    spikes = random_spikes(shape, density)
    weight = random_weight(shape[2], _N_OUT).requires_grad_()
    gradient = torch.randn(shape[0], shape[1], _N_OUT, generator=torch.Generator().manual_seed(7))
    current = event_matmul(spikes, weight)
    dense, rows = spikes.to_dense().view(-1, shape[2]), gradient.view(-1, _N_OUT)

    def ours() -> dict[str, Any]:
        (grad,) = torch.autograd.grad(current, weight, gradient, retain_graph=True)
        return {"gradient": grad}

    contenders = [
        Contender(OURS, ours),
        Contender("torch dense", lambda: {"gradient": dense.t() @ rows}),
    ]
    if "scipy" in setting.peers:
        matrix = _scipy(spikes)
        numbers = rows.numpy()
        contenders.append(Contender("scipy", lambda: {"gradient": matrix.T @ numbers}))
    row_bytes = spikes.n_events * _N_OUT * _FLOAT
    return Row(
        f"weight gradient {shape[2]} -> {_N_OUT} at {density:.1%}",
        tuple(contenders),
        {"gradient": dense.t() @ rows},
        (target,) if target else (),
        Floor(shape[2] * _N_OUT * _FLOAT // 2, row_bytes, 512 << 10),
        {**_facts(spikes), "row_bytes": row_bytes},
    )


def _dinput(shape: tuple[int, int, int], density: float) -> Row:
    """Gradient of hidden spikes at the cells whose surrogate is not zero."""
    spikes, near = random_spikes(shape, density), random_spikes(shape, 0.10, seed=13)
    weight, leaf = random_weight(shape[2], _N_OUT), spikes.to_dense().requires_grad_()
    gradient = torch.randn(shape[0], shape[1], _N_OUT, generator=torch.Generator().manual_seed(7))
    current = event_matmul(leaf, weight, events=spikes, active=near)

    def ours() -> dict[str, Any]:
        return {"gradient": torch.autograd.grad(current, leaf, gradient, retain_graph=True)[0]}

    return Row(
        f"input gradient {shape[2]} -> {_N_OUT} at 10% of the cells",
        (
            Contender(OURS, ours),
            Contender(
                "torch dense",
                lambda: {"gradient": gradient @ weight.t()},
                {"gradient": gradient @ weight.t()},
            ),
        ),
        {"gradient": (gradient @ weight.t()) * near.to_dense()},
        facts={**_facts(spikes), "active": near.density},
    )


def _products(setting: Setting, spikes: SpikeBatch, weight: Tensor) -> Iterator[Contender]:
    """The same product in other libraries, each with its own format made beforehand."""
    n_in = spikes.shape[2]
    dense = spikes.to_dense().view(-1, n_in)
    yield Contender("torch dense", lambda: {"current": dense @ weight})
    if "torch.sparse" in setting.peers:
        sparse = dense.to_sparse_csr()
        yield Contender("torch.sparse", lambda: {"current": sparse @ weight})
    if "scipy" in setting.peers:
        matrix, numbers = _scipy(spikes), weight.numpy()
        yield Contender("scipy", lambda: {"current": matrix @ numbers})


def _scipy(spikes: SpikeBatch) -> Any:
    """The events as a SciPy matrix."""
    from scipy.sparse import csr_matrix

    ones = np.ones(spikes.n_events, np.float32)
    n_rows = spikes.shape[0] * spikes.shape[1]
    return csr_matrix(
        (ones, spikes.index.numpy(), spikes.indptr.numpy()), shape=(n_rows, spikes.shape[2])
    )


def _growth(shape: tuple[int, int, int], densities: tuple[float, ...]) -> Row:
    """Time over number of events at one size, and the line through it."""
    weight = random_weight(shape[2], _N_OUT)
    batches = {f"{d:.1%}": random_spikes(shape, d) for d in densities}
    counts = {name: spikes.n_events for name, spikes in batches.items()}

    def conclude(samples: Samples) -> dict[str, float]:
        return fit_line({counts[name]: spread(samples[name]).median for name in counts})

    return Row(
        f"event_matmul growth {shape[2]} -> {_N_OUT}",
        tuple(
            Contender(
                name,
                _product_of(spikes, weight),
                {"current": event_matmul_ref(spikes, weight)},
            )
            for name, spikes in batches.items()
        ),
        targets=("growth",),
        facts={"shape": list(shape), "events": counts},
        conclude=conclude,
    )


def _product_of(spikes: SpikeBatch, weight: Tensor) -> Callable[[], dict[str, Any]]:
    """One product by events, never dense."""
    return lambda: {"current": event_matmul(spikes, weight, backend="numba")}


def fit_line(points: dict[int, float]) -> dict[str, float]:
    """Least squares through (events, milliseconds).

    Returns
    -------
    dict
        ``r_squared``, ``intercept_ms`` and ``ns_per_event``.
    """
    x, y = np.array(list(points), float), np.array(list(points.values()))
    slope, intercept = np.polyfit(x, y, 1)
    rest = y - (slope * x + intercept)
    total = float(((y - y.mean()) ** 2).sum())
    return {
        "r_squared": 1.0 - float((rest**2).sum()) / total if total else 1.0,
        "intercept_ms": float(intercept),
        "ns_per_event": float(slope) * 1e6,
    }


def _facts(spikes: SpikeBatch) -> dict[str, Any]:
    """What the input is."""
    return {"shape": list(spikes.shape), "events": spikes.n_events, "density": spikes.density}
