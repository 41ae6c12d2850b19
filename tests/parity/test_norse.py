"""Formula by formula against Norse, and converters both ways."""

import subprocess
import sys

import norse.torch as norse
import pytest
import torch
from norse.torch.functional.lif import LIFFeedForwardState
from norse.torch.functional.lif_box import LIFBoxFeedForwardState
from norse.torch.functional.reset import reset_subtract
from torch import nn

from spikefuse.interop.norse import from_norse, to_norse
from spikefuse.neurons import LIF, CubaLIF, CubaLIFParams, LIFParams

N_STEPS, N_BATCH, N = 150, 2, 24
NEAR = 1e-4


def run_cell(cell: nn.Module, current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes and membranes of every step."""
    rest = torch.zeros(current.shape[1:])
    box = isinstance(cell, norse.LIFBoxCell)
    state = LIFBoxFeedForwardState(rest) if box else LIFFeedForwardState(v=rest, i=rest)
    spikes, membranes = [], []
    for x in current:
        s, state = cell(x, state)
        spikes.append(s)
        membranes.append(state.v)
    return torch.stack(spikes).detach(), torch.stack(membranes).detach()


def run_ours(
    layer: LIF | CubaLIF, current: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Spikes, membranes, and membranes before the reset."""
    p, state = layer.params, None
    spikes, membranes, peaks = [], [], []
    before = torch.zeros(current.shape[1:])
    for x in current.split(1):
        s, state = layer(x, state)
        v = (state if isinstance(state, torch.Tensor) else state.v).detach()
        drive = x[0] if isinstance(state, torch.Tensor) else state.i.detach()
        peaks.append(layer.beta().detach() * before + drive)
        spikes.append(s[0])
        membranes.append(v)
        before = v
    assert all(
        torch.equal((h > p.threshold).float(), s) for h, s in zip(peaks, spikes, strict=True)
    )
    return torch.stack(spikes).detach(), torch.stack(membranes), torch.stack(peaks)


def drive(seed: int, scale: float) -> torch.Tensor:
    torch.manual_seed(seed)
    return scale * (0.15 + 0.4 * torch.randn(N_STEPS, N_BATCH, N))


CASES = {
    "box zero": (LIF, LIFParams(10.0, 2.0, 1.0, "zero"), 0.5),
    "box subtract": (LIF, LIFParams(10.0, 2.0, 1.0, "subtract"), 0.5),
    "current": (CubaLIF, CubaLIFParams(10.0, 4.0, 1.5, 1.0, "zero"), 0.15),
}


@pytest.mark.parametrize("case", CASES)
def test_export_gives_the_same_spikes_and_membranes(case: str) -> None:
    kind, params, scale = CASES[case]
    torch.manual_seed(1)
    ours = kind(N, params, 1.0)
    cell, gain = to_norse(ours)
    for seed in range(200):
        current = drive(seed, scale)
        spikes, membranes, peaks = run_ours(ours, current)
        if ((peaks - params.threshold).abs() > NEAR).all():
            break
    else:
        raise AssertionError("no tie-free input found")
    expected, their_membranes = run_cell(cell, current * gain)
    assert spikes.sum() > 100
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(membranes, their_membranes, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_round_trip_keeps_every_parameter(case: str) -> None:
    kind, params, _ = CASES[case]
    ours = kind(N, params, 2.0)
    cell, gain = to_norse(ours)
    back, back_gain = from_norse(cell, N)
    assert type(back) is kind
    torch.testing.assert_close(back.beta(), ours.beta(), rtol=0, atol=3e-7)
    torch.testing.assert_close(gain * back_gain, torch.ones(N), rtol=1e-5, atol=0)
    assert back.dt_ms == pytest.approx(2.0)
    for name in ("threshold", "reset", "surrogate"):
        assert getattr(back.params, name) == getattr(params, name)
    assert back.params.slope == 1.0  # what Norse does, whatever its alpha says
    if kind is CubaLIF:
        torch.testing.assert_close(back.alpha(), ours.alpha(), rtol=0, atol=3e-7)


def test_import_of_a_default_cell_gives_its_spikes() -> None:
    cell = norse.LIFCell()
    ours, gain = from_norse(cell, N)
    for seed in range(200):
        current = drive(seed, 2.0)
        spikes, _, peaks = run_ours(ours, current * gain)
        if ((peaks - 1.0).abs() > NEAR).all():
            break
    else:
        raise AssertionError("no tie-free input found")
    expected, _ = run_cell(cell, current)
    assert spikes.sum() > 100
    assert torch.equal(spikes, expected)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (
            lambda: norse.LIFBoxCell(norse.LIFBoxParameters(v_leak=torch.tensor(-0.5))),
            "v_leak must be 0",
        ),
        (
            lambda: norse.LIFCell(norse.LIFParameters(v_reset=torch.tensor(-0.1))),
            "v_reset must be 0",
        ),
        (lambda: norse.LIFCell(norse.LIFParameters(method="triangle")), "method must be 'super'"),
        (
            lambda: norse.LIFBoxCell(
                norse.LIFBoxParameters(tau_mem_inv=torch.tensor(1200.0)), dt=1e-3
            ),
            "must lie between 0 and 1",
        ),
        (lambda: norse.LICell(), "must be a LIFBoxCell or LIFCell"),
    ],
)
def test_import_refuses_what_has_no_twin(cell, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_norse(cell(), N)


def test_export_refuses_what_norse_cannot_do() -> None:
    with pytest.raises(ValueError, match="reset must be 'zero' for Norse's LIF"):
        to_norse(CubaLIF(N, CubaLIFParams(reset="subtract"), 1.0))
    with pytest.raises(ValueError, match="surrogate must be 'fast_sigmoid'"):
        to_norse(LIF(N, LIFParams(surrogate="arctan"), 1.0))
    with pytest.raises(ValueError, match="without recurrence"):
        to_norse(LIF(N, LIFParams(), 1.0, recurrent=True))


def test_the_gradient_is_theirs() -> None:
    # Norse lets gradients flow through the reset, as we do: the same input, the same gradient.
    torch.manual_seed(2)
    ours = LIF(N, LIFParams(10.0, 2.0, 1.0, "subtract", slope=1.0), 1.0)
    cell, gain = to_norse(ours)
    assert cell.p.reset_method is reset_subtract
    a = drive(7, 0.5).requires_grad_()
    b = a.detach().clone().requires_grad_()
    weight = torch.randn(N_STEPS, N_BATCH, N)
    (ours(a)[0] * weight).sum().backward()
    state = LIFBoxFeedForwardState(torch.zeros(N_BATCH, N))
    total = torch.zeros(())
    for x, w in zip(b.unbind(0), weight, strict=True):
        s, state = cell(x * gain, state)
        total = total + (s * w).sum()
    total.backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_converters_import_their_library_only_when_used() -> None:
    code = (
        "import sys, spikefuse.interop.norse, spikefuse.interop.snntorch\n"
        "print([m for m in ('norse', 'snntorch', 'numba') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
