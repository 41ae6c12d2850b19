"""Send on delta: the compiled walk equals its reference bit for bit, and it runs."""

import pytest
import torch

from spikefuse.errors import BackendError
from spikefuse.kernels import registry
from spikefuse.kernels.delta import send_on_delta, send_on_delta_ref
from spikefuse.spikes import SpikeBatch


def walk(shape: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).cumsum(0) * 0.3


def assert_same(got: SpikeBatch, expected: SpikeBatch) -> None:
    assert got.shape == expected.shape
    assert torch.equal(got.indptr, expected.indptr)
    assert torch.equal(got.index, expected.index)
    assert (got.value is None) == (expected.value is None)
    if got.value is not None and expected.value is not None:
        assert torch.equal(got.value, expected.value)


@pytest.mark.parametrize(
    "shape", [(50, 3, 70), (1, 2, 5), (40, 1, 1), (7, 1, 64), (0, 2, 3), (3, 0, 4)]
)
@pytest.mark.parametrize("threshold", [0.05, 0.3, 7.0])
def test_equal_to_the_reference_bit_for_bit(shape: tuple[int, int, int], threshold: float) -> None:
    signal = walk(shape)
    start = torch.full(shape[1:], -3, dtype=torch.int64)
    for level in (None, start):
        got, after = send_on_delta(signal, threshold, level, backend="numba")
        expected, wanted = send_on_delta_ref(signal, threshold, level)
        assert_same(got, expected)
        assert torch.equal(after, wanted)
    assert bool((start == -3).all())  # a state that is passed in is not written to


def test_steps_of_one_have_no_amplitudes() -> None:
    signal = torch.randint(-1, 2, (60, 2, 9), generator=torch.Generator().manual_seed(2))
    spikes, _ = send_on_delta(signal.float().cumsum(0), 1.0, backend="numba")
    assert spikes.n_events > 0
    assert spikes.value is None


def test_strided_signals_and_those_that_need_a_gradient() -> None:
    signal = walk((20, 4, 6)).transpose(1, 2).requires_grad_()
    assert_same(
        send_on_delta(signal, 0.2, backend="numba")[0], send_on_delta_ref(signal.detach(), 0.2)[0]
    )


def test_the_compiled_walk_is_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    fetch = registry.kernel

    def spy(op: str, backend: str, name: str):
        names.append(f"{op} {backend} {name}")
        return fetch(op, backend, name)

    monkeypatch.setattr(registry, "kernel", spy)
    send_on_delta(walk((5, 2, 3)), 0.1)
    assert "send_on_delta numba send" in names
    names.clear()
    with registry.use_backend("reference"):
        send_on_delta(walk((5, 2, 3)), 0.1)
    assert names == []


def test_other_types_take_the_reference_or_are_refused() -> None:
    signal = walk((5, 2, 3)).double()
    assert_same(send_on_delta(signal, 0.1)[0], send_on_delta_ref(signal, 0.1)[0])
    with pytest.raises(BackendError, match=r"cannot run send_on_delta here: it needs float32"):
        send_on_delta(signal, 0.1, backend="numba")


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "signal must be finite, got NaN or infinity"),
        (float("inf"), "signal must be finite, got NaN or infinity"),
        (-(2.0**23), r"signal must stay below 2\*\*23 thresholds, got 8.38861e\+06 of them"),
    ],
)
def test_values_out_of_range(value: float, message: str, backend: str) -> None:
    signal = torch.zeros(4, 2, 3)
    signal[2, 1, 2] = value
    with pytest.raises(ValueError, match=message):
        send_on_delta(signal, 1.0, backend=backend)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"signal must be \[T, B, N\], got shape \(3, 4\)"):
        send_on_delta(torch.zeros(3, 4), 1.0)
    with pytest.raises(ValueError, match=r"signal must be floating point, got torch\.int64"):
        send_on_delta(torch.zeros(3, 4, 1, dtype=torch.int64), 1.0)
    with pytest.raises(ValueError, match="threshold must be positive and finite, got 0"):
        send_on_delta(torch.zeros(3, 4, 1), 0)
