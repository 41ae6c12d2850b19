"""Public operations on backend "cuda": the CPU backend's values and gradients, run by emulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spikefuse.errors import BackendError
from spikefuse.kernels import (
    alif_scan,
    bin_events,
    compact,
    cuba_lif_scan,
    delay,
    event_conv2d,
    event_matmul,
    expand,
    li_scan,
    lif_scan,
    recurrent_lif_scan,
    registry,
    spike_join,
    spike_pool,
    trace_scan,
    use_backend,
)
from spikefuse.kernels.coincidence import coincidence, coincidence_trace
from spikefuse.kernels.conv_geometry import GPU_COLUMNS
from spikefuse.kernels.cross import Fan, cross_currents
from spikefuse.kernels.fused import fused_event_li, fused_event_lif
from spikefuse.kernels.fused_conv import fused_conv_lif
from spikefuse.kernels.fused_delay import fused_delayed_lif
from spikefuse.kernels.gpu import launch
from spikefuse.kernels.gpu.conv import MAX_COLUMNS
from spikefuse.spikes import SpikeBatch

from .rungs import shared_emulator

T, B, N = 19, 3, 37


@pytest.fixture(autouse=True)
def _emulated() -> Iterator[None]:
    with launch.using(shared_emulator("shuffled")):
        yield


def spikes_of(*shape: int, seed: int = 0, density: float = 0.2, graded: bool = False) -> Tensor:
    """Random spikes with a silent step."""
    random = torch.Generator().manual_seed(seed)
    x = (torch.rand(*shape, generator=random) < density).float()
    x[1] = 0
    return x * torch.randint(1, 4, shape, generator=random) if graded else x


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers, with a gradient."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def tensors_in(result: Any) -> list[Tensor]:
    """All tensors of an operation's result."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, SpikeBatch):
        return [result.to_dense()]
    return [tensor for part in result for tensor in tensors_in(part)]


def values_and_gradients(
    run: Callable[..., Any], inputs: list[Any], backend: str
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Results on a backend, and gradients of a fixed random sum of them."""
    fresh = [
        x.detach().clone().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x
        for x in inputs
    ]
    with use_backend(backend):
        out = tensors_in(run(*fresh))
        random = torch.Generator().manual_seed(5)
        loss = sum((x * torch.randn(x.shape, generator=random)).sum() for x in out)
        if isinstance(loss, Tensor) and loss.requires_grad:
            loss.backward()
    gradients = [x.grad if isinstance(x, Tensor) else None for x in fresh]
    return [x.detach() for x in out], gradients


SCANS = {
    "lif": lambda x, b, t, v: lif_scan(x, b, t, v0=v, reset="subtract"),
    "lif detached": lambda x, b, t, v: lif_scan(x, b, t, v0=v, detach_reset=True),
    "cuba": lambda x, b, t, v: cuba_lif_scan(x, 0.7, b, t, v0=v),
    "alif": lambda x, b, t, v: alif_scan(x, b, t, 0.9, 0.3, v0=v),
    "readout": lambda x, b, t, v: li_scan(x, b, v),
    "trace": lambda x, b, t, v: trace_scan(x, b, v),
}


@pytest.mark.parametrize("per_neuron", [True, False])
@pytest.mark.parametrize("name", SCANS)
def test_scans_give_the_bits_of_the_cpu(name: str, per_neuron: bool) -> None:
    shape = (N,) if per_neuron else ()
    beta, theta = torch.full(shape, 0.8), torch.full(shape, 0.6)
    inputs = [normal(T, B, N), beta.requires_grad_(), theta.requires_grad_(), normal(B, N, seed=1)]
    check(SCANS[name], inputs)


@pytest.mark.parametrize("wants_weight", [True, False])
def test_recurrent_layers_give_the_cpus_values_and_gradients(wants_weight: bool) -> None:
    weight = (0.3 * normal(N, N, seed=2)).detach().requires_grad_(wants_weight)
    inputs = [normal(T, B, N), torch.full((N,), 0.8).requires_grad_(), weight]
    check(lambda x, b, w: recurrent_lif_scan(x, b, 0.6, w), inputs)
    first = spikes_of(T, B, N, seed=3)[0]
    check(lambda x, b, w: cuba_lif_scan(x, 0.5, b, 0.6, recurrent=w, s0=first), inputs)


@pytest.mark.parametrize("graded", [True, False])
@pytest.mark.parametrize("n_out", [5, 33, 64])
def test_products_give_the_cpus_values_and_gradients(n_out: int, graded: bool) -> None:
    dense, weight = spikes_of(T, B, N, graded=graded), normal(N, n_out)
    check(event_matmul, [compact(dense), weight])
    check(event_matmul, [dense.requires_grad_(), weight])
    active = compact(spikes_of(T, B, N, seed=4))
    check(lambda x, w: event_matmul(x, w, active=active), [dense, weight])


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_give_the_cpus_values_and_gradients(stride: int) -> None:
    dense, weight = spikes_of(5, 2, 3 * 6 * 7), normal(5, 3, 3, 2)
    active = compact(spikes_of(5, 2, 3 * 6 * 7, seed=4))
    sizes: tuple[Any, ...] = ((3, 6, 7), (stride, stride), (1, 0))
    check(lambda x, w: event_conv2d(x, w, *sizes), [compact(dense), weight])
    check(lambda x, w: event_conv2d(x, w, *sizes), [dense.requires_grad_(), weight])
    check(lambda x, w: event_conv2d(x, w, *sizes, active=active), [dense, weight])


@pytest.mark.parametrize("saturating", [True, False])
def test_coincidence_gives_the_cpus_values_and_gradients(saturating: bool) -> None:
    dense, weight, window = spikes_of(T, B, N), normal(N, 9), normal(T, B, 9, seed=1)
    check(
        lambda x, w, z: coincidence(x, w, z, saturating=saturating),
        [dense.requires_grad_(), weight, window],
    )
    opener, beta = spikes_of(T, B, 8, seed=2), torch.full((9,), 0.8)
    fixed = [compact(dense.detach()), weight.detach(), opener, normal(8, 9).detach(), beta]
    for same_step in (True, False):
        check(
            lambda *given, same=same_step: coincidence_trace(
                *given, same_step=same, saturating=saturating
            ),
            fixed,
        )


@pytest.mark.parametrize("n_taps", [1, 40])
def test_sparse_synapses_give_the_cpus_bits_and_gradients(n_taps: int) -> None:
    span, fan = n_taps + 4, Fan.random_out(N, 9, 3)
    first = torch.arange(fan.n_edges, dtype=torch.int32) % 6
    taps, pending = normal(fan.n_edges, n_taps), normal(span, B, 9, seed=1)
    for graded in (False, True):
        dense = spikes_of(T, B, N, graded=graded)
        for x in (dense.requires_grad_(), compact(dense.detach())):
            check(lambda s, h, p: cross_currents(s, h, first, fan, span, p), [x, taps, pending])
            with torch.no_grad():
                ours, cpus = (
                    torch.cat(cross_currents(x, taps, first, fan, span, pending, backend=b))
                    for b in ("cuda", "numba")
                )
            assert torch.equal(ours, cpus)


def test_sparse_synapses_take_nothing_to_do() -> None:
    lonely = Fan(torch.zeros(4, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), 2)
    none = torch.zeros(0, dtype=torch.int32)
    for shape, taps in (((3, 2, 3), torch.zeros(0, 2)), ((0, 2, 3), torch.zeros(0, 2))):
        x, pending = torch.ones(shape), torch.ones(4, 2, 2)
        current, left = cross_currents(x, taps, none, lonely, 4, pending, backend="cuda")
        assert torch.equal(torch.cat([current, left])[:4], pending)
        assert current.shape == (shape[0], 2, 2)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_layers_at_inference_give_the_cpus_bits(reset: Any) -> None:
    batch, other = compact(spikes_of(T, B, N)), compact(spikes_of(T, B, 8, graded=True))
    weights = [normal(n, 24).detach() for n in (N, 8)]
    v0, how = normal(B, 24, seed=3).detach(), {"reset": reset}
    check(lambda v: fused_event_lif([batch, other], weights, 0.8, 0.6, v0=v, **how), [v0])
    check(lambda v: fused_event_li([batch, other], weights, 0.8, v0=v), [v0])
    check(
        lambda v: fused_delayed_lif(
            batch, torch.cat(weights[:1] * 2, 1), [0, 3], 0.8, 0.6, v0=v, **how
        ),
        [v0],
    )
    maps, kernel = compact(spikes_of(5, 2, 3 * 6 * 7)), normal(5, 3, 3, 2).detach()
    check(
        lambda x, w: fused_conv_lif(x, w, (3, 6, 7), 0.8, 0.6, padding=(1, 0), **how),
        [maps, kernel],
    )


def test_delays_move_tensors_events_and_gradients() -> None:
    dense = spikes_of(T, B, 12, graded=True)
    check(lambda x: delay(x, [2, 0, 5], [3, 4, 5]), [dense.requires_grad_()])
    check(lambda x: delay(x, [2, 0, 5], [3, 4, 5]), [compact(dense.detach())])
    history = compact(spikes_of(5, B, 12, seed=6))
    check(lambda x: delay(x, [2, 0, 5], [3, 4, 5], history), [compact(dense.detach())])


@pytest.mark.parametrize("graded", [True, False])
def test_events_come_and_go_as_on_the_cpu(graded: bool) -> None:
    dense = spikes_of(T, B, 48, graded=graded)
    for name in ("indptr", "index", "value"):
        ours, cpus = (getattr(compact(dense, backend=b), name) for b in ("cuda", "numba"))
        assert (ours is None) == (cpus is None)
        assert ours is None or torch.equal(ours, cpus)
    assert torch.equal(expand(compact(dense), backend="cuda"), dense)
    other = compact(spikes_of(T, B, 48, seed=8))
    for mode in ("sum", "max"):
        check(lambda x, m=mode: spike_pool(x, (2, 4, 6), (2, 3), None, m), [compact(dense)])
    for rule in ("add", "or", "and", "iand"):
        check(lambda x, r=rule: spike_join(x, other, r), [compact(dense)])


@pytest.mark.parametrize("dt_ms", [5.0, 3.7])
def test_streams_are_binned_as_on_the_cpu(make_stream: Any, dt_ms: float) -> None:
    streams = [make_stream(300), make_stream(0), make_stream(120)]
    for counts in ("keep", "clip"):
        ours, cpus = (
            bin_events(streams, dt_ms, None, counts, backend=b) for b in ("cuda", "numba")
        )
        assert torch.equal(ours.indptr, cpus.indptr)
        assert torch.equal(ours.index, cpus.index)
        assert (ours.value is None) == (cpus.value is None)
        assert ours.value is None or torch.equal(ours.value, cpus.value)


def test_maps_too_wide_for_shared_memory_are_refused_with_the_limit() -> None:
    assert GPU_COLUMNS == MAX_COLUMNS
    weight, spikes = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, GPU_COLUMNS + 1)
    with pytest.raises(BackendError, match=f"at most {GPU_COLUMNS} columns, got"):
        event_conv2d(spikes, weight, (1, 1, GPU_COLUMNS + 1), backend="cuda")


def test_an_emulator_runs_only_what_it_is_asked_to() -> None:
    assert registry.choose("lif_scan", None, "cpu") == "numba"
    assert registry.choose("lif_scan", "cuda", "cpu") == "cuda"


def test_every_operation_with_a_cuda_kernel_is_compared_here() -> None:
    covered = {
        *("event_matmul", "lif_scan", "cuba_lif_scan", "alif_scan", "recurrent_lif_scan"),
        *("neuron_scan", "li_scan", "trace_scan", "event_conv2d", "compact", "spike_pool"),
        *("spike_join", "delay", "coincidence", "coincidence_trace", "bin_events"),
        *("cross_currents", "fused_layer", "fused_conv_lif", "fused_delayed_lif"),
    }
    with_cuda = {op for op, row in registry.table().items() if row["cuda"] == "on"}
    assert with_cuda == covered


def check(run: Callable[..., Any], inputs: list[Any]) -> None:
    """Values and gradients on both backends; the tolerance is that of another order of sums."""
    got, got_gradients = values_and_gradients(run, inputs, "cuda")
    want, want_gradients = values_and_gradients(run, inputs, "numba")
    pairs = [*zip(got, want, strict=True), *zip(got_gradients, want_gradients, strict=True)]
    for ours, cpus in pairs:
        assert (ours is None) == (cpus is None)
        if ours is not None and cpus is not None:
            scale = max(float(cpus.abs().max()) if cpus.numel() else 0.0, 1e-3)
            np.testing.assert_allclose(ours.numpy(), cpus.numpy(), rtol=0, atol=1e-5 * scale)
