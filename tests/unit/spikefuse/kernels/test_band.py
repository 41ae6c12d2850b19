"""Neurons near threshold: bits of the reference, and exactly the cells that a gradient needs."""

from typing import Any

import pytest
import torch
from torch import Tensor

from spikefuse.errors import BackendError
from spikefuse.kernels import registry
from spikefuse.kernels.band import near_threshold, near_threshold_ref
from spikefuse.kernels.neurons import lif_scan
from spikefuse.spikes import SpikeBatch
from spikefuse.surrogate import Surrogate

TRIANGLE = Surrogate("triangle", 3.0)
SHAPES = [(1, 1, 1), (7, 2, 31), (5, 3, 32), (5, 1, 33), (4, 2, 64), (3, 2, 65), (20, 4, 200)]


def case(shape: tuple[int, int, int], spread: float = 0.8) -> tuple[Tensor, Tensor, Tensor]:
    """Currents, decays and thresholds."""
    generator = torch.Generator().manual_seed(11)
    current = torch.randn(shape, generator=generator) * spread
    beta = torch.rand(shape[2], generator=generator) * 0.5 + 0.4
    return current, beta, torch.rand(shape[2], generator=generator) + 0.5


def same(a: SpikeBatch, b: SpikeBatch) -> bool:
    return a.shape == b.shape and torch.equal(a.indptr, b.indptr) and torch.equal(a.index, b.index)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_of_the_reference(shape: tuple[int, int, int], reset: Any) -> None:
    current, beta, threshold = case(shape)
    v0 = torch.rand(shape[1:])
    kept = v0.clone()
    for options in ({}, {"v0": v0}):
        near = near_threshold(
            current, beta, threshold, TRIANGLE, reset=reset, backend="numba", **options
        )
        assert same(near, near_threshold_ref(
            current, beta, threshold, TRIANGLE, reset=reset, **options
        ))  # fmt: skip
        SpikeBatch(near.indptr, near.index, near.value, near.shape)  # the checks it skips
    assert torch.equal(v0, kept)


def test_strided_currents_and_scalar_parameters() -> None:
    current = case((6, 4, 70))[0]
    for view in (current.transpose(0, 1), current[::2], current[..., ::2]):
        near = near_threshold(view, 0.9, 1.0, TRIANGLE, backend="numba")
        assert same(near, near_threshold_ref(view.contiguous(), 0.9, 1.0, TRIANGLE))
    assert 0 < near.n_events < view.numel()


def test_a_hand_count() -> None:
    # Membranes 0.6, 0.7, 1.5 (fires, back to 0.5), 0.5: within a third of 1 is the second alone.
    current = torch.tensor([0.6, 0.1, 0.8, 0.0]).view(4, 1, 1)
    near = near_threshold(current, 1.0, 1.0, TRIANGLE, reset="subtract")
    assert near.to_dense().flatten().tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_the_gradient_of_spikes_is_read_at_these_cells_and_at_no_other(reset: Any) -> None:
    current, beta, threshold = case((12, 2, 40))
    near = near_threshold(current, beta, threshold, TRIANGLE, reset=reset).to_dense() != 0
    grad = torch.randn(current.shape, generator=torch.Generator().manual_seed(1))

    def gradients(of_spikes: Tensor) -> list[Tensor]:
        x, b = current.clone().requires_grad_(), beta.clone().requires_grad_()
        theta = threshold.clone().requires_grad_()
        spikes, _ = lif_scan(x, b, theta, reset=reset, surrogate=TRIANGLE)
        return list(torch.autograd.grad(spikes, (x, b, theta), of_spikes))

    full = gradients(grad)
    for whole, cut in zip(full, gradients(grad * near), strict=True):
        assert torch.equal(whole, cut)
    one = near.nonzero()[len(near.nonzero()) // 2]
    less = grad * near
    less[tuple(one)] = 0
    assert not torch.equal(gradients(less)[0], full[0])


def test_the_kernel_runs_where_nobody_names_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefuse.kernels.cpu import band

    calls: list[int] = []
    original = band.lif_near
    monkeypatch.setattr(band, "lif_near", lambda *a: calls.append(1) or original(*a))
    current, beta, threshold = case((4, 2, 8))
    near_threshold(current, beta, threshold, TRIANGLE)
    near_threshold(current, beta, threshold, TRIANGLE, backend="reference")
    near_threshold(current.double(), 0.9, 1.0, TRIANGLE)
    assert calls == [1]
    assert near_threshold(current[:, :0], beta, threshold, TRIANGLE).n_events == 0


def test_refusals() -> None:
    current, beta, threshold = case((4, 2, 8))
    with pytest.raises(ValueError, match="surrogate must be of compact support, got 'arctan'"):
        near_threshold(current, beta, threshold, Surrogate("arctan"))
    with pytest.raises(ValueError, match=r"current must be \[T, B, N\]"):
        near_threshold(current[0], beta, threshold, TRIANGLE)
    with pytest.raises(ValueError, match="reset must be"):
        near_threshold(current, beta, threshold, TRIANGLE, reset="soft")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="v0 must be of shape"):
        near_threshold(current, beta, threshold, TRIANGLE, v0=torch.zeros(3))
    with pytest.raises(BackendError, match=r"it needs float32, got torch\.float64"):
        near_threshold(current.double(), 0.9, 1.0, TRIANGLE, backend="numba")


def test_one_choice_covers_a_block() -> None:
    current, beta, threshold = case((4, 2, 8))
    with registry.use_backend("reference"):
        near = near_threshold(current, beta, threshold, TRIANGLE)
    assert same(near, near_threshold(current, beta, threshold, TRIANGLE, backend="numba"))
