"""Pooling and joining of events equal torch's on the dense tensors, for every size and rule."""

import itertools

import pytest
import torch

from spikefuse.errors import BackendError
from spikefuse.kernels import registry
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.pooling import (
    RULES,
    spike_join,
    spike_join_ref,
    spike_pool,
    spike_pool_ref,
)
from spikefuse.spikes import SpikeBatch

# in_shape, kernel, stride: whole windows, cut ones, overlaps, gaps, one window, single cells
WINDOWS = [
    ((2, 8, 8), (2, 2), None),
    ((3, 7, 9), (2, 3), None),
    ((2, 9, 9), (3, 3), (2, 2)),
    ((1, 6, 11), (1, 2), (2, 3)),
    ((2, 5, 4), (5, 4), None),
    ((1, 1, 65), (1, 1), None),
    ((1, 10, 7), (4, 3), (1, 1)),
]


def events(shape: tuple[int, ...], density: float, graded: bool, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    hits = torch.rand(shape, generator=generator) < density
    values = torch.randn(shape, generator=generator) if graded else torch.ones(shape)
    return torch.where(hits, values, 0.0)


def checked(spikes: SpikeBatch) -> torch.Tensor:
    """Dense form, after the checks that kernels skip."""
    return SpikeBatch(spikes.indptr, spikes.index, spikes.value, spikes.shape).to_dense()


@pytest.mark.parametrize(("in_shape", "kernel", "stride"), WINDOWS)
@pytest.mark.parametrize("mode", ["sum", "max"])
@pytest.mark.parametrize(("density", "graded"), [(0.0, False), (0.2, False), (0.9, True)])
def test_pooled_events_equal_pooled_maps(in_shape, kernel, stride, mode, density, graded) -> None:
    dense = events((4, 2, torch.Size(in_shape).numel()), density, graded)
    expected = spike_pool_ref(dense, in_shape, kernel, stride, mode)
    pooled = spike_pool(compact(dense), in_shape, kernel, stride, mode, backend="numba")
    torch.testing.assert_close(checked(pooled), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(spike_pool(dense, in_shape, kernel, stride, mode), expected)


def test_sum_keeps_every_spike_and_max_is_an_or() -> None:
    dense = events((5, 3, 64), 0.5, graded=False)
    total = checked(spike_pool(compact(dense), (1, 8, 8), (2, 2), backend="numba"))
    assert torch.equal(total.sum(-1), dense.sum(-1))
    spikes = spike_pool(compact(dense), (1, 8, 8), (2, 2), mode="max", backend="numba")
    assert spikes.value is None
    assert torch.equal(checked(spikes), (total > 0).float())


def test_a_window_of_negative_values_is_negative_only_if_it_is_full() -> None:
    for cells, expected in ((3, 0.0), (4, -1.0)):
        dense = torch.zeros(1, 1, 4)
        dense[0, 0, :cells] = torch.tensor([-1.0, -2.0, -3.0, -4.0])[:cells]
        for pool in (spike_pool, spike_pool_ref):
            assert pool(compact(dense), (1, 2, 2), (2, 2), mode="max").to_dense().item() == expected


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [1, 31, 65])
def test_joined_events_equal_joined_tensors(rule, n) -> None:
    for left_density, right_density in itertools.product([0.0, 0.3, 1.0], repeat=2):
        left = events((3, 2, n), left_density, False, 1)
        right = events((3, 2, n), right_density, False, 2)
        expected = spike_join_ref(left, right, rule)
        joined = spike_join(compact(left), compact(right), rule, backend="numba")
        assert torch.equal(checked(joined), expected)
        assert torch.equal(spike_join(left, right, rule), expected)


def test_truth_table_of_the_rules() -> None:
    a, b = torch.tensor([[[0.0, 0, 1, 1]]]), torch.tensor([[[0.0, 1, 0, 1]]])
    table = {"add": [0, 1, 1, 2], "or": [0, 1, 1, 1], "and": [0, 0, 0, 1], "iand": [0, 1, 0, 0]}
    for rule, expected in table.items():
        for left, right in ((a, b), (compact(a), compact(b))):
            out = spike_join(left, right, rule)
            out = out.to_dense() if isinstance(out, SpikeBatch) else out
            assert out.flatten().tolist() == expected


def test_graded_values_add_and_cancel() -> None:
    left, right = events((3, 2, 40), 0.5, True, 1), events((3, 2, 40), 0.5, True, 2)
    joined = spike_join(compact(left), compact(right), backend="numba")
    assert torch.equal(checked(joined), left + right)
    assert spike_join(compact(left), compact(-left), backend="numba").n_events == 0


def test_gradients_of_dense_spikes() -> None:
    # Full tensors: where two cells of a window are equal, a maximum has no derivative.
    x = events((2, 2, 32), 1.0, True).double().requires_grad_()
    y = events((2, 2, 32), 1.0, True, 1).double().requires_grad_()
    for mode in ("sum", "max"):
        assert torch.autograd.gradcheck(
            lambda s, m=mode: spike_pool(s, (2, 4, 4), (2, 2), mode=m), x
        )
    for rule in ("add", "and", "iand"):
        assert torch.autograd.gradcheck(lambda a, b, r=rule: spike_join(a, b, r), (x, y))


def test_kernels_run_by_themselves_and_not_for_the_reference(monkeypatch) -> None:
    spikes = compact(events((2, 2, 16), 0.5, False))
    fetched = []
    original = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda *names: fetched.append(names[2]) or original(*names)
    )
    with registry.use_backend("reference"):
        spike_join(spike_pool(spikes, (1, 4, 4), (2, 2)), spike_pool(spikes, (1, 4, 4), (2, 2)))
    assert fetched == []
    pooled = spike_pool(spikes, (1, 4, 4), (2, 2))
    spike_join(pooled, pooled)
    assert fetched == ["pool_events", "join_events"]


def test_refusals() -> None:
    x = torch.zeros(1, 1, 16)
    with pytest.raises(ValueError, match=r"mode must be 'sum' or 'max', got 'mean'"):
        spike_pool(x, (1, 4, 4), (2, 2), mode="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"kernel must be two numbers of at least 1, got \(0, 2\)"):
        spike_pool(x, (1, 4, 4), (0, 2))
    with pytest.raises(ValueError, match=r"in_shape must be \(C, H, W\) of at least 1 each"):
        spike_pool(x, (1, 4, 0), (1, 1))
    with pytest.raises(ValueError, match=r"spikes must be \[T, B, 32\], got shape \(1, 1, 16\)"):
        spike_pool(x, (2, 4, 4), (2, 2))
    with pytest.raises(ValueError, match=r"kernel must fit maps of 4 by 4, got \(5, 1\)"):
        spike_pool(x, (1, 4, 4), (5, 1))
    with pytest.raises(ValueError, match=r"rule must be one of .*'iand'\], got 'xor'"):
        spike_join(x, x, "xor")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"right must be of shape \(1, 1, 16\), got \(1, 1, 8\)"):
        spike_join(x, x[..., :8])
    with pytest.raises(ValueError, match=r"right must be a SpikeBatch, got Tensor"):
        spike_join(compact(x), x)  # type: ignore[type-var]
    with pytest.raises(BackendError, match=r"cannot run spike_pool here: it needs events, got a T"):
        spike_pool(x, (1, 4, 4), (2, 2), backend="numba")
    with pytest.raises(BackendError, match=r"cannot run spike_join here: it needs events, got a T"):
        spike_join(x, x, backend="numba")
