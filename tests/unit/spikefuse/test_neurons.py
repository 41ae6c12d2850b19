"""Neuron references against closed forms, snnTorch and finite differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from spikefuse.kernels.neurons import active_updates, li_scan_ref, lif_scan_ref
from spikefuse.neurons import (
    ALIF,
    LIF,
    ALIFParams,
    CubaLIF,
    CubaLIFParams,
    LIFParams,
    LIReadout,
)
from spikefuse.surrogate import Surrogate


def test_a_silent_membrane_decays_exponentially() -> None:
    v0 = torch.full((1, 1), 0.5, dtype=torch.float64)
    current = torch.zeros(30, 1, 1, dtype=torch.float64)
    spikes, v = lif_scan_ref(current, 0.9, 1.0, v0=v0)
    assert spikes.sum() == 0
    assert v.item() == pytest.approx(0.5 * 0.9**30, rel=1e-12)


def test_interval_between_spikes_has_its_closed_form() -> None:
    beta, drive, threshold = 0.95, 0.08, 1.0
    spikes, _ = lif_scan_ref(
        torch.full((400, 1, 1), drive, dtype=torch.float64), beta, threshold, reset="zero"
    )
    # After a reset v_n = drive (1 - beta^n) / (1 - beta); it fires at the first n above threshold.
    n = math.ceil(math.log(1 - threshold * (1 - beta) / drive) / math.log(beta))
    times = spikes[:, 0, 0].nonzero().flatten()
    assert times[0] + 1 == n
    assert set(times.diff().tolist()) == {n}


def test_subtracting_reset_keeps_the_charge() -> None:
    current = torch.rand(200, 3, 5, dtype=torch.float64)
    spikes, v = lif_scan_ref(current, 1.0, 4.0, reset="subtract")
    torch.testing.assert_close(current.sum(0), v + 4.0 * spikes.sum(0))


def test_spikes_equal_snntorch(rng: np.random.Generator) -> None:
    import snntorch

    current = torch.from_numpy(rng.normal(0.1, 0.4, (120, 2, 16))).float()
    theirs = snntorch.Leaky(beta=0.9, threshold=1.0, reset_mechanism="zero")
    membrane = torch.zeros(2, 16)
    expected = []
    for x in current:
        spike, membrane = theirs(x, membrane)
        expected.append(spike)
    ours, _ = lif_scan_ref(current, 0.9, 1.0, reset="zero")
    assert ours.sum() > 50
    torch.testing.assert_close(ours, torch.stack(expected), rtol=0, atol=0)


def test_readout_gradient_against_finite_differences() -> None:
    current = torch.rand(6, 2, 3, dtype=torch.float64, requires_grad=True)
    beta = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, b: li_scan_ref(x, b)[0].sum(0), (current, beta))


def test_surrogate_gradient_of_one_step_is_the_stated_slope() -> None:
    current = torch.tensor([[[1.4]]], requires_grad=True)
    spikes, _ = lif_scan_ref(current, 0.9, 1.0, slope=5.0)
    spikes.sum().backward()
    assert current.grad is not None
    assert current.grad.item() == pytest.approx(1 / (1 + 5 * 0.4) ** 2, rel=1e-5)


def test_active_updates_by_hand() -> None:
    # Input at step 1 only; the membrane never returns to exactly zero afterwards.
    current = torch.zeros(5, 1, 2)
    current[1, 0, 0] = 0.5
    assert active_updates(current, 0.9, 1.0, "zero") == 4
    # With a reset to zero the neuron rests from the step after its spike on.
    current[1, 0, 0] = 2.0
    assert active_updates(current, 0.9, 1.0, "zero") == 1


LAYERS = [
    LIF(6, LIFParams(), 5.0),
    LIF(3, LIFParams(), 5.0, share=2),
    LIF(6, LIFParams(), 5.0, recurrent=True),
    CubaLIF(6, CubaLIFParams(), 5.0),
    CubaLIF(6, CubaLIFParams(), 5.0, recurrent=True),
    ALIF(6, ALIFParams(), 5.0),
    ALIF(6, ALIFParams(), 5.0, recurrent=True),
    LIReadout(6, 50.0, 5.0),
]


def _states(state: object) -> list[torch.Tensor]:
    tensors = [state] if isinstance(state, torch.Tensor) else list(state)
    return [x for x in tensors if x is not None]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_chunks_equal_the_whole(layer: torch.nn.Module) -> None:
    current = 2 * torch.rand(20, 3, 6)
    whole, last = layer(current)
    assert whole.any()
    first, state = layer(current[:7])
    second, end = layer(current[7:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    for a, b in zip(_states(last), _states(end), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_every_parameter_of_a_layer_learns(layer: torch.nn.Module) -> None:
    torch.manual_seed(0)
    out, _ = layer(2 * torch.rand(20, 3, 6))
    layer.zero_grad()
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_surrogate_of_a_layer_is_the_one_in_its_parameters() -> None:
    torch.manual_seed(0)
    layer = LIF(1, LIFParams(surrogate="triangle", slope=0.5), 5.0)
    current = torch.tensor([[[1.4]]], requires_grad=True)
    layer(current)[0].sum().backward()
    expected = Surrogate("triangle", 0.5).derivative(torch.tensor(0.4))
    assert current.grad.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(
    ("kind", "params"), [(LIF, LIFParams()), (CubaLIF, CubaLIFParams()), (ALIF, ALIFParams())]
)
def test_layers_detach_their_reset_when_told(kind, params, recurrent: bool) -> None:
    gradients = []
    for detach in (False, True):
        torch.manual_seed(0)
        layer = kind(6, replace(params, detach_reset=detach), 5.0, recurrent=recurrent)
        current = torch.zeros(20, 3, 6).uniform_().requires_grad_()
        _, state = layer(current)
        membrane = state if isinstance(state, torch.Tensor) else state.v
        gradients.append(torch.autograd.grad(membrane.sum(), current)[0])
    through, detached = gradients
    assert not torch.allclose(through, detached)
    if kind is LIF and not recurrent:
        # Reset by subtraction: the membrane is then a leaky sum for the gradient.
        expected = layer.beta()[None].detach() ** torch.arange(19, -1, -1.0)[:, None]
        torch.testing.assert_close(detached[:, 0], expected, rtol=1e-5, atol=0)


def test_recurrent_weights_start_without_self_connection_and_at_their_scale() -> None:
    weight = LIF(400, LIFParams(), 5.0, recurrent=True, recurrent_gain=0.5).recurrent_weight
    assert not weight.diagonal().any()
    assert weight.std().item() == pytest.approx(0.5 / 20, rel=0.05)


@pytest.mark.parametrize("kind", [CubaLIF, ALIF])
def test_layers_count_their_active_steps(kind: type) -> None:
    layer = kind(5, CubaLIFParams() if kind is CubaLIF else ALIFParams(), 5.0)
    current = torch.zeros(10, 2, 5)
    assert layer.count_active(current) == 0
    current[4, 1, 2] = 0.5
    assert layer.count_active(current) == 6  # that neuron, from its input on


@pytest.mark.parametrize("layer", [LAYERS[2], LAYERS[4], LAYERS[6]])
def test_recurrent_layers_refuse_to_be_counted(layer: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match="recurrent layers have no counting rule"):
        layer.count_active(torch.zeros(2, 1, 6))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"current must be \[T, B, N\], got shape \(3, 4\)"):
        lif_scan_ref(torch.zeros(3, 4), 0.9, 1.0)
    with pytest.raises(ValueError, match="reset must be 'zero' or 'subtract', got 'hard'"):
        lif_scan_ref(torch.zeros(1, 1, 1), 0.9, 1.0, reset="hard")  # type: ignore[arg-type]
