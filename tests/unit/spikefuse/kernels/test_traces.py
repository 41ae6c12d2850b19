"""trace_scan against its closed form, the reference bit for bit, and float64 gradients."""

import pytest
import torch

from spikefuse.errors import BackendError
from spikefuse.kernels import registry
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.traces import trace_scan, trace_scan_ref


def spikes_of(shape: tuple[int, int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return (torch.rand(shape, generator=generator) < 0.3).float()


def test_closed_form_of_a_few_spikes() -> None:
    times, beta, n_steps = [1, 4, 5], 0.8, 12
    x = torch.zeros(n_steps, 1, 1)
    x[times] = 1.0
    trace, last = trace_scan(x, beta, torch.full((1, 1), 2.0), backend="numba")
    expected = [
        2.0 * beta ** (t + 1) + sum(beta ** (t - s) for s in times if s <= t)
        for t in range(n_steps)
    ]
    torch.testing.assert_close(trace.flatten(), torch.tensor(expected))
    assert torch.equal(last, trace[-1])


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 2, 31), (40, 3, 33), (7, 2, 130), (3, 0, 4)])
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("start", [False, True])
def test_equal_to_the_reference_bit_for_bit(shape, per_neuron, start) -> None:
    x = spikes_of(shape)
    beta = torch.linspace(0.5, 0.99, shape[2]) if per_neuron else 0.9
    z0 = torch.randn(shape[1:]) if start else None
    expected = trace_scan_ref(x, beta, z0)
    for given in (x, compact(x), x.transpose(0, 1).contiguous().transpose(0, 1)):
        trace, last = trace_scan(given, beta, z0, backend="numba")
        assert torch.equal(trace, expected[0])
        assert torch.equal(last, expected[1])


def test_gradients_of_the_reference_in_double_precision() -> None:
    x, z0, beta = spikes_of((50, 3, 5)), torch.randn(3, 5), torch.linspace(0.3, 0.98, 5)
    found = []
    for dtype, run in ((torch.float32, trace_scan), (torch.float64, trace_scan_ref)):
        inputs = [v.to(dtype, copy=True).requires_grad_() for v in (x, beta, z0)]
        trace, last = run(*inputs)
        weights = torch.linspace(-1, 1, trace.numel(), dtype=dtype).view(trace.shape)
        found.append(torch.autograd.grad((trace * weights).sum() + last.sum(), inputs))
    for ours, exact in zip(*found, strict=True):
        assert (ours.double() - exact).norm() <= 1e-5 * exact.norm()


def test_the_kernel_runs_by_itself_and_not_for_the_reference(monkeypatch) -> None:
    fetched = []
    original = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda *names: fetched.append(names[2]) or original(*names)
    )
    x = spikes_of((4, 2, 3))
    trace_scan(x, 0.9, backend="reference")
    trace_scan(x.double(), 0.9)
    assert fetched == []
    trace_scan(x, 0.9)
    assert fetched == ["li_forward"]


def test_torch_compile_in_one_graph() -> None:
    x = spikes_of((4, 2, 3)).requires_grad_()
    compiled = torch.compile(
        lambda s: trace_scan(s, 0.9)[0] * 2, fullgraph=True, backend="aot_eager"
    )
    out = compiled(x)
    assert torch.equal(out, 2 * trace_scan_ref(x, 0.9)[0])
    (ours,) = torch.autograd.grad(out.sum(), x)
    (expected,) = torch.autograd.grad(2 * trace_scan_ref(x, 0.9)[0].sum(), x)
    torch.testing.assert_close(ours, expected)


def test_refusals() -> None:
    x = spikes_of((4, 2, 3))
    with pytest.raises(ValueError, match=r"spikes must be \[T, B, N\], got shape \(4, 2\)"):
        trace_scan(x[..., 0], 0.9)
    with pytest.raises(ValueError, match=r"z0 must be of shape \(2, 3\), got \(2, 2\)"):
        trace_scan(x, 0.9, torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"beta must be a number or \[3\], got shape \(2,\)"):
        trace_scan(x, torch.ones(2))
    with pytest.raises(BackendError, match=r"cannot run trace_scan here: it needs float32"):
        trace_scan(x.double(), 0.9, backend="numba")
