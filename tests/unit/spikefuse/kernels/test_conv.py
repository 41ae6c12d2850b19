"""event_conv2d against torch's convolution: every geometry, gradients, choice of path, refusals."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from spikefuse.errors import BackendError
from spikefuse.kernels import conv, registry
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.conv import event_conv2d, event_conv2d_ref
from spikefuse.spikes import SpikeBatch

# (C, H, W), C_out, kernel, stride, padding: borders, strides beyond the kernel, rims of padding,
# single cells, channels around one and two vectors, positions around a block of 8.
GEOMETRIES = [
    ((2, 34, 34), 8, (5, 5), (2, 2), (0, 0)),
    ((1, 1, 64), 16, (1, 9), (1, 3), (0, 0)),
    ((2, 9, 11), 24, (5, 3), (3, 2), (2, 1)),
    ((3, 7, 8), 1, (3, 3), (1, 1), (1, 1)),
    ((2, 6, 5), 7, (2, 2), (3, 4), (0, 0)),
    ((1, 5, 5), 9, (5, 5), (1, 1), (4, 4)),
    ((1, 1, 1), 3, (1, 1), (1, 1), (0, 0)),
    ((2, 8, 9), 33, (3, 4), (2, 3), (3, 0)),
    ((1, 4, 4), 8, (3, 3), (2, 2), (5, 5)),
]


def events(shape: tuple[int, ...], density: float, graded: bool, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    hits = torch.rand(shape, generator=generator) < density
    values = torch.randn(shape, generator=generator) if graded else torch.ones(shape)
    return torch.where(hits, values, 0.0)


def case(
    geometry: Any, density: float = 0.2, graded: bool = False, rows: tuple[int, int] = (3, 2)
) -> tuple[torch.Tensor, torch.Tensor, tuple[Any, Any, Any]]:
    in_shape, n_channels, kernel, stride, padding = geometry
    n_in = in_shape[0] * in_shape[1] * in_shape[2]
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(n_channels, in_shape[0], *kernel, generator=generator)
    return events((*rows, n_in), density, graded), weight, (in_shape, stride, padding)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the convolution kernels that were fetched for a call."""
    seen: list[str] = []
    original = registry.kernel

    def listing(op: str, backend: str, name: str) -> Callable[..., Any]:
        if op == "event_conv2d":
            seen.append(name)
        return original(op, backend, name)

    monkeypatch.setattr(registry, "kernel", listing)
    return seen


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("density", "graded"), [(0.0, False), (0.15, False), (0.5, True), (1, 0)])
def test_equal_to_torch_in_double_precision(geometry: Any, density: float, graded: bool) -> None:
    dense, weight, rest = case(geometry, density, bool(graded))
    expected = event_conv2d_ref(dense.double(), weight.double(), *rest)
    for spikes in (dense, compact(dense)):
        out = event_conv2d(spikes, weight, *rest, backend="numba")
        assert out.dtype == torch.float32
        torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)


def test_one_spike_at_a_corner_by_hand() -> None:
    # Kernel 3x3, stride 2, padding 1 on 4x4: input (3, 3) meets tap (2, 2) of position (1, 1) only;
    # input (1, 1) meets taps (2, 2), (2, 0), (0, 2), (0, 0) of positions (0, 0) to (1, 1).
    weight = torch.arange(9.0).reshape(1, 1, 3, 3)
    for cell, expected in ((15, [0, 0, 0, 8]), (5, [8, 6, 2, 0])):
        dense = torch.zeros(1, 1, 16)
        dense[0, 0, cell] = 1.0
        out = event_conv2d(dense, weight, (1, 4, 4), (2, 2), (1, 1), backend="numba")
        assert out.flatten().tolist() == expected


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_adjoint_of_the_weight_gradient(geometry: Any) -> None:
    # <conv(s, W), g> = <W, dW(s, g)>: the gradient is right if this holds for any W and g.
    dense, weight, rest = case(geometry, 0.3, graded=True)
    out = event_conv2d(dense, weight.requires_grad_(), *rest, backend="numba")
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    (d_weight,) = torch.autograd.grad(out, weight, grad)
    left = (out.detach().double() * grad.double()).sum()
    right = (weight.detach().double() * d_weight.double()).sum()
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("as_events", [False, True])
def test_gradients_of_the_reference_in_double_precision(geometry: Any, as_events: bool) -> None:
    dense, weight, rest = case(geometry, 0.1, rows=(40, 3))
    spikes, w = dense.clone().requires_grad_(not as_events), weight.clone().requires_grad_()
    out = event_conv2d(compact(dense) if as_events else spikes, w, *rest, backend="numba")
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    out.backward(grad)
    exact, exact_w = dense.double().requires_grad_(), weight.double().requires_grad_()
    event_conv2d_ref(exact, exact_w, *rest).backward(grad.double())
    for ours, theirs in [(w, exact_w)] + ([] if as_events else [(spikes, exact)]):
        error = (ours.grad.double() - theirs.grad).norm() / theirs.grad.norm()
        assert error <= 1e-5


def test_strided_input_and_strided_gradient() -> None:
    dense, weight, rest = case(GEOMETRIES[2], 0.2, graded=True)
    wide = torch.stack([dense, dense + 1], -1)[..., 0]
    turned = dense.transpose(0, 1).contiguous().transpose(0, 1)
    w = weight.clone().requires_grad_()
    expected = event_conv2d_ref(dense, weight, *rest)
    for spikes in (wide, turned):
        out = event_conv2d(spikes, w, *rest, backend="numba")
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    (ours,) = torch.autograd.grad(out.sum(), w)
    (theirs,) = torch.autograd.grad(event_conv2d_ref(dense, w, *rest).sum(), w)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [(1, 1), (0, 2), (2, 0)])
def test_one_row_and_none(rows: tuple[int, int]) -> None:
    dense, weight, rest = case(GEOMETRIES[0], rows=rows)
    w = weight.requires_grad_()
    out = event_conv2d(dense, w, *rest, backend="numba")
    expected = event_conv2d_ref(dense, w, *rest) if 0 not in rows else out.new_zeros(*rows, 1800)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    (d_weight,) = torch.autograd.grad(out.sum(), w)
    assert d_weight.shape == w.shape
    assert bool(d_weight.any()) == (0 not in rows)


def test_given_events_spare_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, weight, rest = case(GEOMETRIES[0], 0.01)
    found = compact(dense)
    monkeypatch.setattr(conv, "compact", None)  # any search would fail
    out = event_conv2d(dense, weight.requires_grad_(), *rest, events=found, backend="numba")
    out.sum().backward()
    torch.testing.assert_close(out, event_conv2d_ref(dense, weight, *rest), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("as_events", [False, True])
def test_few_events_take_the_kernel_and_many_the_dense_product(
    calls: list[str], as_events: bool
) -> None:
    for density, expected in ((0.01, ["conv_forward", "conv_dweight"]), (0.6, [])):
        dense, weight, rest = case(GEOMETRIES[0], density, rows=(20, 10))
        w = weight.requires_grad_()
        out = event_conv2d(compact(dense) if as_events else dense, w, *rest)
        out.sum().backward()
        assert calls == expected
        torch.testing.assert_close(out, event_conv2d_ref(dense, w, *rest), rtol=1e-5, atol=1e-5)
        calls.clear()


def test_the_input_gradient_is_left_out_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, weight, rest = case(GEOMETRIES[0], 0.01)
    monkeypatch.setattr(conv, "_transposed", None)  # any use would fail
    event_conv2d(dense, weight.requires_grad_(), *rest, backend="numba").sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_input_gradient_at_active_cells(calls: list[str], geometry: Any) -> None:
    dense, weight, rest = case(geometry, 0.2, graded=True)
    cells = events(tuple(dense.shape), 0.3, graded=False, seed=5)
    exact = dense.double().requires_grad_()
    out = event_conv2d_ref(exact, weight.double(), *rest)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    out.backward(grad.double())
    for backend in ("numba", "reference"):
        x = dense.clone().requires_grad_()
        ours = event_conv2d(x, weight, *rest, active=compact(cells), backend=backend)
        ours.backward(grad)
        expected = exact.grad * cells
        assert (x.grad.double() - expected).norm() <= 1e-5 * expected.norm()
    assert calls == ["conv_forward", "conv_dspikes"]


def test_reference_runs_no_kernel(calls: list[str]) -> None:
    dense, weight, rest = case(GEOMETRIES[0], 0.01)
    with registry.use_backend("reference"):
        out = event_conv2d(dense, weight, *rest)
    expected = functional.conv2d(dense.view(6, 2, 34, 34), weight, stride=2).reshape(3, 2, -1)
    assert torch.equal(out, expected)
    assert calls == []


def test_opcheck() -> None:
    dense, weight, (in_shape, stride, padding) = case(GEOMETRIES[2], 0.2)
    found = compact(dense)
    tail = [list(dense.shape), list(in_shape), list(stride), list(padding), False, "numba"]
    w = weight.requires_grad_()
    for args in (
        (dense.clone().requires_grad_(), None, None, None, w, found.indptr, found.index, *tail),
        (None, found.indptr, found.index, None, w, None, None, *tail),
    ):
        torch.library.opcheck(torch.ops.spikefuse.event_conv2d.default, args)


@pytest.mark.parametrize("at", [0, 3])
def test_torch_compile_in_one_graph(calls: list[str], at: int) -> None:
    dense, weight, rest = case(GEOMETRIES[at], 0.01)
    compiled = torch.compile(
        lambda s, w: event_conv2d(s, w, *rest) * 2, fullgraph=True, backend="aot_eager"
    )
    w = weight.clone().requires_grad_()
    out = compiled(dense, w)
    torch.testing.assert_close(out, 2 * event_conv2d_ref(dense, weight, *rest))
    out.sum().backward()
    (expected,) = torch.autograd.grad(2 * event_conv2d_ref(dense, w, *rest).sum(), w)
    torch.testing.assert_close(w.grad, expected, rtol=1e-4, atol=1e-4)
    # The second is too little work for an operator: torch's own convolution goes into the graph.
    assert calls == (["conv_forward", "conv_dweight"] if at == 0 else [])


def test_refusals() -> None:
    dense, weight, _ = case(GEOMETRIES[3])
    in_shape = (3, 7, 8)
    with pytest.raises(ValueError, match=r"in_shape must be \(C, H, W\).*got \(3, 7\)"):
        event_conv2d(dense, weight, (3, 7))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"weight must be \[C_out, 2, kh, kw\], got shape \(1, 3"):
        event_conv2d(dense, weight, (2, 7, 8))
    with pytest.raises(ValueError, match=r"stride must be two numbers of at least 1, got \(0, 1\)"):
        event_conv2d(dense, weight, in_shape, (0, 1))
    with pytest.raises(ValueError, match=r"padding must be two numbers of at least 0, got \(-1, 0"):
        event_conv2d(dense, weight, in_shape, (1, 1), (-1, 0))
    with pytest.raises(
        ValueError, match=r"weight must fit the padded input \(1, 2, 84\), got a ke"
    ):
        event_conv2d(dense, torch.ones(1, 1, 3, 3), (1, 2, 84))
    with pytest.raises(ValueError, match=r"spikes must be \[T, B, 168\], got shape \(3, 2, 84\)"):
        event_conv2d(dense[..., :84], weight, in_shape)
    with pytest.raises(ValueError, match=r"spikes must be torch.float32 on cpu as weight is, got"):
        event_conv2d(dense.double(), weight, in_shape)
    other = SpikeBatch.from_dense(dense[:1])
    with pytest.raises(ValueError, match=r"events must be of shape \(3, 2, 168\), got \(1, 2, 168"):
        event_conv2d(dense, weight, in_shape, events=other)
    with pytest.raises(ValueError, match=r"events must be None with a SpikeBatch"):
        event_conv2d(other, weight, in_shape, events=other)
    with pytest.raises(
        BackendError, match=r"event_conv2d here: it needs float32, got torch.float6"
    ):
        event_conv2d(dense.double(), weight.double(), in_shape, backend="numba")
