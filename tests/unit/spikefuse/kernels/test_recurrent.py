"""Synaptic, adaptive and recurrent scans: bits, gradients, closed forms, refusals."""

import pytest
import torch
from torch import Tensor

from spikefuse.kernels import registry
from spikefuse.kernels.activity import active_states
from spikefuse.kernels.adaptive import alif_scan, alif_scan_ref
from spikefuse.kernels.neurons import lif_scan
from spikefuse.kernels.recurrent import recurrent_lif_scan, recurrent_lif_scan_ref
from spikefuse.kernels.synaptic import cuba_lif_scan, cuba_lif_scan_ref
from spikefuse.surrogate import Surrogate

SCANS = {
    "cuba": (cuba_lif_scan, cuba_lif_scan_ref, ("alpha", "beta", "threshold"), ("i0", "v0")),
    "alif": (alif_scan, alif_scan_ref, ("beta", "threshold", "rho", "kappa"), ("v0", "a0")),
    "lif": (recurrent_lif_scan, recurrent_lif_scan_ref, ("beta", "threshold"), ("v0",)),
}
CASES = [("cuba", False), ("alif", False), ("lif", True), ("cuba", True), ("alif", True)]
SHAPES = [(1, 1, 1), (33, 3, 33), (20, 2, 140)]
RANGES = {
    "alpha": (0.3, 0.9),
    "beta": (0.5, 0.99),
    "threshold": (0.8, 1.6),
    "rho": (0.8, 0.98),
    "kappa": (0.1, 0.4),
}


def coarse(*shape: int) -> Tensor:
    """Multiples of 1/256: their sums are exact in float32, whatever the order."""
    return torch.randint(-96, 160, shape) / 256


def random_case(kind: str, recurrent: bool, shape: tuple[int, int, int]) -> dict[str, Tensor]:
    """Arguments of a scan, all needing gradients."""
    torch.manual_seed(sum(shape) + len(kind))
    _, n_batch, n = shape
    case = {"current": coarse(*shape) * 2}
    for name in SCANS[kind][2]:
        low, high = RANGES[name]
        case[name] = low + (high - low) * torch.rand(n)
    for name in SCANS[kind][3]:
        case[name] = coarse(n_batch, n)
    if recurrent:
        case["recurrent"] = (torch.randint(-40, 40, (n, n)) / 256) * (4 / n**0.5)
        case["recurrent"] = (case["recurrent"] * 256).round() / 256
        case["s0"] = (torch.rand(n_batch, n) < 0.3).float()
    return {name: value.requires_grad_() for name, value in case.items()}


def flat(result: tuple) -> list[Tensor]:
    """Spikes and states in one list."""
    spikes, state = result
    return [spikes, *(state if isinstance(state, tuple) else (state,))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("detach", [False, True], ids=["through", "detached"])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize(("kind", "recurrent"), CASES)
def test_bits_and_gradients(kind, recurrent, reset, detach, shape, monkeypatch) -> None:
    scan, reference = SCANS[kind][:2]
    case = random_case(kind, recurrent, shape)
    surrogate = Surrogate("triangle", 0.8)
    options = {"reset": reset, "surrogate": surrogate, "detach_reset": detach}
    calls: list[int] = []
    module = __import__(
        registry.kernel("neuron_scan", "numba", "scan_forward").__module__, fromlist=["x"]
    )
    real = module.scan_forward
    monkeypatch.setattr(module, "scan_forward", lambda *a: (calls.append(1), real(*a))[1])
    found = flat(scan(**case, **options))
    assert calls == [1]
    expected = flat(reference(**case, **options))
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
    assert shape[0] == 1 or 0.02 < float(found[0].detach().mean()) < 0.8

    weights = [torch.randn_like(x) for x in found]
    inputs = list(case.values())
    gradients = torch.autograd.grad(
        sum((x * w).sum() for x, w in zip(found, weights, strict=True)), inputs
    )
    exact = {name: value.detach().double().requires_grad_() for name, value in case.items()}
    in64 = flat(reference(**exact, **options))
    assert torch.equal(in64[0].float(), found[0])
    expected = torch.autograd.grad(
        sum((x * w).sum() for x, w in zip(in64, weights, strict=True)), list(exact.values())
    )
    for name, a, b in zip(case, gradients, expected, strict=True):
        assert float((a.double() - b).norm()) <= 1e-5 * float(b.norm()), name


@pytest.mark.parametrize(("kind", "recurrent"), CASES)
def test_chunks_equal_the_whole(kind: str, recurrent: bool) -> None:
    scan, _, _, states = SCANS[kind]
    case = {k: v.detach() for k, v in random_case(kind, recurrent, (30, 2, 20)).items()}
    whole = flat(scan(**case))
    first = flat(scan(**case | {"current": case["current"][:11]}))
    state = dict(zip(states, first[1:], strict=True))
    if recurrent:
        state["s0"] = first[0][-1]
    rest = flat(scan(**case | {"current": case["current"][11:]} | state))
    assert torch.equal(torch.cat([first[0], rest[0]]), whole[0])
    for a, b in zip(rest[1:], whole[1:], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("kind", "recurrent"), CASES)
def test_a_detached_reset_changes_gradients_but_no_value(kind: str, recurrent: bool) -> None:
    case = random_case(kind, recurrent, (30, 2, 20))
    through, detached = (flat(SCANS[kind][0](**case, detach_reset=d)) for d in (False, True))
    for a, b in zip(through, detached, strict=True):
        assert torch.equal(a, b)
    a, b = (torch.autograd.grad(x[0].sum(), case["current"])[0] for x in (through, detached))
    assert float((a - b).norm()) > 0.05 * float(a.norm())


def test_without_their_extra_state_all_are_lif() -> None:
    current = coarse(40, 3, 30) * 2
    for reset in ("zero", "subtract"):
        expected, v = lif_scan(current, 0.9, 1.0, reset=reset)
        assert expected.sum() > 50
        spikes, (_, membrane) = cuba_lif_scan(current, 0.0, 0.9, 1.0, reset=reset)
        assert torch.equal(spikes, expected)
        assert torch.equal(membrane, v)
        spikes, (membrane, _) = alif_scan(current, 0.9, 1.0, 0.9, 0.0, reset=reset)
        assert torch.equal(spikes, expected)
        assert torch.equal(membrane, v)
        none = torch.zeros(30, 30)
        spikes, membrane = recurrent_lif_scan(current, 0.9, 1.0, none, reset=reset)
        assert torch.equal(spikes, expected)
        assert torch.equal(membrane, v)


def test_one_pulse_through_a_silent_synapse_has_its_closed_form() -> None:
    # Threshold out of reach: v_t = sum over k of beta^(t-k) alpha^k, the difference of two decays.
    alpha, beta, n_steps = 0.6, 0.9, 20
    current = torch.zeros(n_steps, 1, 1)
    current[0] = 1.0
    _, (i, v) = cuba_lif_scan(current, alpha, beta, 100.0)
    last = n_steps - 1
    assert i.item() == pytest.approx(alpha**last, rel=1e-5)
    expected = (beta**n_steps - alpha**n_steps) / (beta - alpha)
    assert v.item() == pytest.approx(expected, rel=1e-5)


def test_adaptation_settles_at_its_closed_form() -> None:
    # A neuron driven far above threshold fires every step: a_T = (1 - rho^T) / (1 - rho).
    spikes, (_, a) = alif_scan(torch.full((50, 1, 1), 100.0), 0.0, 1.0, 0.9, 0.5)
    assert spikes.sum() == 50
    assert a.item() == pytest.approx((1 - 0.9**50) / 0.1, rel=1e-5)


def test_a_ring_of_neurons_passes_one_spike_around() -> None:
    n = 40
    ring = 2.0 * torch.roll(torch.eye(n), 1, 1)
    start = torch.zeros(1, n)
    start[0, 0] = 1.0
    spikes, _ = recurrent_lif_scan(torch.zeros(n, 1, n), 0.5, 1.0, ring, s0=start)
    # One spike a step, one neuron further each time, and back at neuron 0 after n steps.
    assert torch.equal(spikes[:, 0].argmax(1), (torch.arange(n) + 1) % n)
    assert torch.equal(spikes.sum((1, 2)), torch.ones(n))


def test_only_rows_of_neurons_that_fired_are_read() -> None:
    # A NaN in the row of a neuron that never fires must not reach anyone.
    weight = torch.zeros(35, 35)
    weight[7] = torch.nan
    current = torch.zeros(10, 2, 35)
    current[:, :, :5] = 2.0
    spikes, v = recurrent_lif_scan(current, 0.9, 1.0, weight)
    assert spikes[:, :, :5].all()
    assert not v.isnan().any()


@pytest.mark.parametrize(
    "parameters",
    [
        {"alpha": 0.7, "beta": 0.9, "threshold": 1.5, "kappa": 0.0, "rho": 0.0},
        {"alpha": 0.0, "beta": 0.9, "threshold": 1.0, "kappa": 0.3, "rho": 0.9},
        {"alpha": 0.0, "beta": 0.9, "threshold": 1.0, "kappa": 0.0, "rho": 0.9},
    ],
)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_active_states_are_those_of_the_reference(parameters: dict, reset: str) -> None:
    torch.manual_seed(1)
    current = 3 * torch.rand(40, 2, 150) * (torch.rand(40, 2, 150) < 0.03)
    found = active_states(current, **parameters, reset=reset, backend="numba")
    assert found == active_states(current, **parameters, reset=reset, backend="reference")
    assert 0 < found < current.numel()


@pytest.mark.parametrize("weight", [None, torch.eye(5)])
def test_operator_passes_torch_opcheck(weight: Tensor | None) -> None:
    torch.manual_seed(0)
    table = torch.rand(5, 5, requires_grad=True)
    current = torch.randn(20, 2, 5, requires_grad=True)
    if weight is not None:
        weight = weight.clone().requires_grad_()
    v0 = torch.rand(2, 5, requires_grad=True)
    torch.library.opcheck(
        torch.ops.spikefuse.neuron_scan.default,
        (current, weight, table, None, v0, None, None, True, True, "triangle", 1.0, True, "numba"),
    )


def test_torch_compile_takes_the_whole_graph() -> None:
    case = random_case("alif", True, (6, 2, 5))

    def run(current: Tensor, recurrent: Tensor) -> Tensor:
        spikes, (v, a) = alif_scan(current, 0.9, 1.0, 0.9, 0.2, recurrent=recurrent)
        return spikes.sum() + v.sum() + a.sum()

    inputs = (case["current"], case["recurrent"])
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")  # needs no C++ compiler
    found = torch.autograd.grad(compiled(*inputs), inputs)
    expected = torch.autograd.grad(run(*inputs), inputs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_bad_arguments_are_named() -> None:
    current = torch.zeros(3, 2, 5)
    with pytest.raises(ValueError, match=r"recurrent must be of shape \(5, 5\), got \(4, 5\)"):
        recurrent_lif_scan(current, 0.9, 1.0, torch.zeros(4, 5))
    with pytest.raises(ValueError, match="s0 must be None without recurrent weights"):
        cuba_lif_scan(current, 0.5, 0.9, 1.0, s0=torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"a0 must be of shape \(2, 5\), got \(2, 4\)"):
        alif_scan(current, 0.9, 1.0, 0.9, 0.1, a0=torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"rho must be a number or \[5\], got shape \(3,\)"):
        alif_scan(current, 0.9, 1.0, torch.rand(3), 0.1)


@pytest.mark.parametrize("wanted", [False, True])
def test_the_gradient_of_the_recurrent_weight_is_computed_only_where_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    called: list[str] = []
    real = registry.kernel

    def spied(op: str, backend: str, name: str):
        def run(*arguments: object) -> object:
            called.append(name)
            return real(op, backend, name)(*arguments)

        return run

    monkeypatch.setattr(registry, "kernel", spied)
    current = torch.rand(5, 2, 6, requires_grad=True)
    weight = torch.randn(6, 6, requires_grad=wanted)
    recurrent_lif_scan(current, 0.9, 0.5, weight, backend="numba")[0].sum().backward()
    assert "step_back" in called
    assert ("weight_gradient" in called) == wanted
    assert (weight.grad is not None) == wanted
    if wanted:
        loop = recurrent_lif_scan_ref(current, 0.9, 0.5, weight)[0].sum()
        torch.testing.assert_close(weight.grad, torch.autograd.grad(loop, weight)[0])
