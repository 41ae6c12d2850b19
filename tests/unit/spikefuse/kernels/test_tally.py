"""Messages per column, against the reference and a walk over the cells."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikefuse.kernels.tally import (
    count_some,
    count_spikes,
    drive,
    sift,
    sift_ref,
    tally,
    tally_events,
    tally_ref,
    weigh,
)
from spikefuse.spikes import SpikeBatch

VALUES = st.sampled_from([0.0, 1.0, -1.0, 2.0, -3.0, 0.5, 0.99999994, 1e-30, 16777216.0])


@given(st.integers(0, 6), st.integers(1, 5), st.data())
def test_columns_equal_a_walk_and_the_reference(n_rows: int, n: int, data: st.DataObject) -> None:
    cells = data.draw(st.lists(VALUES, min_size=n_rows * n, max_size=n_rows * n))
    x = torch.tensor(cells, dtype=torch.float32).reshape(n_rows, n)
    found = tally(x, backend="numba")
    for one, other in zip(found, tally_ref(x), strict=True):
        assert torch.equal(one, other)
    column = [float(v) for v in x[:, 0]]
    assert float(found[0][0]) == sum(abs(v) for v in column if v == round(v))
    assert float(found[1][0]) == sum(v != round(v) for v in column)
    assert float(found[2][0]) == -sum(v for v in column if v == round(v) and v < 0)


def test_infinities_and_nans_are_graded_and_many_rows_add_up() -> None:
    x = torch.tensor([[float("inf"), float("nan"), 1.0]]).repeat(5000, 1)
    for backend in ("numba", "reference"):
        whole, graded, negative = tally(x, backend=backend)
        assert whole.tolist() == [0, 0, 5000]
        assert graded.tolist() == [5000, 5000, 0]
        assert not negative.any()
    ones = torch.ones(9001, 2)
    assert tally(ones)[0].tolist() == [9001, 9001]
    assert tally(ones.double())[0].tolist() == [9001, 9001]


def test_it_reads_matrices() -> None:
    with pytest.raises(ValueError, match=r"x must be \[R, N\], got shape \(2, 2, 2\)"):
        tally(torch.ones(2, 2, 2))


@given(st.integers(0, 6), st.integers(1, 5), st.data())
def test_events_are_tallied_like_the_cells_they_stand_for(
    n_rows: int, n: int, data: st.DataObject
) -> None:
    cells = data.draw(st.lists(VALUES, min_size=n_rows * n, max_size=n_rows * n))
    x = torch.tensor(cells, dtype=torch.float32).reshape(n_rows, 1, n)
    events = SpikeBatch.from_dense(x)
    for backend in ("numba", "reference"):
        assert torch.equal(tally_events(events, backend=backend), tally_ref(x.view(-1, n)))
    ones = SpikeBatch.trusted(events.indptr, events.index, None, events.shape)
    assert torch.equal(tally_events(ones), tally_ref((x.view(-1, n) != 0).float()))


@given(st.integers(1, 5), st.data())
def test_what_messages_drive_is_a_sum_over_addresses(n: int, data: st.DataObject) -> None:
    whole = st.lists(st.integers(0, 2**40), min_size=n, max_size=n)
    table = torch.tensor([data.draw(whole) for _ in range(3)], dtype=torch.float64)
    used, every = (torch.randint(0, 1000, (n,)).double() for _ in range(2))
    expected = [sum(int(a) * int(b) for a, b in zip(row, used, strict=True)) for row in table]
    sent = [int(a + b) for a, b in zip(table[0], table[1], strict=True)]
    expected += [sum(m * int(e) for m, e in zip(sent, every, strict=True)), sum(sent)]
    for backend in ("numba", "reference"):
        assert list(weigh(table, used, every, backend=backend)) == expected


ODD = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 0.5, float("inf"), float("nan")])
READINGS = ["frames", "auto", "whole", "events"]


@pytest.mark.parametrize("reading", READINGS)
@given(data=st.data())
def test_frames_are_told_from_spikes_as_the_reference_does(
    reading: str, data: st.DataObject
) -> None:
    kinds = data.draw(st.lists(ODD, min_size=1, max_size=3))
    cells = data.draw(st.lists(st.sampled_from(kinds), min_size=12, max_size=12))
    x = torch.tensor(cells).reshape(4, 3)
    table = sift_ref(x, reading)
    assert torch.equal(sift(x, reading, backend="numba"), table)
    used, every = torch.tensor([[2.0, 0.0, 5.0], [7.0, 7.0, 7.0]], dtype=torch.float64)
    driven = weigh(table, used, every), int(table[1].sum())
    for backend in ("numba", "reference"):
        *sums, graded = drive(x, reading, used, every, backend=backend)
        assert (tuple(sums), graded) == driven
        spikes = None if graded else int(table[0].sum())
        assert count_spikes(x, reading, backend=backend) == spikes


def test_a_frame_of_ones_is_spikes_unless_it_is_declared() -> None:
    x = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    assert sift(x, "auto").tolist() == [[0, 0], [1, 2], [0, 0]]
    assert sift(x, "whole").tolist() == [[1, 3], [0, 0], [0, 0]]
    assert sift(x[:, :1], "auto").tolist() == [[1], [0], [0]]
    assert sift(x[:, :1], "frames").tolist() == [[0], [1], [0]]
    with pytest.raises(ValueError, match="reading must be one of"):
        sift(x, "spikes")


@given(st.lists(ODD, min_size=6, max_size=6), st.lists(ODD, min_size=6, max_size=6))
def test_cells_with_something_in_them(first: list[float], second: list[float]) -> None:
    x, y = torch.tensor(first), torch.tensor(second)
    for backend in ("numba", "reference"):
        assert count_some(x, backend=backend) == sum(v != 0 for v in first)
        either = sum(a != 0 or b != 0 for a, b in zip(first, second, strict=True))
        assert count_some(x, y, backend=backend) == either
