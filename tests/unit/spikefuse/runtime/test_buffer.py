"""The jitter buffer against a plain sort, and one outcome for each thing that goes wrong."""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikefuse.errors import EventError
from spikefuse.events import EVENT_DTYPE
from spikefuse.runtime.buffer import BufferParams, JitterBuffer, as_stream
from spikefuse.runtime.held import order_of

SIZES = {"vision": (8, 8, 2), "audio": (16, 1, 1)}


def events(times, x=None):
    found = np.zeros(len(times), EVENT_DTYPE)
    found["t"] = times
    found["x"] = np.arange(len(times)) % 8 if x is None else x
    found["p"] = True
    return found


def drained(buffer, modality="vision"):
    return np.concatenate([c.events for c in buffer.flush() if c.modality == modality])


def both(buffer, now_us):
    for name in SIZES:
        buffer.advance(name, now_us)


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=120),
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(0, 3),
)
def test_events_late_within_the_budget_come_out_sorted_and_none_is_lost(gaps, sizes, seed):
    # Delivery displaced by less than the budget: the buffer must give what a sort gives.
    times = np.cumsum(gaps)
    rng = np.random.default_rng(seed)
    arrival = times + rng.integers(0, 10_000, len(times))
    sent = events(times, x=rng.integers(0, 8, len(times)))[np.argsort(arrival, kind="stable")]
    buffer = JitterBuffer(SIZES, BufferParams(latency_ms=10, repeated="keep", jump_ms=1e6))
    out, at = [], 0
    while at < len(sent):
        n = sizes[at % len(sizes)]
        assert buffer.push("vision", sent[at : at + n]) == len(sent[at : at + n])
        buffer.advance("audio", buffer.clock_us("vision"))
        out += [c for c in buffer.pop() if c.modality == "vision"]
        at += n
    out += [c for c in buffer.flush() if c.modality == "vision"]
    got = np.concatenate([c.events for c in out])
    assert np.array_equal(np.sort(got), np.sort(sent))
    assert (np.diff(got["t"]) >= 0).all()
    for chunk, later in pairwise(out):
        assert (chunk.events["t"] < chunk.now_us).all()
        assert (later.events["t"] >= chunk.now_us).all()
    assert buffer.outcomes.count("vision", "late") == 0


def test_an_event_is_held_for_the_budget_and_no_longer():
    buffer = JitterBuffer(SIZES, BufferParams(latency_ms=5))
    buffer.push("vision", events([1000]))
    both(buffer, 6000)
    assert sum(len(c.events) for c in buffer.pop()) == 0
    both(buffer, 6001)
    assert sum(len(c.events) for c in buffer.pop()) == 1


def test_out_of_order_events_are_counted_one_by_one():
    buffer = JitterBuffer(SIZES)
    buffer.push("vision", events([100, 90, 80, 200]))
    assert buffer.outcomes.count("vision", "out of order") == 2
    assert drained(buffer)["t"].tolist() == [80, 90, 100, 200]


@pytest.mark.parametrize(("policy", "expected"), [("drop", [30_000]), ("clamp", [20_000, 30_000])])
def test_late_events_are_dropped_or_moved_to_the_watermark(policy, expected):
    buffer = JitterBuffer(SIZES, BufferParams(latency_ms=10, late=policy))
    both(buffer, 30_000)
    buffer.pop()
    buffer.push("vision", events([500, 30_000]))
    assert buffer.outcomes.count("vision", "late") == 1
    assert drained(buffer)["t"].tolist() == expected


def test_late_events_are_an_error_if_asked_for():
    buffer = JitterBuffer(SIZES, BufferParams(late="raise"))
    both(buffer, 30_000)
    buffer.pop()
    with pytest.raises(EventError, match="latency_ms"):
        buffer.push("vision", events([500]))


@pytest.mark.parametrize(("policy", "n"), [("drop", 4), ("keep", 8)])
def test_a_packet_that_comes_twice_is_kept_once(policy, n):
    buffer = JitterBuffer(SIZES, BufferParams(repeated=policy))
    packet = events([10, 10, 20, 21])
    buffer.push("vision", packet)
    buffer.push("vision", packet)
    assert len(drained(buffer)) == n
    assert buffer.outcomes.count("vision", "repeated") == 8 - n


def test_events_of_one_time_at_other_addresses_are_no_repetition():
    buffer = JitterBuffer(SIZES)
    sent = events([10] * 8)
    buffer.push("vision", sent)
    assert np.array_equal(drained(buffer), sent)


@pytest.mark.parametrize("leap_us", [-50_000_000, 50_000_000])
def test_a_clock_that_leaps_goes_on_where_it_stood(leap_us):
    buffer = JitterBuffer(SIZES)
    start = 60_000_000
    both(buffer, start)
    buffer.push("vision", events([start, start + 1000]))
    buffer.push("vision", events([start + leap_us, start + leap_us + 700]))
    assert buffer.outcomes.count("vision", "clock jump") == 1
    assert drained(buffer)["t"].tolist() == [start, start + 1000, start + 1000, start + 1700]


def test_a_sensor_that_begins_late_with_a_clock_of_its_own_joins_the_others():
    buffer = JitterBuffer(SIZES, BufferParams(latency_ms=10, jump_ms=1000))
    buffer.push("vision", events(np.arange(0, 3_000_000, 1000)))
    buffer.push("audio", events([90_000_000, 90_000_500]))
    assert buffer.clock_us("audio") == 2_999_500
    assert buffer.outcomes.count("audio", "late") == 0


def test_one_damaged_time_among_good_ones_leaves_the_clock_where_it_was():
    buffer = JitterBuffer(SIZES)
    buffer.push("vision", events([1000, 2000, 1 << 50, 3000, 4000]))
    assert drained(buffer)["t"].tolist() == [1000, 2000, 2000, 3000, 4000]
    assert buffer.outcomes.count("vision", "clock jump") == 2


def test_what_lies_beyond_a_leap_is_dropped_or_an_error_if_asked_for():
    sent = events([1000, 90_000_000, 2000])
    buffer = JitterBuffer(SIZES, BufferParams(jump="drop"))
    buffer.push("vision", sent)
    assert drained(buffer)["t"].tolist() == [1000, 2000]
    assert buffer.outcomes.count("vision", "beyond a jump") == 1
    with pytest.raises(EventError, match="leap"):
        JitterBuffer(SIZES, BufferParams(jump="raise")).push("vision", sent)


def test_times_without_any_order_are_one_outcome_and_no_loop():
    buffer = JitterBuffer(SIZES)
    buffer.push("vision", events(np.random.default_rng(0).integers(0, 1 << 50, 10_000)))
    assert buffer.outcomes.count("vision", "unusable") == 10_000
    assert buffer.pending("vision") == 0


def test_a_silent_sensor_holds_nobody_up_and_is_absent_until_it_speaks():
    buffer = JitterBuffer(SIZES, BufferParams(silent_ms=100, latency_ms=10))
    buffer.push("audio", events([1000]))
    buffer.push("vision", events(np.arange(0, 90_000, 100)))
    buffer.pop()
    assert buffer.watermark_us == 0  # audio may still speak
    assert not buffer.absent
    buffer.push("vision", events(np.arange(90_000, 200_000, 100)))
    released = buffer.pop()
    assert buffer.absent == {"audio"}
    assert {c.now_us for c in released} == {199_900 - 10_000}
    buffer.push("audio", events([195_000]))
    assert not buffer.absent
    assert buffer.outcomes.by_modality()["audio"] == {"back": 1, "silent": 1}


def test_a_sensor_that_comes_back_late_is_waited_for_again():
    buffer = JitterBuffer(SIZES, BufferParams(silent_ms=100, latency_ms=10))
    buffer.push("vision", events(np.arange(0, 300_000, 100)))
    buffer.pop()
    assert buffer.absent == {"audio"}
    buffer.push("audio", events([250_000]))
    assert buffer.outcomes.count("audio", "late") == 1
    assert not buffer.absent
    buffer.push("vision", events([340_000]))
    assert buffer.pop() == []  # audio is at 250 ms
    buffer.push("audio", events([335_000]))
    assert len(buffer.pop()) == 2
    assert buffer.outcomes.count("audio", "late") == 1


def test_a_full_buffer_says_how_many_it_took_and_then_makes_room():
    buffer = JitterBuffer(SIZES, BufferParams(capacity=100, latency_ms=10))
    sent = events(np.arange(250))
    took = buffer.push("vision", sent)
    assert took == 100
    assert buffer.push("vision", sent[took:]) == 0
    out = []
    while took < len(sent):
        out += buffer.pop()
        step = buffer.push("vision", sent[took:])
        assert step > 0
        took += step
    out += buffer.flush()
    got = np.concatenate([c.events for c in out if c.modality == "vision"])
    assert np.array_equal(got, sent)


def test_a_flood_is_one_outcome_and_the_buffer_does_not_grow(caplog):
    buffer = JitterBuffer(SIZES, BufferParams(capacity=1000, overflow="drop"))
    with caplog.at_level(logging.WARNING, "spikefuse.runtime"):
        for i in range(50):
            assert buffer.push("vision", events(np.arange(500) + 500 * i)) == 500
    assert buffer.outcomes.count("vision", "flood") == 1
    assert buffer.pending("vision") <= 1000
    assert sum("flood," in r.message for r in caplog.records) == 1


def test_addresses_that_the_sensor_lacks_are_counted_and_dropped():
    buffer = JitterBuffer(SIZES)
    buffer.push("vision", events([1, 2, 3, 4], x=[0, 8, -1, 7]))
    buffer.push("vision", events([-5, 1 << 62, 9], x=[0, 0, 1]))
    assert buffer.outcomes.count("vision", "outside") == 4
    assert drained(buffer)["x"].tolist() == [0, 7, 1]


@given(st.lists(st.integers(0, 1 << 60), min_size=1, max_size=50), st.booleans())
def test_order_is_that_of_a_stable_sort(times, near):
    times = np.array(times) % 7 if near else np.array(times)
    assert np.array_equal(order_of(times), np.argsort(times, kind="stable"))


def test_a_flush_ends_with_the_clock_or_the_last_event():
    buffer = JitterBuffer(SIZES)
    buffer.push("vision", events([5, 6]))
    both(buffer, 1000)
    assert {c.now_us for c in buffer.flush()} == {1000}
    buffer.push("vision", events([1000]))
    assert {c.now_us for c in buffer.flush()} == {1001}
    assert buffer.flush() == []


def test_a_chunk_as_a_stream_ends_at_the_watermark():
    buffer = JitterBuffer(SIZES)
    buffer.push("vision", events([5, 6]))
    chunk = next(c for c in buffer.flush() if c.modality == "vision")
    stream = as_stream(chunk, SIZES["vision"])
    assert stream.duration_us == 7
    assert len(stream) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"latency_ms": -1}, {"jump_ms": 1}, {"silent_ms": 0}, {"capacity": 0}, {"late": "keep"}],
)
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BufferParams(**wrong)
