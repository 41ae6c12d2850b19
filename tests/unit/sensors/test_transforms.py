"""Event transforms against Tonic, brute force and their conservation laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors import transforms as tf
from spikefuse.errors import EventError
from spikefuse.events import EVENT_DTYPE, EventStream

SIZE = (7, 5, 2)
DURATION_US = 2000


def stream_of(rows: list[tuple[int, int, int, bool]], size=SIZE, duration_us=DURATION_US):
    events = np.array(sorted(rows, key=lambda row: row[0]), EVENT_DTYPE)
    return EventStream(events, size, duration_us, "vision")


streams = st.lists(
    st.tuples(st.integers(0, DURATION_US - 1), st.integers(0, 6), st.integers(0, 4), st.booleans()),
    max_size=60,
).map(stream_of)


def foreign(stream: EventStream) -> np.ndarray:
    """A writable copy with integer polarity, as Tonic's data sets give it."""
    layout = [("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)]
    copy = np.zeros(len(stream), layout)
    for name in ("x", "y", "t", "p"):
        copy[name] = stream.events[name]
    return copy


def same_events(mine: EventStream, other: np.ndarray) -> bool:
    return len(mine) == len(other) and all(
        (mine.events[name] == other[name]).all() for name in ("t", "x", "y", "p")
    )


def supported(events: np.ndarray, e: int, filter_us: int) -> bool:
    """Brute force: did a neighbour fire within the time before event ``e``?"""
    return any(
        abs(int(a["x"]) - int(events[e]["x"])) + abs(int(a["y"]) - int(events[e]["y"])) == 1
        and events[e]["t"] - a["t"] < filter_us
        for a in events[:e]
    )


@settings(max_examples=60)
@given(streams, st.integers(1, 600))
def test_denoise_is_its_definition(stream: EventStream, filter_us: int) -> None:
    kept = [supported(stream.events, e, filter_us) for e in range(len(stream))]
    assert (tf.denoise(stream, filter_us).events == stream.events[kept]).all()


def test_denoise_equals_tonic_once_its_memory_is_filled(make_stream) -> None:
    from tonic.functional import denoise_numpy

    stream = make_stream(1500, (34, 34, 2), 300_000)
    mine, theirs = tf.denoise(stream, 10_000), denoise_numpy(foreign(stream), 10_000)
    assert 100 < len(mine) < len(stream)
    later = tf.crop_time(mine, 10_000, 300_000).events["t"] + 10_000
    assert (later == theirs["t"][theirs["t"] >= 10_000]).all()
    # Tonic lets everything pass at first: what differs is noise that it keeps.
    assert (theirs["t"] < 10_000).sum() == (stream.events["t"] < 10_000).sum() > 10


@settings(max_examples=60)
@given(streams, st.integers(0, 600), st.booleans())
def test_refractory_is_its_definition(stream: EventStream, dead_us: int, extend: bool) -> None:
    last: dict[tuple[int, int], int] = {}
    kept = []
    for t, x, y, _ in stream.events.tolist():
        rested = t - last.get((x, y), -(10**9)) > dead_us
        kept.append(rested)
        if rested or extend:
            last[x, y] = t
    assert (tf.refractory(stream, dead_us, extend).events == stream.events[kept]).all()


def test_refractory_equals_tonic_but_for_events_at_zero(make_stream) -> None:
    from tonic.functional import refractory_period_numpy

    stream = make_stream(1500, (8, 6, 2), 300_000)
    assert stream.events["t"][0] > 0
    assert same_events(tf.refractory(stream, 5000), refractory_period_numpy(foreign(stream), 5000))
    first = stream_of([(0, 1, 1, True)])
    assert len(tf.refractory(first, 10)) == 1
    assert len(refractory_period_numpy(foreign(first), 10)) == 0


@settings(max_examples=40)
@given(streams, st.integers(0, DURATION_US), st.integers(1, 600))
def test_filters_in_parts_equal_the_whole(stream: EventStream, cut: int, us: int) -> None:
    at = int(np.searchsorted(stream.events["t"], cut))
    parts = [
        EventStream(stream.events[half].copy(), SIZE, DURATION_US, "vision")
        for half in (slice(None, at), slice(at, None))
    ]
    for whole, by_part in (
        (tf.denoise(stream, us), tf.denoise_part),
        (
            tf.refractory(stream, us),
            lambda part, us, last=None: tf.refractory_part(part, us, True, last),
        ),
    ):
        first, last_us = by_part(parts[0], us)
        second, _ = by_part(parts[1], us, last_us)
        assert (np.concatenate([first.events, second.events]) == whole.events).all()


@settings(max_examples=40)
@given(streams, st.integers(1, 2500))
def test_frames_conserve_events_and_equal_tonic(stream: EventStream, window_us: int) -> None:
    from tonic.functional import to_frame_numpy

    frames = tf.time_frames(stream, window_us)
    assert frames.sum() == len(stream)
    assert frames.shape == (-(-DURATION_US // window_us), 2, 5, 7)
    theirs = to_frame_numpy(
        foreign(stream),
        SIZE,
        time_window=window_us,
        include_incomplete=True,
        start_time=0,
        end_time=DURATION_US,
    )
    assert (frames == theirs).all()


def test_frames_of_a_sensor_of_one_polarity_and_of_nothing() -> None:
    merged = tf.merge_polarities(
        stream_of([(5, 1, 2, True), (999, 1, 2, False), (1000, 6, 4, False)])
    )
    frames = tf.time_frames(merged, 1000)
    assert frames.shape == (2, 1, 5, 7)
    assert (frames[0, 0, 2, 1], frames[1, 0, 4, 6], frames.sum()) == (2, 1, 3)
    assert tf.time_frames(EventStream.empty(SIZE, 0, "vision"), 10).shape == (1, 2, 5, 7)


def test_a_count_beyond_int16_is_refused() -> None:
    events = np.zeros(32768, EVENT_DTYPE)
    fits = EventStream(events[:32767].copy(), (1, 1, 1), 10, "vision")
    assert tf.time_frames(fits, 10).item() == 32767
    with pytest.raises(EventError, match="at most 32767 events in 10 us"):
        tf.time_frames(EventStream(events, (1, 1, 1), 10, "vision"), 10)


@settings(max_examples=40)
@given(streams, st.integers(2, 9))
def test_voxels_conserve_the_sign_and_equal_their_equation(
    stream: EventStream, n_bins: int
) -> None:
    voxels = tf.voxel_grid(stream, n_bins)
    expected = np.zeros((n_bins, 5, 7))
    for t, x, y, p in stream.events.tolist():
        near = np.maximum(0, 1 - np.abs(np.arange(n_bins) - (n_bins - 1) * t / DURATION_US))
        expected[:, y, x] += near if p else -near
    np.testing.assert_allclose(voxels, expected, atol=1e-4)
    balance = 2 * int(stream.events["p"].sum()) - len(stream)
    assert voxels.sum() == pytest.approx(balance, abs=1e-3)


def test_voxels_hold_those_of_tonic(make_stream) -> None:
    from tonic.functional import to_voxel_grid_numpy

    stream = make_stream(800, (8, 6, 2), 300_000)
    times = stream.events["t"]
    mine = tf.voxel_grid(stream, 11, (int(times[0]), int(times[-1])))
    theirs = to_voxel_grid_numpy(foreign(stream), (8, 6, 2), 10)[:, 0]
    np.testing.assert_allclose(mine[:10], theirs, atol=1e-4)
    assert np.abs(mine[10]).sum() > 1  # the bin that Tonic loses


def test_crops_equal_tonic(make_stream) -> None:
    from tonic.transforms import CenterCrop, CropTime

    stream = make_stream(500, (9, 6, 2))
    assert same_events(tf.crop_centre(stream, 4, 3), CenterCrop((9, 6, 2), (4, 3))(foreign(stream)))
    mine = tf.crop_time(stream, 10_000, 30_000)
    theirs = CropTime(10_000, 29_999)(foreign(stream))
    theirs["t"] -= 10_000
    assert same_events(mine, theirs)
    assert mine.duration_us == 20_000


@pytest.mark.parametrize("target", [(1, 1), (3, 2), (4, 5), (9, 6)])
def test_downsample_keeps_every_event(make_stream, target: tuple[int, int]) -> None:
    stream = make_stream(500, (9, 6, 2))
    small = tf.downsample(stream, *target)
    assert small.sensor_size == (*target, 2)
    for name, n, limit in (("x", target[0], 9), ("y", target[1], 6)):
        expected = [int(v) * n // limit for v in stream.events[name]]
        assert small.events[name].tolist() == expected
    assert (small.events["t"] == stream.events["t"]).all()


def test_downsample_equals_tonic_for_powers_of_two(make_stream) -> None:
    from tonic.transforms import Downsample

    stream = make_stream(500, (16, 8, 2))
    other = Downsample(sensor_size=(16, 8, 2), target_size=(4, 4))(foreign(stream))
    assert same_events(tf.downsample(stream, 4, 4), other)


def test_large_addresses_do_not_overflow() -> None:
    wide = stream_of([(1, 29_999, 0, True)], (30_000, 1, 1))
    assert tf.downsample(wide, 10_000, 1).events["x"][0] == 9999


@settings(max_examples=30)
@given(streams)
def test_normalising_twice_changes_nothing(stream: EventStream) -> None:
    merged = tf.merge_polarities(stream)
    assert (tf.merge_polarities(merged).events == merged.events).all()
    once = tf.downsample(stream, 7, 5)
    assert (once.events == stream.events).all()
    whole = tf.crop_time(tf.crop_space(stream, 0, 0, 7, 5), 0, DURATION_US)
    assert (whole.events == stream.events).all()
    for result in (merged, tf.denoise(stream, 100), tf.refractory(stream, 100)):
        EventStream(result.events, result.sensor_size, result.duration_us, "vision")


def test_cochleagram_counts_bands() -> None:
    rows = [(0, 0, 0, True), (10, 1, 0, True), (10, 5, 0, True), (1500, 5, 0, True)]
    stream = stream_of(rows, (6, 1, 1))
    assert tf.cochleagram(stream, 1000).tolist() == [[1, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1]]
    assert tf.cochleagram(stream, 1000, 3).tolist() == [[2, 0, 1], [0, 0, 1]]


def test_strided_events_are_read_right() -> None:
    events = np.zeros(8, EVENT_DTYPE)
    events["t"] = np.arange(8)
    events["x"][::2] = [1, 2, 3, 4]
    strided = EventStream(events[::2], SIZE, DURATION_US, "vision")
    assert not strided.events.flags.c_contiguous
    assert tf.time_frames(strided, 2000)[0, 0, 0].tolist() == [0, 1, 1, 1, 1, 0, 0]
    assert tf.denoise(strided, 100).events["x"].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: tf.denoise(s, 0), "filter_us must be a whole number >= 1, got 0"),
        (lambda s: tf.refractory(s, -1), "dead_us must be a whole number >= 0, got -1"),
        (lambda s: tf.time_frames(s, 1.5), "window_us must be a whole number >= 1, got 1.5"),
        (lambda s: tf.crop_space(s, 5, 0, 3, 1), r"left and width must lie inside \[0, 7\)"),
        (lambda s: tf.crop_time(s, 5, 4), "start_us and end_us must be 0 <= start <= end"),
        (lambda s: tf.downsample(s, 8, 5), r"width must lie in \[1, 7\], got 8"),
        (lambda s: tf.voxel_grid(s, 1), "n_bins must be a whole number >= 2, got 1"),
        (lambda s: tf.voxel_grid(s, 4, (0, 4)), "span_us must hold every event, from 5 to 5"),
        (lambda s: tf.voxel_grid(tf.merge_polarities(s), 4), "stream must have 2 polarities"),
        (lambda s: tf.cochleagram(s, 10), r"stream must be of size \(channels, 1, 1\)"),
        (lambda s: tf.denoise_part(s, 5, np.zeros((7, 5), np.int64)), r"last_us must be int64"),
    ],
)
def test_refusals(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(stream_of([(5, 1, 1, True)]))
