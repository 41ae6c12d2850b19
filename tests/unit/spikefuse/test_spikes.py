"""SpikeBatch: the dense round trip, the invariants of its rows, and its errors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

from spikefuse.spikes import SpikeBatch

SHAPES = st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(1, 6))
BINARY = SHAPES.flatmap(lambda s: hnp.arrays(np.float32, s, elements=st.sampled_from([0.0, 1.0])))
GRADED = SHAPES.flatmap(
    lambda s: hnp.arrays(np.float32, s, elements=st.sampled_from([0.0, 0.0, 1.0, 2.5, -3.0]))
)


def int32(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


@given(dense=st.one_of(BINARY, GRADED))
def test_dense_round_trip(dense) -> None:
    spikes = SpikeBatch.from_dense(torch.from_numpy(dense))
    assert spikes.shape == dense.shape
    assert torch.equal(spikes.to_dense(), torch.from_numpy(dense))


@given(dense=st.one_of(BINARY, GRADED))
def test_rows_are_those_of_scipy(dense) -> None:
    n_steps, n_batch, n_addresses = dense.shape
    spikes = SpikeBatch.from_dense(torch.from_numpy(dense))
    expected = csr_array(dense.reshape(n_steps * n_batch, n_addresses))
    assert (spikes.indptr.dtype, spikes.index.dtype) == (torch.int32, torch.int32)
    assert spikes.indptr.tolist() == expected.indptr.tolist()
    assert spikes.index.tolist() == expected.indices.tolist()
    if spikes.value is None:
        assert set(expected.data.tolist()) <= {1.0}
    else:
        assert spikes.value.dtype == torch.float32
        assert spikes.value.tolist() == expected.data.tolist()


@given(dense=BINARY)
def test_counts_and_rows(dense) -> None:
    n_batch = dense.shape[1]
    spikes = SpikeBatch.from_dense(torch.from_numpy(dense))
    step, sample, address = np.nonzero(dense)
    assert spikes.value is None
    assert spikes.n_events == len(step)
    assert spikes.rows().tolist() == (step * n_batch + sample).tolist()
    assert spikes.index.tolist() == address.tolist()
    assert spikes.density == (len(step) / dense.size if dense.size else 0.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bool, torch.int64])
@pytest.mark.parametrize("graded", [False, True])
def test_dense_of_another_dtype(dtype, graded) -> None:
    dense = torch.tensor([[[0.0, 1.0, 0.0]], [[2.0 if graded else 1.0, 0.0, 1.0]]])
    out = SpikeBatch.from_dense(dense).to_dense(dtype)
    assert out.dtype == dtype
    assert torch.equal(out, dense.to(dtype))


def test_from_dense_detaches_and_takes_strided_input() -> None:
    base = torch.rand(4, 3, 10, requires_grad=True)
    view = base.transpose(0, 1)[:, :, ::2]
    spikes = SpikeBatch.from_dense(view)
    assert spikes.value is not None
    assert not spikes.value.requires_grad
    assert torch.equal(spikes.to_dense(), view.detach())


def test_from_dense_needs_three_axes() -> None:
    with pytest.raises(ValueError, match=r"dense must be \[T, B, N\], got shape \(2, 3\)"):
        SpikeBatch.from_dense(torch.zeros(2, 3))


def test_an_address_may_fall_from_one_row_to_the_next() -> None:
    spikes = SpikeBatch(int32(0, 1, 1, 3), int32(4, 0, 4), None, (3, 1, 5))
    assert spikes.to_dense().nonzero().tolist() == [[0, 0, 4], [2, 0, 0], [2, 0, 4]]


@pytest.mark.parametrize(
    ("indptr", "index", "value", "shape", "message"),
    [
        ([0, 1], [0], None, (1, 1, 0), "shape must be"),
        ([0, 1], [0], None, (-1, -2, 3), "shape must be"),
        ([0, 1], [0], None, (2, 1, 3), r"indptr must be int32 \[3\]"),
        ([1, 1], [0], None, (1, 1, 3), "indptr must run from 0 to nnz=1, got 1 to 1"),
        ([0, 2], [0], None, (1, 1, 3), "indptr must run from 0 to nnz=1, got 0 to 2"),
        ([0, 2, 1], [0], None, (2, 1, 3), "indptr must never decrease"),
        ([0, 1], [3], None, (1, 1, 3), r"index must lie in \[0, 3\), got 3"),
        ([0, 1], [-1], None, (1, 1, 3), r"index must lie in \[0, 3\), got -1"),
        ([0, 2], [1, 1], None, (1, 1, 3), "strictly increasing within each row"),
        ([0, 1, 3], [2, 1, 0], None, (2, 1, 3), "strictly increasing within each row"),
        ([0, 1], [0], [1.0, 2.0], (1, 1, 3), r"value must match index \(1,\), got \(2,\)"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(indptr, index, value, shape, message) -> None:
    with pytest.raises(ValueError, match=message):
        SpikeBatch(
            int32(*indptr), int32(*index), None if value is None else torch.tensor(value), shape
        )


def test_other_integer_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"indptr must be int32 \[2\], got torch.int64"):
        SpikeBatch(torch.tensor([0, 1]), int32(0), None, (1, 1, 3))
    with pytest.raises(ValueError, match=r"index must be int32 \[nnz\], got torch.int64"):
        SpikeBatch(int32(0, 1), torch.tensor([0]), None, (1, 1, 3))


def test_trusted_skips_the_checks_and_keeps_the_pieces() -> None:
    # The index is out of range: only the checked constructor may say so.
    parts = (int32(0, 1), int32(9), None, (1, 1, 3))
    with pytest.raises(ValueError, match=r"index must lie in \[0, 3\), got 9"):
        SpikeBatch(*parts)
    spikes = SpikeBatch.trusted(*parts)
    assert (spikes.indptr, spikes.index, spikes.value, spikes.shape) == parts
    assert (spikes.n_events, spikes.density) == (1, 1 / 3)
