"""EventStream: one normal form for every layout, clear errors, and a clock that is kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikefuse.errors import EventError
from spikefuse.events import EVENT_DTYPE, EventStream, MultiStream

SIZE = (5, 4, 2)
TIMES = [3, 7, 7, 20]
X = [0, 4, 2, 1]
Y = [3, 0, 1, 2]
P = [1, 0, 0, 1]

NMNIST = np.dtype([("x", "<i8"), ("y", "<i8"), ("t", "<i8"), ("p", "<i8")])
GESTURE = np.dtype([("x", "<i2"), ("y", "<i2"), ("p", "?"), ("t", "<i8")])
FLOATS = np.dtype([("t", "<f8"), ("x", "<f4"), ("y", "<f4"), ("p", "<f4")])
UNSIGNED = np.dtype([("t", "<u4"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
SIGNED = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])
AUDIO = np.dtype([("t", "<i8"), ("x", "<i8"), ("p", "<i8")])


def foreign(dtype=NMNIST, **changed) -> np.ndarray:
    """Four events in a layout of someone else's, with some fields changed."""
    fields = {"t": TIMES, "x": X, "y": Y, "p": P, **changed}
    array = np.zeros(len(fields["t"]), dtype)
    for name in dtype.names:
        array[name] = fields[name]
    return array


@st.composite
def canonical(draw) -> EventStream:
    """Any valid stream of a small sensor."""
    width, height, polarities = draw(
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 2))
    )
    event = st.tuples(
        st.integers(0, 10_000),
        st.integers(0, width - 1),
        st.integers(0, height - 1),
        st.booleans() if polarities == 2 else st.just(True),
    )
    events = np.array(sorted(draw(st.lists(event, max_size=40))), EVENT_DTYPE)
    slack = draw(st.integers(1, 1000))
    duration_us = int(events["t"].max(initial=0)) + slack
    return EventStream(events, (width, height, polarities), duration_us, "vision")


@pytest.mark.parametrize("dtype", [NMNIST, GESTURE, FLOATS, UNSIGNED, SIGNED, EVENT_DTYPE])
def test_every_layout_gives_the_same_events(dtype) -> None:
    stream = EventStream.from_structured(foreign(dtype), SIZE)
    assert stream.events.dtype == EVENT_DTYPE
    assert stream.events.tolist() == list(zip(TIMES, X, Y, [True, False, False, True], strict=True))
    assert stream.duration_us == 21
    assert stream.modality == "vision"


def test_polarity_of_minus_one_is_off() -> None:
    stream = EventStream.from_structured(foreign(SIGNED, p=[1, -1, -1, 1]), SIZE)
    assert stream.events["p"].tolist() == [True, False, False, True]


def test_audio_has_no_y_and_one_polarity() -> None:
    stream = EventStream.from_structured(foreign(AUDIO, p=[0, 1, 0, 1]), (5, 1, 1), 30, "audio")
    assert stream.events["x"].tolist() == X
    assert stream.events["y"].tolist() == [0, 0, 0, 0]
    assert stream.events["p"].all()
    assert (stream.modality, stream.duration_us, stream.n_addresses) == ("audio", 30, 5)


def test_fractional_times_are_rounded_down() -> None:
    stream = EventStream.from_structured(foreign(FLOATS, t=[0.9, 1.0, 1.5, 2.999]), SIZE)
    assert stream.events["t"].tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("field", "values", "dtype", "message"),
    [
        ("x", [0, 5, 2, 1], NMNIST, r"field 'x' must lie in \[0, 5\), got 5"),
        ("x", [0, -1, 2, 1], NMNIST, r"field 'x' must lie in \[0, 5\), got -1"),
        ("x", [0, 70_000, 2, 1], NMNIST, r"field 'x' must lie in \[0, 5\), got 70000"),
        ("x", [0, 1.5, 2, 1], FLOATS, "field 'x' must hold whole numbers, got 1.5"),
        ("x", [0, np.nan, 2, 1], FLOATS, "field 'x' must hold whole numbers, got nan"),
        ("x", [0, np.inf, 2, 1], FLOATS, r"field 'x' must lie in \[0, 5\), got inf"),
        ("y", [0, 1, 4, 1], NMNIST, r"field 'y' must lie in \[0, 4\), got 4"),
        ("y", [0, 1, 0.5, 1], FLOATS, "field 'y' must hold whole numbers, got 0.5"),
        ("p", [0, 1, 2, 1], NMNIST, "field 'p' must be bool, 0/1 or -1/1, got 2"),
        ("p", [0, 1, np.nan, 1], FLOATS, "field 'p' must be bool, 0/1 or -1/1, got nan"),
        ("t", [3, 2, 7, 20], NMNIST, "field 't' must never decrease, got 3 us then 2 us"),
        ("t", [-1, 2, 7, 20], NMNIST, "field 't' must be >= 0 us, got -1"),
        ("t", [2**63 - 1, -(2**63), 0, 1], NMNIST, "field 't' must never decrease"),
        ("t", [0, 1, 2, 1000], NMNIST, "must lie before duration_us=1000, got an event at 1000"),
        ("t", [0, 1, 2, np.nan], FLOATS, "field 't' must be finite"),
        ("t", [0, 1, 2, np.inf], FLOATS, "field 't' must be finite"),
    ],
)
def test_a_bad_value_names_its_field(field, values, dtype, message) -> None:
    with pytest.raises(EventError, match=message):
        EventStream.from_structured(foreign(dtype, **{field: values}), SIZE, duration_us=1000)


@pytest.mark.parametrize("missing", ["t", "x", "y", "p"])
def test_a_missing_field_is_named(missing) -> None:
    dtype = np.dtype([(name, "<i8") for name in "txyp" if name != missing])
    with pytest.raises(EventError, match=f"must have a field '{missing}', got"):
        EventStream.from_structured(foreign(dtype), SIZE)


def test_an_array_that_is_not_a_list_of_events_is_refused() -> None:
    with pytest.raises(EventError, match="must have a field 't'"):
        EventStream.from_structured(np.zeros(3), SIZE)
    with pytest.raises(EventError, match="must be a 1-d structured array, got 2-d"):
        EventStream.from_structured(np.zeros((2, 1), NMNIST), SIZE)


@pytest.mark.parametrize("size", [(0, 4, 2), (5, 4), (5, 4, 3), (40_000, 4, 1), (5, -1, 1)])
def test_an_impossible_sensor_size_is_refused(size) -> None:
    with pytest.raises(EventError, match="sensor_size must be"):
        EventStream.from_structured(foreign(), size)


def test_the_constructor_takes_the_canonical_dtype_only() -> None:
    with pytest.raises(EventError, match=r"use EventStream\.from_structured"):
        EventStream(foreign(), SIZE, 100, "vision")
    with pytest.raises(EventError, match="duration_us must be >= 0, got -1"):
        EventStream.empty(SIZE, -1, "vision")


def test_from_structured_copies_and_freezes() -> None:
    array = foreign(EVENT_DTYPE)
    before = array.copy()
    stream = EventStream.from_structured(array, SIZE)
    array["x"] = 3
    assert stream.events["x"].tolist() == X
    with pytest.raises(ValueError, match="read-only"):
        stream.events["x"] = 0
    untouched = before.copy()
    EventStream.from_structured(before, SIZE)
    assert before.flags.writeable
    assert (before == untouched).all()


@given(stream=canonical())
def test_normalising_twice_changes_nothing(stream) -> None:
    again = EventStream.from_structured(
        stream.events, stream.sensor_size, stream.duration_us, stream.modality
    )
    assert again.events is not stream.events
    assert again.events.tolist() == stream.events.tolist()
    assert (again.sensor_size, again.duration_us) == (stream.sensor_size, stream.duration_us)


def test_an_empty_stream_is_legal() -> None:
    stream = EventStream.from_structured(np.zeros(0, NMNIST), SIZE)
    assert len(stream) == 0
    assert stream.duration_us == 0
    assert stream.addresses().shape == (0,)
    assert len(stream.shifted(10).cropped(5)) == 0


@given(stream=canonical())
def test_addresses_are_those_of_a_dense_array(stream) -> None:
    width, height, polarities = stream.sensor_size
    assert stream.n_addresses == width * height * polarities
    plane = stream.events["p"].astype(int) if polarities == 2 else np.zeros(len(stream), int)
    expected = np.ravel_multi_index(
        (plane, stream.events["y"], stream.events["x"]), (polarities, height, width)
    )
    assert stream.addresses().tolist() == expected.tolist()


@given(stream=canonical(), offset_us=st.integers(0, 10_000))
def test_shifting_moves_every_event_and_the_end(stream, offset_us) -> None:
    moved = stream.shifted(offset_us)
    assert moved.events["t"].tolist() == [t + offset_us for t in stream.events["t"].tolist()]
    assert moved.duration_us == stream.duration_us + offset_us
    assert moved.addresses().tolist() == stream.addresses().tolist()


@given(stream=canonical(), duration_us=st.integers(0, 20_000))
def test_cropping_keeps_exactly_the_earlier_events(stream, duration_us) -> None:
    cut = stream.cropped(duration_us)
    assert cut.duration_us == duration_us
    assert cut.events.tolist() == [e for e in stream.events.tolist() if e[0] < duration_us]


def test_negative_shift_and_crop_are_refused() -> None:
    stream = EventStream.empty(SIZE, 10, "vision")
    with pytest.raises(EventError, match="offset_us must be >= 0, got -1"):
        stream.shifted(-1)
    with pytest.raises(EventError, match="duration_us must be >= 0, got -1"):
        stream.cropped(-1)


@pytest.fixture
def pair(make_stream) -> MultiStream:
    return MultiStream(
        {
            "vision": make_stream(20, duration_us=300),
            "audio": make_stream(10, (16, 1, 1), 500, "audio"),
        },
        label=3,
        provenance={"speaker": "a"},
    )


@pytest.mark.parametrize("offset_us", [-250, 0, 40])
def test_offset_delays_audio_relative_to_vision(pair, offset_us) -> None:
    moved = pair.offset("audio", offset_us)
    shift = {name: moved[name].events["t"] - pair[name].events["t"] for name in moved.streams}
    assert set((shift["audio"]).tolist()) == {max(offset_us, 0)}
    assert set((shift["vision"]).tolist()) == {max(-offset_us, 0)}
    assert (moved.label, moved.provenance) == (3, {"speaker": "a"})


def test_without_silences_one_modality(pair) -> None:
    blind = pair.without("vision")
    assert len(blind["vision"]) == 0
    assert blind["vision"].duration_us == pair["vision"].duration_us
    assert blind["audio"] is pair["audio"]
    assert pair.duration_us == blind.duration_us == 500


def test_multistream_names_what_is_wrong(pair) -> None:
    with pytest.raises(EventError, match="at least one modality"):
        MultiStream({})
    with pytest.raises(EventError, match=r"streams\['audio'\] must be of modality 'audio', got"):
        MultiStream({"audio": pair["vision"]})
    with pytest.raises(EventError, match=r"must be one of \['audio', 'vision'\], got 'touch'"):
        pair.without("touch")
    with pytest.raises(EventError, match="got 'touch'"):
        pair.offset("touch", 1)
