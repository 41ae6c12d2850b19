"""LIF and readout scans: bits, gradients, layouts, memory, refusals, torch.compile."""

import gc
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spikefuse.errors import BackendError
from spikefuse.kernels import buffers, registry
from spikefuse.kernels.neurons import (
    active_updates,
    li_scan,
    li_scan_ref,
    lif_scan,
    lif_scan_ref,
)
from spikefuse.surrogate import NAMES, Surrogate, spike

RESETS = ("zero", "subtract")
SHAPES = [(1, 1, 1), (17, 1, 31), (16, 3, 32), (33, 2, 33), (40, 5, 65), (35, 3, 200)]


def relative(found: Tensor, expected: Tensor) -> float:
    """Distance in units of the expected norm."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def random_case(shape: tuple[int, int, int]) -> dict[str, Tensor]:
    """A current that makes some neurons fire, and per-neuron parameters, all needing gradients."""
    torch.manual_seed(sum(shape))
    _, n_batch, n = shape
    case = {
        "current": 0.2 + 0.6 * torch.randn(shape),
        "beta": 0.5 + 0.49 * torch.rand(n),
        "threshold": 0.7 + 0.6 * torch.rand(n),
        "v0": torch.randn(n_batch, n),
    }
    return {name: value.requires_grad_() for name, value in case.items()}


def spy(monkeypatch: pytest.MonkeyPatch, op: str, name: str) -> list[int]:
    """Counts the calls of a numba kernel."""
    calls: list[int] = []
    real = registry.kernel(op, "numba", name)
    module = __import__(real.__module__, fromlist=[name])

    def counted(*args: object) -> object:
        calls.append(1)
        return real(*args)

    monkeypatch.setattr(module, name, counted)
    return calls


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("shape", SHAPES)
def test_numba_gives_the_bits_of_the_reference(shape, reset, monkeypatch) -> None:
    calls = spy(monkeypatch, "lif_scan", "lif_forward")
    case = random_case(shape)
    spikes, v = lif_scan(**case, reset=reset)
    assert calls == [1]
    expected, v_expected = lif_scan_ref(**case, reset=reset)
    assert torch.equal(spikes, expected)
    assert torch.equal(v, v_expected)
    assert shape[0] == 1 or 0.02 < float(spikes.detach().mean()) < 0.7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("detach", [False, True], ids=["through", "detached"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_gradients_equal_those_of_the_reference_in_float64(
    shape, reset, detach, name, monkeypatch
) -> None:
    calls = spy(monkeypatch, "lif_scan", "lif_backward")
    case = random_case(shape)
    options = {"reset": reset, "surrogate": Surrogate(name, 1.3), "detach_reset": detach}
    spikes, v = lif_scan(**case, **options)
    weight, weight_v = torch.randn_like(spikes), torch.randn_like(v)
    found = torch.autograd.grad((spikes * weight).sum() + (v * weight_v).sum(), list(case.values()))
    assert calls == [1]
    exact = {k: value.detach().double().requires_grad_() for k, value in case.items()}
    spikes64, v64 = lif_scan_ref(**exact, **options)
    assert torch.equal(spikes64.float(), spikes)
    expected = torch.autograd.grad(
        (spikes64 * weight).sum() + (v64 * weight_v).sum(), list(exact.values())
    )
    assert all(relative(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("reset", RESETS)
def test_a_detached_reset_has_its_closed_form(reset: str, backend: str) -> None:
    # One spike, at step 2. The last membrane is a leaky sum whose past a reset to zero cuts off.
    current = torch.tensor([0.3, 0.3, 1.0, 0.1, 0.2]).view(5, 1, 1).requires_grad_()
    spikes, v = lif_scan(current, 0.9, 1.0, reset=reset, detach_reset=True, backend=backend)
    assert spikes.flatten().tolist() == [0, 0, 1, 0, 0]
    (found,) = torch.autograd.grad(v.sum(), current)
    expected = 0.9 ** torch.arange(4, -1, -1.0)
    expected[:3] *= reset == "subtract"
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-5, atol=0)


def test_a_detached_reset_changes_gradients_but_no_value() -> None:
    case = random_case((40, 3, 33))
    through, detached = (lif_scan(**case, detach_reset=d) for d in (False, True))
    for a, b in zip(through, detached, strict=True):
        assert torch.equal(a, b)
    (a,), (b,) = (
        torch.autograd.grad(s.sum() + v.sum(), case["current"]) for s, v in (through, detached)
    )
    assert relative(a, b) > 0.1


def test_scalar_parameters_get_the_summed_gradient() -> None:
    case = random_case((20, 2, 40))
    beta, threshold = torch.tensor(0.9, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    spikes, _ = lif_scan(case["current"], beta, threshold)
    found = torch.autograd.grad(spikes.sum(), (beta, threshold))
    rows = [torch.full((40,), p, requires_grad=True) for p in (0.9, 1.0)]
    spikes, _ = lif_scan(case["current"], *rows)
    expected = torch.autograd.grad(spikes.sum(), rows)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == ()
        torch.testing.assert_close(a, b.sum(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        lambda x: torch.cat([x, x], 2)[:, :, : x.shape[2]],
        lambda x: x.repeat(2, 1, 1)[::2],
        lambda x: torch.stack([x, x], 3)[..., 0],
        lambda x: x[:, :1].expand(-1, x.shape[1], -1),
        lambda x: x[:1, :1, :1].expand(x.shape),
    ],
    ids=["batch first", "wider rows", "every other step", "gaps", "expanded", "one value"],
)
@pytest.mark.parametrize("n", [33, 160])
def test_strided_inputs_and_gradients(view: Callable[[Tensor], Tensor], n: int) -> None:
    torch.manual_seed(0)
    current = view(0.3 + 0.5 * torch.randn(20, 3, n)).detach().requires_grad_()
    plain = current.detach().contiguous().clone().requires_grad_()
    for scan in (lambda x: lif_scan(x, 0.9, 1.0), lambda x: li_scan(x, 0.9)):
        out, expected = scan(current)[0], scan(plain)[0]
        assert torch.equal(out, expected)
        for g in (torch.tensor(2.0).expand(20, 3, n), view(torch.randn(20, 3, n))):
            (a,) = torch.autograd.grad(out, current, g, retain_graph=True)
            (b,) = torch.autograd.grad(expected, plain, g.contiguous(), retain_graph=True)
            assert torch.equal(a, b)


def test_a_silent_input_stays_silent_and_passes_gradients() -> None:
    current = torch.zeros(50, 2, 40, requires_grad=True)
    spikes, v = lif_scan(current, 0.9, 1.0)
    assert not spikes.any()
    assert not v.any()
    v.sum().backward()
    # The membrane is a leaky sum: step t counts 0.9 ** (T - 1 - t).
    expected = 0.9 ** torch.arange(49, -1, -1.0)
    torch.testing.assert_close(current.grad[:, 0, 0], expected, rtol=1e-5, atol=0)


def test_chunks_pass_gradients_through_the_state() -> None:
    case = random_case((48, 2, 40))
    whole, _ = lif_scan(**case)
    first, v = lif_scan(**case | {"current": case["current"][:20]})
    second, _ = lif_scan(case["current"][20:], case["beta"], case["threshold"], v0=v)
    weight = torch.randn_like(whole)
    inputs = list(case.values())
    expected = torch.autograd.grad((whole * weight).sum(), inputs)
    found = torch.autograd.grad((torch.cat([first, second]) * weight).sum(), inputs)
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(relative(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_readout_bits_and_gradients(shape, monkeypatch) -> None:
    calls = spy(monkeypatch, "li_scan", "li_forward"), spy(monkeypatch, "li_scan", "li_backward")
    case = random_case(shape)
    inputs = [case[name] for name in ("current", "beta", "v0")]
    trace, v = li_scan(*inputs)
    expected, v_expected = li_scan_ref(*inputs)
    assert torch.equal(trace, expected)
    assert torch.equal(v, v_expected)
    weight, weight_v = torch.randn_like(trace), torch.randn_like(v)
    found = torch.autograd.grad((trace * weight).sum() + (v * weight_v).sum(), inputs)
    assert calls == ([1], [1])
    exact = [x.detach().double().requires_grad_() for x in inputs]
    trace64, v64 = li_scan_ref(*exact)
    expected = torch.autograd.grad((trace64 * weight).sum() + (v64 * weight_v).sum(), exact)
    assert all(relative(a, b) < 1e-5 for a, b in zip(found, expected, strict=True))


def test_readout_with_a_number_equals_the_reference() -> None:
    current = torch.randn(30, 2, 7)
    assert torch.equal(li_scan(current, 0.83)[0], li_scan_ref(current, 0.83)[0])


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("density", [0.0, 0.02, 1.0])
def test_active_updates_count_what_the_reference_counts(reset, density, monkeypatch) -> None:
    calls = spy(monkeypatch, "active_updates", "lif_active")
    torch.manual_seed(0)
    current = torch.randn(60, 3, 70) * (torch.rand(60, 3, 70) < density)
    found = active_updates(current, torch.rand(70), 1.0, reset)
    assert calls == [1]
    torch.manual_seed(0)
    current = torch.randn(60, 3, 70) * (torch.rand(60, 3, 70) < density)
    assert found == active_updates(current, torch.rand(70), 1.0, reset, backend="reference")
    assert (found == 0) == (density == 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_torch_surrogates_have_the_stated_slope(name: str) -> None:
    u, k = torch.linspace(-1, 1, 81, dtype=torch.float64, requires_grad=True), 3.0
    spike(u, Surrogate(name, k)).sum().backward()
    x = u.detach()
    expected = {
        "fast_sigmoid": (1 + k * x.abs()) ** -2,
        "triangle": torch.where(x.abs() < 1 / k, 1 - k * x.abs(), 0.0),
        "arctan": k / 2 / (1 + (torch.pi * k * x / 2) ** 2),
    }[name]
    torch.testing.assert_close(u.grad, expected)
    # arctan's slope is the derivative of arctan(pi k u / 2) / pi + 1/2, so its area is 1.
    half = Surrogate(name, k).half_width
    assert half == (1 / k if name == "triangle" else float("inf"))


@pytest.mark.parametrize("name", NAMES)
def test_kernel_slopes_are_those_of_torch(name: str) -> None:
    surrogate = Surrogate(name, 3.0)
    current = torch.linspace(0, 2, 81).view(1, 1, 81).requires_grad_()
    # One step from rest: the gradient of the spikes is the slope itself.
    spikes, _ = lif_scan(current, 0.9, 1.0, surrogate=surrogate)
    (slope,) = torch.autograd.grad(spikes.sum(), current)
    expected = surrogate.derivative(current.detach() - 1.0)
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_forward_and_backward_hold_three_dense_tensors_at_most() -> None:
    shape = (640, 16, 1024)
    dense = 4 * shape[0] * shape[1] * shape[2]
    warm = torch.randn(2, 1, 300, requires_grad=True)
    lif_scan(warm, 0.9, 1.0)[0].sum().backward()  # compile
    gc.collect()
    buffers.release()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # restarts the peak
    current = buffers.empty(shape).normal_(0.1, 0.4).requires_grad_()
    spikes, _ = lif_scan(current, 0.9, 1.0)
    spikes.sum().backward()
    # The input, the spikes, its gradient, and a sixteenth of one for the checkpoints.
    peak = _status("VmHWM") - before
    assert 2.9 * dense < peak < 3.2 * dense
    del current, spikes
    buffers.release()


def _status(field: str) -> int:
    """Bytes that the kernel reports for this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def test_cost_grows_linearly_with_steps() -> None:
    def cost(n_steps: int) -> float:
        current = torch.randn(n_steps, 4, 512, requires_grad=True)
        times = []
        for _ in range(5):
            start = time.process_time()
            lif_scan(current, 0.9, 1.0)[0].sum().backward()
            times.append(time.process_time() - start)
        return min(times)

    cost(16)  # compile
    # Eight times the steps: 8 when linear, 64 when quadratic.
    assert cost(4096) < 24 * cost(512)


def test_operators_pass_torch_opcheck() -> None:
    case = random_case((20, 2, 5))
    beta, threshold = case["beta"], case["threshold"]
    for v0 in (case["v0"], None):
        torch.library.opcheck(
            torch.ops.spikefuse.lif_scan.default,
            (case["current"], beta, threshold, v0, True, True, "triangle", 1.0, True, "numba"),
        )
        torch.library.opcheck(
            torch.ops.spikefuse.li_scan.default,
            (case["current"], beta, 1.0 - beta, v0, "numba"),
        )


def test_the_operator_equals_the_eager_path() -> None:
    case = random_case((40, 3, 33))
    inputs = list(case.values())
    eager = lif_scan(**case, reset="subtract", slope=2.0)
    options = (True, False, "fast_sigmoid", 2.0, True, "numba")
    traced = torch.ops.spikefuse.lif_scan(*inputs, *options)[:2]
    weight = torch.randn_like(eager[0])
    grads = [
        torch.autograd.grad((spikes * weight).sum() + v.sum(), inputs)
        for spikes, v in (eager, traced)
    ]
    for a, b in zip((*eager, *grads[0]), (*traced, *grads[1]), strict=True):
        assert torch.equal(a, b)


def test_a_second_derivative_is_refused_not_wrong() -> None:
    current = torch.rand(4, 1, 5, requires_grad=True)
    spikes, _ = lif_scan(current, 0.9, 1.0)
    (grad,) = torch.autograd.grad(spikes.sum(), current, create_graph=True)
    with pytest.raises(RuntimeError, match="lif_scan_backward"):
        grad.sum().backward()


def test_torch_compile_takes_the_whole_graph() -> None:
    case = random_case((8, 2, 5))

    def run(x: Tensor, beta: Tensor) -> Tensor:
        spikes, v = lif_scan(x, beta, 1.0)
        return li_scan(spikes, 0.9)[0].sum() + v.sum()

    inputs = (case["current"], case["beta"])
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")  # needs no C++ compiler
    found = torch.autograd.grad(compiled(*inputs), inputs)
    expected = torch.autograd.grad(run(*inputs), inputs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_float64_goes_to_the_reference_and_an_explicit_backend_is_refused() -> None:
    current = torch.rand(4, 1, 3, dtype=torch.float64)
    assert lif_scan(current, 0.9, 1.0)[0].dtype == torch.float64
    with pytest.raises(BackendError, match=r"it needs float32, got torch\.float64"):
        lif_scan(current, 0.9, 1.0, backend="numba")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"current": torch.zeros(3, 4)}, r"current must be \[T, B, N\], got shape \(3, 4\)"),
        ({"current": torch.zeros(0, 2, 5)}, "current must be of at least one step, got none"),
        ({"current": torch.zeros(3, 2, 5).int()}, "current must be floating point, got torch.int"),
        ({"beta": torch.rand(4)}, r"beta must be a number or \[5\], got shape \(4,\)"),
        ({"threshold": torch.rand(2, 5)}, r"threshold must be a number or \[5\]"),
        ({"v0": torch.rand(5)}, r"v0 must be of shape \(2, 5\), got \(5,\)"),
        ({"v0": torch.rand(2, 5).double()}, "v0 must be torch.float32 on cpu as current is"),
        ({"reset": "hard"}, "reset must be 'zero' or 'subtract', got 'hard'"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    good = {"current": torch.zeros(3, 2, 5), "beta": 0.9, "threshold": 1.0}
    with pytest.raises(ValueError, match=message):
        lif_scan(**good | change)


def test_bad_surrogates_are_named() -> None:
    with pytest.raises(ValueError, match="surrogate must be one of"):
        Surrogate("boxcar")
    with pytest.raises(ValueError, match="slope must be positive and finite, got 0"):
        Surrogate(slope=0)
