"""Scans in whole numbers: by hand, against int64 of plain torch, and what they refuse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spikefuse.errors import BackendError
from spikefuse.kernels.fixed import (
    fixed_li_scan,
    fixed_li_scan_ref,
    fixed_lif_scan,
    fixed_lif_scan_ref,
)


def one(values: list[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def longs(*values: int) -> Tensor:
    return torch.tensor(values)


BACKENDS = pytest.mark.parametrize("backend", ["reference", "numba"])


@BACKENDS
def test_decay_truncates_towards_zero_on_both_sides(backend: str) -> None:
    # 5 * 3 / 4 = 3.75 -> 3, then 2.25 -> 2, 1.5 -> 1, 0.75 -> 0; the same below zero.
    for sign in (1.0, -1.0):
        trace, v = fixed_li_scan(
            one([5.0 * sign, 0, 0, 0, 0]), longs(3), longs(0), decay_bits=2, backend=backend
        )
        assert trace.flatten().tolist() == [5 * sign, 3 * sign, 2 * sign, sign, 0]
        assert v.item() == 0


@BACKENDS
def test_a_spike_needs_more_than_the_threshold_and_subtraction_keeps_the_rest(backend: str) -> None:
    x, unit = one([10.0, 0.0, 15.0, 0.0]), longs(4)
    for reset, last, fired in (("subtract", 5, [0, 0, 1, 1]), ("zero", 0, [0, 0, 1, 0])):
        spikes, v, active = fixed_lif_scan(
            x, unit, longs(10), longs(0), decay_bits=2, reset=reset, backend=backend
        )
        assert spikes.flatten().tolist() == fired
        assert v.item() == last
        assert active == (4 if reset == "subtract" else 3)


@BACKENDS
def test_membranes_saturate_at_their_width_and_shifts_are_powers_of_two(backend: str) -> None:
    trace, _ = fixed_li_scan(
        one([3.0, 9.0, -50.0]), longs(4), longs(3), decay_bits=2, state_bits=8, backend=backend
    )
    assert trace.flatten().tolist() == [24, 96, -127]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    decay_bits=st.integers(1, 16),
    state_bits=st.integers(8, 32),
    shift=st.integers(0, 8),
    size=st.sampled_from([1, 100, 2**20]),
    subtract=st.booleans(),
)
def test_the_fast_scans_equal_int64_bit_for_bit(
    seed: int, decay_bits: int, state_bits: int, shift: int, size: int, subtract: bool
) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(-size, size + 1, (12, 3, 5), generator=g).float()
    x *= torch.rand(x.shape, generator=g) < 0.5
    most = 2 ** (state_bits - 1) - 1
    decay = torch.randint(0, 2**decay_bits + 1, (5,), generator=g)
    threshold = torch.randint(1, min(most, size << shift) + 1, (5,), generator=g)
    v0 = torch.randint(-most, most + 1, (3, 5), generator=g).to(torch.int32)
    shifts = torch.full((5,), shift)
    reset = "subtract" if subtract else "zero"
    widths = {"decay_bits": decay_bits, "state_bits": state_bits, "v0": v0}
    fast = fixed_lif_scan(x, decay, threshold, shifts, reset=reset, backend="numba", **widths)
    slow = fixed_lif_scan_ref(x, decay, threshold, shifts, reset=reset, **widths)
    assert torch.equal(fast[0], slow[0])
    assert torch.equal(fast[1], slow[1])
    assert fast[2] == slow[2]
    traces = fixed_li_scan(x, decay, shifts, backend="numba", **widths)
    expected = fixed_li_scan_ref(x, decay, shifts, **widths)
    assert all(torch.equal(a, b) for a, b in zip(traces, expected, strict=True))


def test_a_run_in_two_parts_equals_the_whole() -> None:
    x = torch.randint(-30, 40, (10, 2, 3)).float()
    given_ = (longs(3800), longs(90), longs(1))
    spikes, v, _ = fixed_lif_scan(x, *given_)
    first, between, _ = fixed_lif_scan(x[:4], *given_)
    second, last, _ = fixed_lif_scan(x[4:], *given_, v0=between)
    assert torch.equal(torch.cat([first, second]), spikes)
    assert torch.equal(last, v)


def test_recurrent_spikes_arrive_one_step_later() -> None:
    back = torch.tensor([[0.0, 20.0], [0.0, 0.0]])
    x = torch.tensor([[[20.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]])
    spikes, _, active = fixed_lif_scan(x, longs(0), longs(10), longs(0), recurrent=back)
    assert spikes[:, 0].tolist() == [[1, 0], [0, 1], [0, 0]]
    assert active == 2


@BACKENDS
@pytest.mark.parametrize("wrong", [0.5, 2.0**24])
def test_fractions_and_sums_that_float32_cannot_hold_are_refused(
    backend: str, wrong: float
) -> None:
    with pytest.raises(ValueError, match="whole numbers below"):
        fixed_lif_scan(one([1.0, wrong]), longs(1), longs(9), longs(0), backend=backend)
    with pytest.raises(ValueError, match="whole numbers below"):
        fixed_li_scan(one([wrong]), longs(1), longs(0), backend=backend)


def test_an_explicit_kernel_refuses_recurrence() -> None:
    with pytest.raises(BackendError, match="reference alone"):
        fixed_lif_scan(
            one([1.0]),
            longs(1),
            longs(9),
            longs(0),
            recurrent=torch.zeros(1, 1),
            backend="numba",
        )
