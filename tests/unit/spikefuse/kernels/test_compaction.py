"""Compaction equals the reference and scipy on every shape, keeps odd values, says what runs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from spikefuse.errors import BackendError
from spikefuse.kernels import registry
from spikefuse.kernels.compaction import compact, compact_ref, expand, expand_ref
from spikefuse.spikes import SpikeBatch

WIDTHS = [1, 15, 16, 31, 32, 33, 63, 64, 65, 129, 200]


def same(a: SpikeBatch, b: SpikeBatch) -> bool:
    if (a.value is None) != (b.value is None) or a.shape != b.shape:
        return False
    pairs = [(a.indptr, b.indptr), (a.index, b.index)]
    if a.value is not None and b.value is not None:
        pairs.append((a.value, b.value))
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


def random_dense(shape: tuple[int, int, int], density: float, graded: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    hits = torch.rand(shape, generator=generator) < density
    values = torch.randn(shape, generator=generator) if graded else torch.ones(shape)
    return torch.where(hits, values, 0.0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often each kernel function was fetched for a call."""
    seen: dict[str, int] = {}
    original = registry.kernel

    def counting(op: str, backend: str, name: str) -> Callable[..., Any]:
        seen[name] = seen.get(name, 0) + 1
        return original(op, backend, name)

    monkeypatch.setattr(registry, "kernel", counting)
    return seen


@pytest.mark.parametrize("n", WIDTHS)
@pytest.mark.parametrize("density", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("graded", [False, True])
def test_equal_to_the_reference_and_to_scipy(n: int, density: float, graded: bool) -> None:
    dense = random_dense((3, 2, n), density, graded)
    spikes = compact(dense, backend="numba")
    assert same(spikes, compact_ref(dense))
    expected = csr_array(dense.view(6, n).numpy())
    assert spikes.indptr.tolist() == expected.indptr.tolist()
    assert spikes.index.tolist() == expected.indices.tolist()
    assert torch.equal(expand(spikes, backend="numba"), dense)
    assert torch.equal(expand_ref(spikes), dense)


@pytest.mark.parametrize("shape", [(0, 2, 5), (2, 0, 5), (1, 1, 1)])
def test_no_step_no_sample_one_cell(shape: tuple[int, int, int]) -> None:
    dense = torch.ones(shape)
    spikes = compact(dense, backend="numba")
    assert same(spikes, compact_ref(dense))
    assert torch.equal(expand(spikes, backend="numba"), dense)


@pytest.mark.parametrize("at", [0, 40, 64, 79, 80, 82])
def test_every_kind_of_number_is_seen_in_every_part_of_a_row(at: int) -> None:
    dense = torch.zeros(1, 1, 83)
    dense[0, 0, 1] = 1.0
    assert compact(dense, backend="numba").value is None
    for number in (2.0, -1.0, 1e-45, float("inf"), float("nan")):
        dense[0, 0, at] = number
        spikes = compact(dense, backend="numba")
        assert spikes.value is not None
        assert at in spikes.index.tolist()
        found = spikes.value[spikes.index == at]
        assert np.array_equal(found.numpy(), np.array([number], np.float32), equal_nan=True)
    dense[0, 0, at] = -0.0
    assert at not in compact(dense, backend="numba").index.tolist()


def test_a_strided_tensor_and_one_that_wants_a_gradient() -> None:
    dense = random_dense((70, 3, 4), 0.3, graded=True)
    turned = dense.transpose(0, 2)
    assert same(compact(turned, backend="numba"), compact_ref(turned.contiguous()))
    every_other = dense[::2, :, 1:3]
    assert same(compact(every_other, backend="numba"), compact_ref(every_other.contiguous()))
    spikes = compact(dense.requires_grad_(), backend="numba")
    assert spikes.value is not None
    assert not spikes.value.requires_grad


def test_what_it_builds_passes_the_checks_it_skips() -> None:
    spikes = compact(random_dense((4, 3, 65), 0.2, graded=True), backend="numba")
    SpikeBatch(spikes.indptr, spikes.index, spikes.value, spikes.shape)


def test_the_kernels_run_by_themselves(calls: dict[str, int]) -> None:
    dense = random_dense((2, 2, 70), 0.2, graded=True)
    expand(compact(dense))
    assert calls == {
        "mark_spikes": 1,
        "count_spikes": 1,
        "list_spikes": 1,
        "take_values": 1,
        "scatter_events": 1,
    }


def test_the_reference_runs_no_kernel(calls: dict[str, int]) -> None:
    dense = random_dense((2, 2, 70), 0.2, graded=False)
    with registry.use_backend("reference"):
        assert torch.equal(expand(compact(dense)), dense)
    half = compact(dense.to(torch.float64))
    assert torch.equal(expand(half, torch.float16), dense.half())
    assert calls == {}


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"dense must be \[T, B, N\], got shape \(2, 3\)"):
        compact(torch.zeros(2, 3))
    with pytest.raises(BackendError, match=r"numba.*compact.*float32, got torch.float64"):
        compact(torch.zeros(1, 1, 1, dtype=torch.float64), backend="numba")


def test_torch_compile_leaves_its_graph_and_gives_the_same() -> None:
    dense = random_dense((2, 2, 33), 0.3, graded=False)

    @torch.compile(backend="eager")
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return expand(compact(x)) * 2

    assert torch.equal(doubled(dense), dense * 2)
