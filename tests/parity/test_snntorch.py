"""Formula by formula against snnTorch, and converters both ways."""

import pytest
import snntorch
import torch
from torch import nn

from spikefuse.interop.snntorch import from_snntorch, to_snntorch
from spikefuse.kernels.neurons import lif_scan
from spikefuse.kernels.synaptic import cuba_lif_scan
from spikefuse.neurons import ALIF, LIF, ALIFParams, CubaLIF, CubaLIFParams, LIFParams
from spikefuse.surrogate import Surrogate

N_STEPS, N_BATCH, N = 150, 2, 24
NEAR = 1e-4  # ties are decided by rounding: tests stay away from them


def run_theirs(layer: nn.Module, current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes and membranes of every step."""
    state = [
        torch.zeros(current.shape[1:]) for _ in range(1 + isinstance(layer, snntorch.Synaptic))
    ]
    spikes, membranes = [], []
    for x in current:
        s, *state = layer(x, *state)
        spikes.append(s)
        membranes.append(state[-1])
    return torch.stack(spikes).detach(), torch.stack(membranes).detach()


def run_ours(layer: nn.Module, current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes and membranes of every step, one step a call."""
    state, spikes, membranes = None, [], []
    for x in current.split(1):
        s, state = layer(x, state)
        spikes.append(s[0])
        membranes.append(state if isinstance(state, torch.Tensor) else state.v)
    return torch.stack(spikes).detach(), torch.stack(membranes).detach()


def away_from_ties(threshold: float, run, scale: float, gain: float = 1.0) -> torch.Tensor:
    """Random input whose membranes before the reset keep off the threshold; most draws do."""
    for seed in range(200):
        torch.manual_seed(seed)
        current = scale * (0.15 + 0.4 * torch.randn(N_STEPS, N_BATCH, N))
        before = run(current * gain)
        if ((before - threshold).abs() > NEAR).all():
            return current
    raise AssertionError("no tie-free input found")


def peaks(layer: nn.Module):
    """The membrane before each reset, from the layer's own trace and its spikes."""

    def run(current: torch.Tensor) -> torch.Tensor:
        v, i, out = torch.zeros(current.shape[1:]), torch.zeros(current.shape[1:]), []
        p = layer.params
        for x in current:
            i = (layer.alpha().detach() if isinstance(layer, CubaLIF) else 0.0) * i + x
            h = layer.beta().detach() * v + i
            out.append(h)
            s = (h > p.threshold).float()
            v = h * (1 - s) if p.reset == "zero" else h - p.threshold * s
        return torch.stack(out)

    return run


def layers(reset: str) -> list[nn.Module]:
    torch.manual_seed(3)
    lif = LIF(N, LIFParams(10.0, 2.0, 1.0, reset), 1.0)
    cuba = CubaLIF(N, CubaLIFParams(10.0, 4.0, 1.5, 1.0, reset), 1.0)
    return [lif, cuba]


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("which", [0, 1], ids=["LIF", "CubaLIF"])
def test_export_gives_the_same_spikes_and_membranes(which: int, reset: str) -> None:
    ours = layers(reset)[which]
    # Small inputs: the membrane never stays above threshold after a reset by subtraction.
    current = away_from_ties(1.0, peaks(ours), 0.5 if which == 0 else 0.15)
    theirs = to_snntorch(ours)
    spikes, membranes = run_ours(ours, current)
    expected, their_membranes = run_theirs(theirs, current)
    assert spikes.sum() > 100
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(membranes, their_membranes, rtol=0, atol=1e-5)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("which", [0, 1], ids=["Leaky", "Synaptic"])
def test_the_round_trip_keeps_every_parameter(which: int, reset: str) -> None:
    ours = layers(reset)[which]
    p = ours.params
    back = from_snntorch(to_snntorch(ours), N, 1.0, Surrogate(p.surrogate, p.slope))
    assert type(back) is type(ours)
    torch.testing.assert_close(back.beta(), ours.beta(), rtol=0, atol=2e-7)
    if which == 1:
        torch.testing.assert_close(back.alpha(), ours.alpha(), rtol=0, atol=2e-7)
    for name in ("threshold", "reset", "learn_tau", "slope", "surrogate"):
        assert getattr(back.params, name) == getattr(p, name)


def test_import_of_a_leaky_that_resets_late_to_zero_gives_its_spikes() -> None:
    theirs = snntorch.Leaky(beta=0.9, threshold=0.8, reset_mechanism="zero")  # delayed by default
    ours = from_snntorch(theirs, N, 1.0)
    current = away_from_ties(0.8, peaks(ours), 0.5)
    spikes, _ = run_ours(ours, current)
    expected, _ = run_theirs(theirs, current)
    assert spikes.sum() > 100
    assert torch.equal(spikes, expected)


@pytest.mark.parametrize("late", [False, True])
def test_import_passes_gradients_through_the_reset_where_snntorch_does(late: bool) -> None:
    grad = snntorch.surrogate.fast_sigmoid(slope=10.0)
    theirs = snntorch.Leaky(
        beta=0.9, threshold=0.8, reset_mechanism="zero", reset_delay=late, spike_grad=grad
    )
    ours = from_snntorch(theirs, N, 1.0)
    assert ours.params.detach_reset == late
    current = away_from_ties(0.8, peaks(ours), 0.5).requires_grad_()
    weight = torch.randn(current.shape)
    (found,) = torch.autograd.grad((ours(current)[0] * weight).sum(), current)
    out, mem = [], theirs.reset_mem()
    for x in current.unbind(0):
        s, mem = theirs(x, mem)
        out.append(s)
    (expected,) = torch.autograd.grad((torch.stack(out) * weight).sum(), current)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: snntorch.Leaky(0.9), "reset_delay=True resets by 'subtract' one step late"),
        (lambda: snntorch.Synaptic(0.8, 0.9, reset_mechanism="zero"), "one step late"),
        (lambda: snntorch.Leaky(0.9, reset_mechanism="none"), "never resets"),
        (lambda: snntorch.Leaky(0.9, reset_delay=False, inhibition=True), "inhibition"),
        (lambda: snntorch.Leaky(0.9, reset_delay=False, init_hidden=True), "init_hidden"),
        (lambda: snntorch.Leaky(0.9, reset_delay=False, graded_spikes_factor=2.0), "graded"),
        (lambda: snntorch.Leaky(1.0, reset_delay=False), "beta must lie between 0 and 1"),
        (
            lambda: snntorch.Leaky(0.9, threshold=torch.rand(N), reset_delay=False),
            "threshold must be one number",
        ),
        (lambda: snntorch.RLeaky(0.9, linear_features=N), "must be a Leaky or Synaptic"),
    ],
)
def test_import_refuses_what_has_no_twin(layer, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_snntorch(layer(), N, 1.0)


def test_why_a_late_reset_is_refused() -> None:
    # The refusals are not pedantry: one late reset each, and the spikes differ.
    torch.manual_seed(0)
    current = 0.3 + 0.4 * torch.randn(N_STEPS, N_BATCH, N)
    late, _ = run_theirs(snntorch.Synaptic(0.5, 0.9, 3.0, reset_mechanism="zero"), current)
    ours, _ = cuba_lif_scan(current, 0.5, 0.9, 3.0, reset="zero")
    assert (late != ours).sum() > 10
    late, _ = run_theirs(snntorch.Leaky(0.9, reset_mechanism="subtract"), current)
    ours, _ = lif_scan(current, 0.9, 1.0, reset="subtract")
    assert (late != ours).sum() > 10


def test_export_refuses_recurrence_and_the_triangle() -> None:
    with pytest.raises(ValueError, match="layer must be without recurrence"):
        to_snntorch(LIF(N, LIFParams(), 1.0, recurrent=True))
    with pytest.raises(ValueError, match="surrogate must be 'fast_sigmoid' or 'arctan'"):
        to_snntorch(LIF(N, LIFParams(surrogate="triangle"), 1.0))
    assert not hasattr(ALIF(N, ALIFParams(), 1.0), "alpha")  # no twin in snnTorch at all


@pytest.mark.parametrize("name", ["fast_sigmoid", "arctan"])
def test_surrogate_slopes_are_theirs(name: str) -> None:
    layer = to_snntorch(LIF(1, LIFParams(surrogate=name, slope=7.0), 1.0))
    distance = torch.linspace(-1, 1, 41, requires_grad=True)
    layer.spike_grad(distance).sum().backward()
    expected = Surrogate(name, 7.0).derivative(distance.detach())
    torch.testing.assert_close(distance.grad, expected)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_gradients_pass_the_reset_alike(reset) -> None:
    torch.manual_seed(0)
    layer = LIF(5, LIFParams(reset=reset, slope=3.0), 1.0)
    twin = to_snntorch(layer)
    ours = (torch.rand(30, 4, 5) * 0.6).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    spikes, _ = layer(ours)
    membrane, fired = torch.zeros(4, 5), []
    for current in theirs.unbind(0):
        step, membrane = twin(current, membrane)
        fired.append(step)
    assert torch.equal(spikes, torch.stack(fired))
    assert spikes.sum() > 50
    spikes.sum().backward()
    torch.stack(fired).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
