"""event_matmul against hand counts, a sequential loop, float64 autograd and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spikefuse.errors import BackendError
from spikefuse.kernels.products import event_matmul, event_matmul_ref
from spikefuse.kernels.registry import use_backend
from spikefuse.spikes import SpikeBatch

# (T, B, n_in, n_out): ragged tiles, one of everything, words of 32 and their neighbours.
SHAPES = [
    (5, 3, 37, 20),
    (1, 1, 1, 1),
    (4, 2, 31, 16),
    (2, 3, 32, 33),
    (3, 1, 33, 65),
    (1, 4, 65, 64),
    (10, 2, 150, 130),
    (3, 2, 40, 31),
]
DENSITIES = [0.0, 0.1, 0.9]


def random_spikes(shape: tuple[int, ...], density: float, values: str = "one") -> Tensor:
    on = torch.rand(shape) < density
    if values == "count":
        return on * torch.randint(1, 4, shape).float()
    if values == "real":
        return on * torch.randn(shape)
    return on.float()


def sequential(dense: Tensor, weight: Tensor) -> Tensor:
    """The definition: float32 additions in event order."""
    n_steps, n_batch, n_in = dense.shape
    out = np.zeros((n_steps * n_batch, weight.shape[1]), np.float32)
    rows = dense.reshape(-1, n_in).numpy()
    for r, row in enumerate(rows):
        for j in np.flatnonzero(row):
            out[r] += row[j] * weight[j].numpy()
    return torch.from_numpy(out).view(n_steps, n_batch, -1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(5)


def test_hand_count() -> None:
    weight = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    spikes = SpikeBatch(
        torch.tensor([0, 2, 2, 3], dtype=torch.int32),
        torch.tensor([0, 2, 1], dtype=torch.int32),
        None,
        (3, 1, 3),
    )
    expected = [[[5.0, 50.0]], [[0.0, 0.0]], [[2.0, 20.0]]]
    assert event_matmul(spikes, weight, backend="numba").tolist() == expected
    assert event_matmul(spikes, weight, backend="reference").tolist() == expected


@pytest.mark.parametrize("values", ["one", "count", "real"])
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_sequential_sum_bit_for_bit(
    shape: tuple[int, int, int, int], density: float, values: str
) -> None:
    dense = random_spikes(shape[:3], density, values)
    weight = torch.randn(shape[2], shape[3])
    out = event_matmul(SpikeBatch.from_dense(dense), weight, backend="numba")
    assert torch.equal(out, sequential(dense, weight))
    assert torch.equal(out, event_matmul(dense, weight, backend="numba"))
    torch.testing.assert_close(out, event_matmul_ref(dense, weight), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 8, 16), (4, 0, 8, 16), (3, 2, 8, 16)])
def test_empty_streams_give_zeros(shape: tuple[int, int, int, int]) -> None:
    spikes = SpikeBatch.from_dense(torch.zeros(shape[:3]))
    out = event_matmul(spikes, torch.full(shape[2:], torch.nan), backend="numba")
    assert torch.equal(out, torch.zeros(*shape[:2], shape[3]))


def test_strided_inputs_cut_from_larger_tensors() -> None:
    dense = torch.zeros(12, 5, 60)[1:11:2, :, 7:47]
    dense.copy_(random_spikes((5, 5, 40), 0.3))
    weight = torch.randn(50, 90).t()[3:88:2, 5:45][:40]
    assert not dense.is_contiguous()
    assert not weight.is_contiguous()
    out = event_matmul(dense, weight, backend="numba")
    assert torch.equal(out, sequential(dense.contiguous(), weight.contiguous()))


@pytest.mark.parametrize("given", ["batch", "dense", "both"])
@pytest.mark.parametrize("values", ["one", "real"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_against_float64_autograd(
    shape: tuple[int, int, int, int], values: str, given: str
) -> None:
    dense = random_spikes(shape[:3], 0.3, values)
    weight = torch.randn(shape[2], shape[3])
    upstream = torch.randn(*shape[:2], shape[3])
    x64, w64 = dense.double().requires_grad_(), weight.double().requires_grad_()
    exact = torch.autograd.grad(event_matmul_ref(x64, w64), (x64, w64), upstream.double())

    x, w = dense.clone().requires_grad_(), weight.clone().requires_grad_()
    batch = SpikeBatch.from_dense(dense)
    spikes = batch if given == "batch" else x
    out = event_matmul(spikes, w, events=batch if given == "both" else None, backend="numba")
    wanted = (w,) if given == "batch" else (x, w)
    grads = torch.autograd.grad(out, wanted, upstream)
    for got, reference in zip(reversed(grads), reversed(exact), strict=False):
        scale = reference.abs().max().clamp(min=1e-30)
        assert float((got.double() - reference).abs().max() / scale) <= 1e-5


def test_gradient_by_finite_differences() -> None:
    dense = random_spikes((3, 2, 6), 0.5)
    weight = torch.randn(6, 5, requires_grad=True)
    direction = torch.randn(6, 5)

    def loss(w: Tensor) -> Tensor:
        return event_matmul(dense, w, backend="numba").square().sum()

    loss(weight).backward()
    step = 1e-2
    with torch.no_grad():  # the loss is quadratic: central differences are exact but for rounding
        slope = (loss(weight + step * direction) - loss(weight - step * direction)) / (2 * step)
    assert weight.grad is not None
    torch.testing.assert_close((weight.grad * direction).sum(), slope, rtol=2e-3, atol=1e-2)


def test_only_the_gradients_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikefuse.kernels.cpu import products

    calls: list[str] = []
    original = products.transpose_events
    monkeypatch.setattr(products, "transpose_events", lambda *a: (calls.append("dW"), original(*a)))
    dense = random_spikes((4, 2, 20), 0.3).requires_grad_()
    weight = torch.randn(20, 16)
    event_matmul(dense, weight, backend="numba").sum().backward()
    assert calls == []
    torch.testing.assert_close(dense.grad, weight.sum(1).expand(4, 2, 20))
    weight.requires_grad_()
    event_matmul(dense.detach(), weight, backend="numba").sum().backward()
    assert calls == ["dW"]


@pytest.mark.parametrize("n_out", [5, 64, 70, 200])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_active_cells_alone_get_an_input_gradient(backend: str, n_out: int) -> None:
    dense = random_spikes((3, 2, 40), 0.2).requires_grad_()
    cells = torch.rand(3, 2, 40) < 0.3
    weight, upstream = torch.randn(40, n_out), torch.randn(3, 2, n_out)
    out = event_matmul(dense, weight, active=SpikeBatch.from_dense(cells.float()), backend=backend)
    (grad,) = torch.autograd.grad(out, dense, upstream)
    expected = torch.where(cells, upstream @ weight.t(), 0.0)
    torch.testing.assert_close(grad, expected, atol=1e-4, rtol=1e-5)
    assert torch.equal(grad != 0, cells)


def test_a_compact_surrogate_loses_nothing_at_the_active_set() -> None:
    """Triangular surrogate: zero beyond its width, so the active set carries the whole gradient."""
    v = torch.randn(4, 3, 30)
    slope = (1 - v.abs()).clamp(min=0)
    active = SpikeBatch.from_dense((slope > 0).float())
    weight, upstream = torch.randn(30, 16), torch.randn(4, 3, 16)
    spikes = (v > 0).float().requires_grad_()
    grads = [
        torch.autograd.grad(
            event_matmul(spikes, weight, active=a, backend="numba"), spikes, upstream
        )[0]
        * slope
        for a in (None, active)
    ]
    assert 0.2 < active.density < 0.9
    torch.testing.assert_close(grads[0], grads[1], atol=1e-5, rtol=1e-5)


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 40), st.integers(1, 70), st.data())
def test_linear_in_the_spikes(n_steps: int, n_batch: int, n_in: int, n_out: int, data) -> None:
    """The currents of counts are the sum of the currents of the single events."""
    seed = data.draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 3, (n_steps, n_batch, n_in), generator=generator).float()
    weight = torch.randint(-8, 9, (n_in, n_out), generator=generator).float()  # exact sums
    first, second = (counts >= 1).float(), (counts >= 2).float()
    parts = [
        event_matmul(SpikeBatch.from_dense(s), weight, backend="numba") for s in (first, second)
    ]
    whole = event_matmul(SpikeBatch.from_dense(counts), weight, backend="numba")
    assert torch.equal(whole, parts[0] + parts[1])
    assert torch.equal(whole, counts @ weight)


@pytest.mark.parametrize(
    ("spikes", "weight", "options", "message"),
    [
        (torch.zeros(2, 2, 4), torch.zeros(3, 2), {}, r"spikes must be \[T, B, 3\]"),
        (torch.zeros(2, 4), torch.zeros(4, 2), {}, r"spikes must be \[T, B, 4\]"),
        (torch.zeros(2, 2, 4), torch.zeros(4), {}, r"weight must be \[n_in, n_out\]"),
        (torch.zeros(2, 2, 4).double(), torch.zeros(4, 2), {}, "spikes must be torch.float32"),
        (
            torch.zeros(2, 2, 4),
            torch.zeros(4, 2),
            {"events": SpikeBatch.from_dense(torch.zeros(2, 3, 4))},
            r"events must be of shape \(2, 2, 4\)",
        ),
        (
            SpikeBatch.from_dense(torch.zeros(2, 2, 4)),
            torch.zeros(4, 2),
            {"active": SpikeBatch.from_dense(torch.zeros(2, 2, 4))},
            "active must be None with a SpikeBatch",
        ),
    ],
)
def test_refusals(spikes, weight: Tensor, options: dict[str, SpikeBatch], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        event_matmul(spikes, weight, **options)


def test_double_runs_on_the_reference_and_never_silently_on_numba() -> None:
    dense, weight = random_spikes((2, 2, 4), 0.5).double(), torch.randn(4, 3).double()
    assert torch.equal(event_matmul(dense, weight), dense @ weight)
    with pytest.raises(BackendError, match=r"it needs float32, got torch\.float64"):
        event_matmul(dense, weight, backend="numba")
    with use_backend("numba"), pytest.raises(BackendError, match="numba"):
        event_matmul(SpikeBatch.from_dense(dense), weight)
