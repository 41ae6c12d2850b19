"""Neuron references against closed forms, snnTorch and finite differences."""

import math

import numpy as np
import pytest
import torch

from spikefuse.kernels.neurons import active_updates, li_scan_ref, lif_scan_ref
from spikefuse.neurons import LIF, LIFParams, LIReadout


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


@pytest.mark.parametrize("layer", [LIF(6, LIFParams(), 5.0), LIReadout(6, 50.0, 5.0)])
def test_chunks_equal_the_whole(layer: torch.nn.Module) -> None:
    current = torch.rand(20, 3, 6)
    whole, last = layer(current)
    first, state = layer(current[:7])
    second, end = layer(current[7:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(last, end)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"current must be \[T, B, N\], got shape \(3, 4\)"):
        lif_scan_ref(torch.zeros(3, 4), 0.9, 1.0)
    with pytest.raises(ValueError, match="reset must be 'zero' or 'subtract', got 'hard'"):
        lif_scan_ref(torch.zeros(1, 1, 1), 0.9, 1.0, reset="hard")  # type: ignore[arg-type]
