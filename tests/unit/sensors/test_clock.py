"""The clock policy: onsets, drift, jitter, loops, masks and what is cut."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.clock import ClockPolicy, ModalityClock, on_clock, place
from spikefuse.events import EVENT_DTYPE, EventStream


def stream(times: list[int], duration_us: int = 100_000, modality: str = "vision") -> EventStream:
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"], events["x"], events["p"] = times, np.arange(len(times)), True
    return EventStream(events, (1000, 1, 1), duration_us, modality)


def times(policy: ClockPolicy, item: EventStream, modality: str = "vision") -> list[int]:
    return on_clock(item, modality, policy).events["t"].tolist()


def test_aligned_recordings_are_only_cut_or_padded() -> None:
    item = stream([0, 50_000, 99_999])
    placed = place(item, "vision", ClockPolicy(60.0))
    assert placed.stream.events["t"].tolist() == [0, 50_000]
    assert (placed.cut_events, placed.start_us, placed.end_us) == (1, 0, 60_000)
    padded = place(item, "vision", ClockPolicy(200.0))
    assert (padded.cut_events, padded.end_us, padded.stream.duration_us) == (0, 100_000, 200_000)
    assert np.shares_memory(padded.stream.events, item.events)  # no copy where none is needed


def test_a_negative_offset_delays_every_other_modality() -> None:
    clocks = {"audio": ModalityClock(-20.0), "touch": ModalityClock(5.0)}
    policy = ClockPolicy(500.0, sensors=clocks)
    onsets = {n: times(policy, stream([0]), n) for n in ("vision", "audio", "touch", "smell")}
    assert onsets == {"vision": [20_000], "audio": [0], "touch": [25_000], "smell": [20_000]}
    # The old parameter adds to the new one.
    both = replace(policy, audio_offset_ms=-10.0)
    assert times(both, stream([0]), "audio") == [0]
    assert times(both, stream([0]), "touch") == [35_000]


def test_drift_is_parts_per_million_of_the_recordings_own_time() -> None:
    policy = ClockPolicy(500.0, sensors={"vision": ModalityClock(10.0, drift_ppm=200_000)})
    placed = place(stream([0, 5, 50_000]), "vision", policy)
    assert placed.stream.events["t"].tolist() == [10_000, 10_006, 70_000]
    assert (placed.start_us, placed.end_us) == (10_000, 130_000)
    slow = ClockPolicy(500.0, sensors={"vision": ModalityClock(drift_ppm=-100.0)})
    assert times(slow, stream([90_000])) == [89_991]


def test_looped_saccades_repeat_until_the_sample_ends() -> None:
    policy = ClockPolicy(250.0, sensors={"vision": ModalityClock(20.0, loop_ms=90.0)})
    placed = place(stream([0, 40_000, 95_000]), "vision", policy)
    assert placed.stream.events["t"].tolist() == [
        20_000,
        60_000,
        110_000,
        150_000,
        200_000,
        240_000,
    ]
    assert placed.stream.events["x"].tolist() == [0, 1, 0, 1, 0, 1]
    assert (placed.repeats, placed.start_us, placed.end_us) == (3, 20_000, 250_000)
    assert placed.cut_events == 1  # after the period
    slow = replace(policy, sensors={"vision": ModalityClock(0.0, 1e6, loop_ms=100.0)})
    assert times(slow, stream([10_000])) == [20_000, 220_000]
    once = ClockPolicy(50.0, sensors={"vision": ModalityClock(loop_ms=100.0)})
    assert place(stream([1, 60_000]), "vision", once).cut_events == 1
    nothing = ClockPolicy(50.0, sensors={"vision": ModalityClock(60.0, loop_ms=100.0)})
    placed = place(stream([1]), "vision", nothing)
    assert (len(placed.stream), placed.cut_events, placed.start_us) == (0, 1, 50_000)
    assert len(place(stream([]), "vision", policy).stream) == 0


def test_onset_jitter_is_uniform_and_seeded_by_recording() -> None:
    policy = ClockPolicy(500.0, sensors={"vision": ModalityClock(onset_jitter_ms=8.0)}, seed=3)
    drawn = np.array(
        [place(stream([0]), "vision", policy, f"r{i}").stream.events["t"][0] for i in range(2000)]
    )
    assert times(policy, stream([0]), "audio") == [8_000]  # the common lead
    moved = drawn - 8_000
    assert -8_000 <= moved.min() < -7_900
    assert 7_900 < moved.max() <= 8_000
    # Mean 0, standard deviation 8 / sqrt(3) ms; four standard errors.
    assert abs(moved.mean()) < 4 * 4619 / np.sqrt(2000)
    assert moved.std() == pytest.approx(4619, rel=0.05)
    again = [place(stream([0]), "vision", policy, f"r{i}").stream.events["t"][0] for i in range(9)]
    assert again == drawn[:9].tolist()
    other = replace(policy, seed=4)
    assert place(stream([0]), "vision", other, "r0").stream.events["t"][0] != drawn[0]


def test_event_jitter_has_the_stated_deviation_and_keeps_order() -> None:
    policy = ClockPolicy(500.0, sensors={"vision": ModalityClock(100.0, event_jitter_ms=2.0)})
    item = stream(sorted(range(0, 100_000, 100)))
    out = on_clock(item, "vision", policy, "a").events
    assert (np.diff(out["t"]) >= 0).all()
    moved = out["t"] - 100_000 - item.events["t"][out["x"]]  # x names the event
    assert moved.std() == pytest.approx(2000, rel=0.1)
    assert abs(moved.mean()) < 4 * 2000 / np.sqrt(1000)
    early = ClockPolicy(500.0, sensors={"vision": ModalityClock(event_jitter_ms=2.0)})
    assert min(times(early, stream([0] * 100))) == 0
    assert len(times(early, stream([0] * 100))) == 100


def test_masks_mark_every_step_with_recorded_time() -> None:
    policy = ClockPolicy(10.0, sensors={"vision": ModalityClock(2.5)})
    placed = place(stream([0], duration_us=4_500), "vision", policy)  # from 2.5 to 7 ms
    assert placed.mask(10, 1.0).tolist() == [False] * 2 + [True] * 5 + [False] * 3
    assert placed.mask(1, 10.0).tolist() == [True]
    gone = place(stream([0]), "vision", ClockPolicy(10.0, sensors={"vision": ModalityClock(10.0)}))
    assert not gone.mask(10, 1.0).any()
    assert not place(stream([], 0), "vision", ClockPolicy(10.0)).mask(10, 1.0).any()
    with pytest.raises(ValueError, match=r"must be positive, got 0 and 1.0"):
        placed.mask(0, 1.0)


def test_starts_of_recordings_made_together() -> None:
    assert place(stream([5]), "vision", ClockPolicy(), start_us=700).start_us == 700
    with pytest.raises(ValueError, match="start_us must be >= 0, got -1"):
        place(stream([5]), "vision", ClockPolicy(), start_us=-1)


def test_the_policy_in_words() -> None:
    assert ClockPolicy().onsets == "aligned"
    assert ClockPolicy(500.0, -40.0).onsets == "fixed offset: audio by -40 ms"
    clocks = {"vision": ModalityClock(3.0, 50.0, 1.0, 0.5, 300.0)}
    assert ClockPolicy(500.0, sensors=clocks).onsets == (
        "fixed offset: vision by 3 ms; vision: onset jitter up to 1 ms; "
        "vision: event jitter of 0.5 ms; vision: drift of 50 ppm; vision: repeated every 300 ms"
    )
    hash(ClockPolicy(sensors=clocks))
    json.dumps(ClockPolicy(sensors=clocks).onsets)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offset_ms", float("nan")),
        ("drift_ppm", -1e6),
        ("drift_ppm", float("inf")),
        ("onset_jitter_ms", -1.0),
        ("event_jitter_ms", float("nan")),
        ("loop_ms", 0.0),
    ],
)
def test_values_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be finite and|offset_ms must be finite"):
        ModalityClock(**{name: value})
    with pytest.raises(ValueError, match="duration_ms must be finite and >= 0, got -1"):
        ClockPolicy(-1.0)
    with pytest.raises(ValueError, match="audio_offset_ms must be finite, got inf"):
        ClockPolicy(audio_offset_ms=float("inf"))


sensors = st.builds(
    ModalityClock,
    st.floats(-50, 50),
    st.floats(-9e5, 1e6),
    st.floats(0, 30),
    st.floats(0, 30),
    st.none() | st.floats(1, 200),
)


@given(
    st.lists(st.integers(0, 99_999), max_size=40).map(sorted),
    sensors,
    sensors,
    st.floats(0, 300),
    st.floats(-60, 60),
)
def test_every_policy_gives_a_valid_stream_and_counts_every_event(
    at: list[int], vision: ModalityClock, audio: ModalityClock, duration_ms: float, soa_ms: float
) -> None:
    policy = ClockPolicy(duration_ms, soa_ms, {"vision": vision, "audio": audio}, seed=1)
    for modality in ("vision", "audio", "touch"):
        placed = place(stream(at), modality, policy, "key")
        out = placed.stream
        # The constructor checks order and range, which place() takes for granted.
        EventStream(out.events.copy(), out.sensor_size, out.duration_us, modality)
        assert 0 <= placed.start_us <= placed.end_us <= out.duration_us
        assert 0 <= placed.cut_events <= len(at)
        if placed.repeats == 1:
            assert len(out) + placed.cut_events == len(at)
