"""Kernels that add in the order of the CPU kernels give their bits: no tolerance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spikefuse.kernels import registry
from spikefuse.kernels.adaptive import alif_scan
from spikefuse.kernels.conv import event_conv2d
from spikefuse.kernels.conv_geometry import ConvGeometry
from spikefuse.kernels.gpu import compaction, conv, products, recurrent, scans
from spikefuse.kernels.gpu.parity.target import events_of
from spikefuse.kernels.neurons import lif_scan
from spikefuse.kernels.products import event_matmul
from spikefuse.kernels.recurrent import recurrent_lif_scan
from spikefuse.surrogate import NAMES, Surrogate

from .emu.emulator import Emulator
from .rungs import shared_emulator

T, B, K, N = 37, 3, 90, 68


@pytest.fixture
def launch() -> Emulator:
    return shared_emulator("shuffled")


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def spikes_of(random: torch.Generator, n: int = K) -> Tensor:
    """Graded spikes [T, B, n]."""
    spikes = (torch.rand(T, B, n, generator=random) < 0.2).float()
    return spikes * torch.rand(spikes.shape, generator=random)


@pytest.mark.parametrize("layout", ["wide1", "wide4", "resident"])
def test_products(launch: Emulator, random: torch.Generator, layout: products.Layout) -> None:
    spikes, weight = spikes_of(random), torch.randn(K, N, generator=random)
    want = event_matmul(spikes, weight, backend=registry.NUMBA).view(-1, N)
    got = products.gather(launch, *events_of(spikes.view(-1, K)), weight, layout=layout)
    assert torch.equal(got, want)


def test_weight_gradient(launch: Emulator, random: torch.Generator) -> None:
    spikes, weight = spikes_of(random), torch.randn(K, N, generator=random, requires_grad=True)
    up = torch.randn(T, B, N, generator=random)
    (want,) = torch.autograd.grad(event_matmul(spikes, weight, backend=registry.NUMBA), weight, up)
    columns = compaction.transpose(launch, events_of(spikes.view(-1, K)), K)
    assert torch.equal(products.gather(launch, *columns, up.view(-1, N)), want)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize("detach", [False, True])
def test_lif(
    launch: Emulator, random: torch.Generator, name: str, subtract: bool, detach: bool
) -> None:
    surrogate = Surrogate(name, 3.0)  # type: ignore[arg-type]
    x = torch.randn(T, B, N, generator=random, requires_grad=True)
    beta, theta = 0.9 * torch.rand(N, generator=random), 0.5 + torch.rand(N, generator=random)
    v0 = torch.randn(B, N, generator=random, requires_grad=True)
    up = torch.randn(T, B, N, generator=random)
    want, want_v = lif_scan(
        x,
        beta,
        theta,
        v0=v0,
        reset="subtract" if subtract else "zero",
        surrogate=surrogate,
        detach_reset=detach,
        backend=registry.NUMBA,
    )
    want_dx, want_dv = torch.autograd.grad(want, (x, v0), up)
    got, got_v, saved = scans.lif_forward(launch, x, beta, theta, v0, subtract=subtract, keep=True)
    assert saved is not None
    assert torch.equal(got, want)
    assert torch.equal(got_v, want_v)
    options = {"subtract": subtract, "detach": detach}
    dx, dv, *_ = scans.lif_backward(
        launch, up, None, x, beta, theta, saved, surrogate=surrogate, **options
    )
    assert torch.equal(dx, want_dx)
    assert torch.equal(dv, want_dv)


def test_adaptive_neuron(launch: Emulator, random: torch.Generator) -> None:
    x = torch.randn(T, B, N, generator=random, requires_grad=True)
    beta, theta, rho, kappa = (0.5 + 0.4 * torch.rand(N, generator=random) for _ in range(4))
    up = torch.randn(T, B, N, generator=random)
    want, (want_v, want_a) = alif_scan(x, beta, theta, rho, kappa, backend=registry.NUMBA)
    (want_dx,) = torch.autograd.grad(want, x, up)
    table = torch.stack([torch.zeros(N), beta, theta, kappa, rho])
    zeros = torch.zeros(B, 3, N)
    got, last, saved = scans.neuron_forward(launch, x, table, zeros, subtract=False, keep=True)
    assert saved is not None
    assert torch.equal(got, want)
    assert torch.equal(last[:, 1], want_v)
    assert torch.equal(last[:, 2], want_a)
    dx, *_ = scans.neuron_backward(
        launch, up, zeros, x, table, saved, subtract=False, detach=False, surrogate=Surrogate()
    )
    assert torch.equal(dx, want_dx)


def test_recurrent_layer(launch: Emulator, random: torch.Generator) -> None:
    x, weight = torch.randn(T, B, N, generator=random), torch.randn(N, N, generator=random) / 8
    want, want_v = recurrent_lif_scan(x, 0.9, 1.0, weight, backend=registry.NUMBA)
    table = torch.tensor([0.0, 0.9, 1.0, 0.0, 0.0])[:, None].repeat(1, N)
    got, last, _ = recurrent.recurrent_forward(
        launch,
        x,
        weight,
        table,
        torch.zeros(B, N),
        torch.zeros(B, 3, N),
        subtract=False,
        keep=False,
    )
    assert torch.equal(got, want)
    assert torch.equal(last[:, 1], want_v)


def test_convolution(launch: Emulator, random: torch.Generator) -> None:
    geometry = ConvGeometry((2, 7, 8), 40, (3, 3), (2, 1), (1, 1))
    spikes = spikes_of(random, geometry.n_in)
    weight = torch.randn(40, 2, 3, 3, generator=random)
    want = event_conv2d(spikes, weight, (2, 7, 8), (2, 1), (1, 1), backend=registry.NUMBA)
    events, taps = events_of(spikes.view(-1, geometry.n_in)), conv.taps_of(weight)
    got = conv.conv_forward(launch, events, taps, geometry)
    assert torch.equal(got, want.view(len(got), -1))
