"""Whatever comes over the wire: bytes are events or one error, and the buffer keeps its size."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.live.packets import FORMATS, format_by_name
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE
from spikefuse.runtime.buffer import BufferParams, JitterBuffer

SIZES = {"vision": (16, 12, 2), "audio": (30, 1, 1)}
CAPACITY = 200
LOST = {"late", "repeated", "unusable", "outside", "flooded", "beyond a jump"}


@pytest.mark.parametrize("name", sorted(FORMATS))
@given(packet=st.binary(max_size=200))
def test_any_bytes_are_whole_events_or_one_error(name: str, packet: bytes) -> None:
    form = format_by_name(name)
    try:
        found = form.decode(packet)
    except DataError:
        return
    assert found.dtype == EVENT_DTYPE
    assert len(found) * form.record.itemsize == len(packet)


@st.composite
def pushes(draw: st.DrawFn) -> tuple[str, np.ndarray, bool]:
    """In order, reversed, repeated, leaping or senseless, of either sensor."""
    name = draw(st.sampled_from(sorted(SIZES)))
    n = draw(st.integers(0, 500))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    start = draw(st.sampled_from([0, 5_000, 50_000, 700_000, 9_000_000, -40, 1 << 50, -(1 << 62)]))
    events = np.zeros(n, EVENT_DTYPE)
    kind = draw(st.sampled_from(["order", "reversed", "same", "wild"]))
    step = draw(st.sampled_from([0, 3, 400, 3_000_000]))
    events["t"] = start + np.arange(n) * step
    if kind == "reversed":
        events = events[::-1].copy()
    elif kind == "wild":
        events["t"] = rng.integers(-(1 << 63), (1 << 63) - 1, n)
    width, height, _ = SIZES[name]
    if kind != "same":
        events["x"], events["y"] = rng.integers(-1, width + 1, n), rng.integers(0, height, n)
    return name, events, draw(st.booleans())


@pytest.mark.parametrize("overflow", ["drop", "wait"])
@pytest.mark.parametrize("jump", ["rebase", "drop"])
@given(given_pushes=st.lists(pushes(), max_size=25))
@settings(max_examples=40, deadline=None)
def test_every_event_is_handed_on_or_counted_and_nothing_grows(
    overflow: str, jump: str, given_pushes: list[tuple[str, np.ndarray, bool]]
) -> None:
    buffer = JitterBuffer(SIZES, BufferParams(capacity=CAPACITY, overflow=overflow, jump=jump))
    stores = {name: buffer._held[name].store for name in SIZES}
    sent, out = dict.fromkeys(SIZES, 0), {name: [] for name in SIZES}

    def hand_on(chunks):
        for chunk in chunks:
            assert (chunk.events["t"] < chunk.now_us).all()
            out[chunk.modality].append(chunk.events)

    for name, events, pop in given_pushes:
        sent[name] += buffer.push(name, events)
        if pop:
            hand_on(buffer.pop())
        for each, store in stores.items():
            assert buffer.pending(each) <= CAPACITY
            assert buffer._held[each].store is store
    hand_on(buffer.flush())
    for name, parts in out.items():
        times = np.concatenate([*(p["t"] for p in parts), np.zeros(0, np.int64)])
        assert (np.diff(times) >= 0).all()
        counts = buffer.outcomes.by_modality().get(name, {})
        gone = sum(n for kind, n in counts.items() if kind in LOST)
        assert len(times) + gone == sent[name]
        assert set(counts) <= LOST | {"clock jump", "out of order", "flood", "silent", "back"}


@given(words=st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=40))
def test_random_words_of_spif_keep_their_bits_through_the_reader(words: list[int]) -> None:
    packet = np.array(words, "<u4").tobytes()
    with contextlib.suppress(DataError):
        form = format_by_name("spif")
        assert form.encode(form.decode(packet)) == packet
