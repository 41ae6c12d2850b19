"""Binning conserves events, keeps the clock and the tail, and leaves its input alone."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.kernels import registry
from spikefuse.kernels.binning import accumulate_events, bin_events, bin_events_ref
from spikefuse.spikes import SpikeBatch

SIZE = (3, 2, 2)
# Decimal steps as a person types them: whole and fractional milliseconds and microseconds, and
# some (2.01, 4.03, 8.03) whose product with 1000 is not the whole number it should be.
STEPS_MS = st.one_of(
    st.sampled_from([0.001, 0.0015, 0.1, 1 / 3, 0.7, 1.0, 2.01, 4.03, 8.03, 10.0, 33.3]),
    st.integers(1, 40_000).map(lambda us: us / 1000),
)


@st.composite
def streams(draw, n_max: int = 3) -> list[EventStream]:
    """A batch of one to ``n_max`` streams of one sensor, some of them empty."""
    batch = []
    for _ in range(draw(st.integers(1, n_max))):
        event = st.tuples(st.integers(0, 500), st.integers(0, 2), st.integers(0, 1), st.booleans())
        events = np.array(sorted(draw(st.lists(event, max_size=30))), EVENT_DTYPE)
        stretch = draw(st.sampled_from([1, 10, 30]))
        events["t"] *= stretch
        duration_us = int(events["t"].max(initial=0)) + draw(st.integers(1, 2_000))
        batch.append(EventStream(events, SIZE, duration_us, "vision"))
    return batch


def exact_step(t_us: int, dt_ms: float) -> int:
    """Step of a time by exact arithmetic on the decimal that was typed."""
    return t_us // (Fraction(repr(dt_ms)) * 1000)


def histogram(batch: list[EventStream], dt_ms: float, n_steps: int) -> np.ndarray:
    """Counts [T, B, P, H, W] by numpy's own histogram of exactly computed steps."""
    width, height, polarities = SIZE
    shape = (n_steps, len(batch), polarities, height, width)
    points = [
        (exact_step(t, dt_ms), b, int(p), y, x)
        for b, stream in enumerate(batch)
        for t, x, y, p in stream.events.tolist()
    ]
    edges = [np.arange(n + 1) - 0.5 for n in shape]
    return np.histogramdd(np.array(points, float).reshape(-1, 5), bins=edges)[0]


def one_stream(times: list[int], duration_us: int, x: int = 0) -> EventStream:
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"] = times
    events["x"] = x
    return EventStream(events, SIZE, duration_us, "vision")


# A step of one microsecond makes up to 17 000 rows: keep such steps for short streams.
def coarse_enough(batch: list[EventStream], dt_ms: float) -> float:
    longest = max(stream.duration_us for stream in batch)
    return max(dt_ms, longest / 1e3 / 2_000) if longest / 1e3 / dt_ms > 2_000 else dt_ms


@given(batch=streams(), dt_ms=STEPS_MS)
def test_equal_to_a_brute_force_histogram(batch, dt_ms) -> None:
    dt_ms = coarse_enough(batch, dt_ms)
    spikes = bin_events(batch, dt_ms)
    expected = histogram(batch, dt_ms, spikes.shape[0])
    assert np.array_equal(spikes.to_dense().numpy(), expected.reshape(spikes.shape))


@given(batch=streams(), dt_ms=STEPS_MS)
def test_every_event_is_counted_once(batch, dt_ms) -> None:
    dense = bin_events(batch, coarse_enough(batch, dt_ms)).to_dense()
    assert dense.sum(dim=(0, 2)).tolist() == [len(stream) for stream in batch]


@given(batch=streams(), dt_ms=STEPS_MS)
def test_clip_keeps_where_and_forgets_how_often(batch, dt_ms) -> None:
    dt_ms = coarse_enough(batch, dt_ms)
    kept, clipped = bin_events(batch, dt_ms), bin_events(batch, dt_ms, counts="clip")
    assert clipped.value is None
    assert torch.equal(clipped.to_dense(), (kept.to_dense() > 0).float())


@given(batch=streams(), dt_ms=STEPS_MS)
def test_a_sample_does_not_depend_on_its_batch(batch, dt_ms) -> None:
    dt_ms = coarse_enough(batch, dt_ms)
    together = bin_events(batch, dt_ms)
    for b, stream in enumerate(batch):
        alone = bin_events([stream], dt_ms, n_steps=together.shape[0])
        assert torch.equal(together.to_dense()[:, b], alone.to_dense()[:, 0])


@given(batch=streams(), dt_ms=STEPS_MS)
def test_the_input_is_untouched(batch, dt_ms) -> None:
    before = [stream.events.tobytes() for stream in batch]
    bin_events(batch, coarse_enough(batch, dt_ms), counts="clip")
    assert [stream.events.tobytes() for stream in batch] == before


def test_steps_start_at_the_clock_not_at_the_first_event() -> None:
    spikes = bin_events([one_stream([25_000, 39_999, 40_000], 50_000)], dt_ms=10.0)
    assert spikes.to_dense().sum(dim=(1, 2)).tolist() == [0, 0, 1, 1, 1]


def test_two_sensors_binned_apart_stay_aligned() -> None:
    early, late = one_stream([0, 7_000], 20_000), one_stream([7_000], 20_000, x=2)
    a, b = bin_events([early], 2.0), bin_events([late], 2.0)
    assert a.shape == b.shape
    assert a.rows().tolist() == [0, 3]
    assert b.rows().tolist() == [3]


@pytest.mark.parametrize(
    ("duration_us", "dt_ms", "n_steps"),
    [
        (10_001, 10.0, 2),
        (10_000, 10.0, 1),
        (1, 10.0, 1),
        (10_000, 3.0, 4),
        (16_060, 8.03, 2),  # 8.03 * 1e3 = 8029.999999999999, so that a plain ceil gives 3
    ],
)
def test_the_tail_has_its_step(duration_us, dt_ms, n_steps) -> None:
    spikes = bin_events([one_stream([duration_us - 1], duration_us)], dt_ms)
    assert spikes.shape[0] == n_steps
    assert spikes.rows().tolist() == [n_steps - 1]


def test_an_event_on_the_edge_belongs_to_the_later_step() -> None:
    # 4.03 * 1e3 = 4030.0000000000005: by floats the event at 4030 us would fall into step 0.
    spikes = bin_events([one_stream([4_029, 4_030], 8_060)], dt_ms=4.03)
    assert spikes.rows().tolist() == [0, 1]


def test_longer_than_needed_is_silence() -> None:
    spikes = bin_events([one_stream([0], 1_000)], dt_ms=1.0, n_steps=4)
    assert spikes.to_dense().sum(dim=(1, 2)).tolist() == [1, 0, 0, 0]


def test_empty_streams() -> None:
    silent = EventStream.empty(SIZE, 30_000, "vision")
    spikes = bin_events([silent, silent], dt_ms=10.0)
    assert (spikes.shape, spikes.n_events) == ((3, 2, 12), 0)
    nothing = bin_events([EventStream.empty(SIZE, 0, "vision")], dt_ms=10.0)
    assert nothing.shape == (0, 1, 12)
    mixed = bin_events([silent, one_stream([5], 10)], dt_ms=10.0)
    assert mixed.to_dense().sum(dim=(0, 2)).tolist() == [0, 1]


def test_errors_say_what_came() -> None:
    stream = one_stream([0, 9_000], 10_000)
    with pytest.raises(ValueError, match="at least one EventStream"):
        bin_events([], 1.0)
    for dt_ms in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"dt_ms must be positive and finite, got {dt_ms}"):
            bin_events([stream], dt_ms)
    with pytest.raises(ValueError, match=r"n_steps must be at least 10 .* got 9"):
        bin_events([stream], 1.0, n_steps=9)
    with pytest.raises(ValueError, match="counts must be 'keep' or 'clip', got 'sum'"):
        bin_events([stream], 1.0, counts="sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="streams must share one sensor_size"):
        bin_events([stream, EventStream.empty((3, 3, 2), 1, "vision")], 1.0)


@given(cells=st.lists(st.integers(0, 23), max_size=60))
def test_accumulate_is_bincount(cells) -> None:
    dense = accumulate_events(np.array(cells, np.int64), (2, 3, 4))
    expected = np.bincount(np.array(cells, np.int64), minlength=24).reshape(2, 3, 4)
    assert dense.dtype == torch.float32
    assert np.array_equal(dense.numpy(), expected)


def same(a: SpikeBatch, b: SpikeBatch) -> bool:
    if (a.value is None) != (b.value is None) or a.shape != b.shape:
        return False
    pairs = [(a.indptr, b.indptr), (a.index, b.index)]
    if a.value is not None and b.value is not None:
        pairs.append((a.value, b.value))
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


@given(batch=streams(), dt_ms=STEPS_MS, counts=st.sampled_from(["keep", "clip"]))
def test_kernel_equals_the_reference_bit_for_bit(batch, dt_ms, counts) -> None:
    dt_ms = coarse_enough(batch, dt_ms)
    spikes = bin_events(batch, dt_ms, counts=counts, backend="numba")
    assert same(spikes, bin_events_ref(batch, dt_ms, counts=counts))
    SpikeBatch(spikes.indptr, spikes.index, spikes.value, spikes.shape)  # the checks it skips


@pytest.mark.parametrize("size", [(63, 1, 1), (64, 1, 1), (65, 65, 1), (64, 64, 2), (346, 260, 2)])
@pytest.mark.parametrize("dt_ms", [1.0, 0.7331])
def test_kernel_on_sensors_around_and_beyond_a_word_of_words(make_stream, size, dt_ms) -> None:
    batch = [make_stream(n, size, 20_000) for n in (3_000, 0, 1, 500)]
    assert same(bin_events(batch, dt_ms, backend="numba"), bin_events_ref(batch, dt_ms))


def test_polarity_is_no_address_where_the_sensor_has_one(make_stream) -> None:
    events = make_stream(300, (8, 1, 2)).events.copy()
    stream = EventStream(events, (8, 1, 1), 50_000, "audio")
    assert {True, False} == set(events["p"].tolist())
    assert same(bin_events([stream], 5.0, backend="numba"), bin_events_ref([stream], 5.0))


def test_the_kernel_runs_by_itself_and_not_for_the_reference(make_stream, monkeypatch) -> None:
    fetched = []
    original = registry.kernel
    monkeypatch.setattr(
        registry, "kernel", lambda *names: fetched.append(names[2]) or original(*names)
    )
    batch = [make_stream(50), make_stream(50)]
    bin_events(batch, 10.0, backend="reference")
    assert fetched == []
    bin_events(batch, 10.0)
    assert fetched == ["bin_streams"]


def test_events_that_are_a_strided_view(make_stream) -> None:
    whole = make_stream(400)
    half = EventStream(whole.events[::2], whole.sensor_size, whole.duration_us, "vision")
    assert same(bin_events([half, whole], 3.0, backend="numba"), bin_events_ref([half, whole], 3.0))
