"""Coincidences: pairs counted once, gradients, and traces that are touched at events alone."""

import math

import pytest
import torch

from spikefuse.errors import BackendError
from spikefuse.kernels import registry
from spikefuse.kernels.coincidence import (
    coincidence,
    coincidence_ref,
    coincidence_trace,
    coincidence_trace_ref,
)
from spikefuse.kernels.compaction import compact


def spikes_of(*shape: int, seed: int = 0, graded: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    hits = torch.rand(shape, generator=generator) < 0.3
    values = torch.randn(shape, generator=generator) if graded else torch.ones(shape)
    return torch.where(hits, values, 0.0)


def problem(rows=(9, 3), graded: bool = False) -> list[torch.Tensor]:
    """Counting events and weight, opening events and weight, decay."""
    torch.manual_seed(0)
    return [
        spikes_of(*rows, 5, graded=graded),
        torch.randn(5, 4),
        spikes_of(*rows, 6, seed=1, graded=graded),
        torch.randn(6, 4),
        torch.tensor([0.2, 0.8, 0.95, 0.5]),
    ]


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("rows", [(9, 3), (1, 1), (0, 2), (4, 0)])
def test_events_times_window(saturating, graded, rows) -> None:
    spikes, weight, *_ = problem(rows, graded)
    window = torch.randn(*rows, 4)
    expected = torch.zeros(*rows, 4)
    for t, b, i in spikes.nonzero().tolist():
        for m in range(4):
            z = float(window[t, b, m])
            opened = 1 - math.exp(-max(z, 0.0)) if saturating else z
            expected[t, b, m] += spikes[t, b, i] * weight[i, m] * opened
    for given in (spikes, compact(spikes)):
        for backend in ("numba", "reference"):
            out = coincidence(given, weight, window, saturating=saturating, backend=backend)
            torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("saturating", [False, True])
def test_gradients_equal_float64_autograd_of_the_reference(saturating) -> None:
    spikes, weight, *_ = problem(graded=True)
    inputs = [spikes, weight, torch.randn(9, 3, 4)]
    probe = torch.randn(9, 3, 4, dtype=torch.float64)
    grads = []
    for dtype, backend in ((torch.float32, "numba"), (torch.float64, "reference")):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in inputs]
        out = coincidence(*leaves, saturating=saturating, backend=backend)
        grads.append(torch.autograd.grad((out * probe.to(dtype)).sum(), leaves))
    for ours, exact in zip(*grads, strict=True):
        assert (ours - exact).abs().max() <= 1e-5 * exact.abs().max()


@pytest.mark.parametrize("same_step", [False, True])
@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("rows", [(9, 3), (1, 1), (4, 0)])
def test_lazy_trace_equals_its_reference(same_step, saturating, rows) -> None:
    given = problem(rows, graded=True)
    options = {"same_step": same_step, "saturating": saturating}
    before = torch.rand(rows[1], 4)
    expected = coincidence_trace_ref(*given, before, **options)
    events = [compact(given[0]), given[1], compact(given[2]), *given[3:]]
    for arguments in (given, events):
        found = coincidence_trace(*arguments, before, **options, backend="numba")
        for ours, exact in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("same_step", [False, True])
def test_trace_gradients_equal_float64_autograd_of_the_reference(same_step) -> None:
    inputs = [*problem(graded=True), torch.rand(3, 4)]
    probe = torch.randn(9, 3, 4, dtype=torch.float64)
    grads = []
    for dtype, backend in ((torch.float32, None), (torch.float64, "reference")):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in inputs]
        out, last = coincidence_trace(
            *leaves, same_step=same_step, saturating=True, backend=backend
        )
        loss = (out * probe.to(dtype)).sum() + (last * probe[0].to(dtype)).sum()
        grads.append(torch.autograd.grad(loss, leaves))
    for ours, exact in zip(*grads, strict=True):
        assert (ours - exact).abs().max() <= 1e-5 * exact.abs().max()


def test_trace_in_pieces_as_in_one() -> None:
    spikes, weight, opener, opener_weight, beta = problem((20, 2))
    whole, last = coincidence_trace(spikes, weight, opener, opener_weight, beta)
    parts, trace = [], None
    for a, b in zip(spikes.split([1, 12, 7]), opener.split([1, 12, 7]), strict=True):
        out, trace = coincidence_trace(a, weight, b, opener_weight, beta, trace)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close(trace, last)


def test_a_pair_in_one_step_is_counted_by_one_direction_only() -> None:
    """Both directions together count every ordered pair within reach exactly once."""
    a, b = spikes_of(40, 2, 1), spikes_of(40, 2, 1, seed=5)
    one, beta = torch.ones(1, 1), torch.ones(1)
    forward, _ = coincidence_trace(b, one, a, one, beta)
    backward, _ = coincidence_trace(a, one, b, one, beta, same_step=False)
    pairs = (a.sum(0) * b.sum(0)).squeeze(-1)
    assert torch.equal((forward + backward).sum(0).squeeze(-1), pairs)


def test_kernels_run_by_themselves_and_not_for_the_reference(monkeypatch) -> None:
    fetched = []
    original = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda *names: fetched.append(names[2]) or original(*names)
    )
    spikes, weight, opener, opener_weight, beta = problem()
    given = (compact(spikes, backend="reference"), weight)
    other = (compact(opener, backend="reference"), opener_weight, beta)
    with registry.use_backend("reference"):
        coincidence(*given, torch.rand(9, 3, 4))
        coincidence_trace(*given, *other)
    assert fetched == []
    coincidence(*given, torch.rand(9, 3, 4))
    coincidence_trace(*given, *other)
    assert fetched == ["gated_rows", "decaying_rows"]


def test_opcheck_and_torch_compile() -> None:
    spikes, weight, *_ = problem((4, 2))
    leaves = [tensor.requires_grad_() for tensor in (spikes, weight, torch.rand(4, 2, 4))]
    torch.library.opcheck(
        torch.ops.spikefuse.coincidence.default,
        (leaves[0], None, None, None, *leaves[1:], [4, 2, 5], True, "numba"),
    )
    compiled = torch.compile(
        lambda s, w, z: coincidence(s, w, z, saturating=True) * 2,
        fullgraph=True,
        backend="aot_eager",
    )
    out, expected = compiled(*leaves), 2 * coincidence_ref(*leaves, saturating=True)
    torch.testing.assert_close(out, expected)
    for ours, exact in zip(
        torch.autograd.grad(out.sum(), leaves),
        torch.autograd.grad(expected.sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(ours, exact)


def test_refusals() -> None:
    spikes, weight, opener, opener_weight, beta = problem()
    window = torch.rand(9, 3, 4)
    with pytest.raises(ValueError, match=r"spikes must be \[T, B, n_in\] and weight \[n_in, M\]"):
        coincidence(spikes[..., :4], weight, window)
    with pytest.raises(ValueError, match=r"window must be torch.float32 of shape \(9, 3, 4\)"):
        coincidence(spikes, weight, window[:8])
    with pytest.raises(ValueError, match=r"spikes must be torch.float32 as weight is"):
        coincidence(spikes.double(), weight, window)
    with pytest.raises(ValueError, match=r"opener must be \[T >= 1, B, 6\]"):
        coincidence_trace(spikes, weight, opener[:8], opener_weight, beta)
    with pytest.raises(ValueError, match="beta and opener_weight must be of 4 columns"):
        coincidence_trace(spikes, weight, opener, opener_weight, beta[:3])
    with pytest.raises(ValueError, match=r"trace must be of shape \(3, 4\), got \(2, 4\)"):
        coincidence_trace(spikes, weight, opener, opener_weight, beta, torch.zeros(2, 4))
    with pytest.raises(BackendError, match="it needs float32"):
        coincidence(spikes.double(), weight.double(), window.double(), backend="numba")
