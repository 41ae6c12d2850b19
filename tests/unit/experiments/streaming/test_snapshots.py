"""A stream that is cut anywhere says, counts and costs what one that is not does."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.streaming.gates import spent_by
from experiments.streaming.session import Session
from experiments.streaming.snapshots import Continued, Keeper, mark_of, stopped_gently
from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
from sensors.live.files import StreamSource
from sensors.live.film import FilmSource
from sensors.live.sinks import Call, JsonLines
from sensors.live.sound import WaveSource
from sensors.live.source import Epoch, Pace, in_turn
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.runtime import StreamRunner
from spikefuse.runtime.buffer import BufferParams, Chunk, JitterBuffer
from spikefuse.runtime.clocks import ClockEstimator, ClockParams
from spikefuse.runtime.policies import ConfidenceExit, DutyCycle, EnergyGate, WakeUp
from spikefuse.runtime.snapshot import load_parts, save_parts
from tests.stream_process import SIZES, model

CLASSES = tuple("abcde")
LENGTH_US = 200_000
NET = model()


def recording(name: str, length_us: int = LENGTH_US, n: int = 900) -> EventStream:
    rng = np.random.default_rng([len(name), n])
    width, height, polarities = SIZES[name]
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, length_us, n))
    events["x"], events["y"] = rng.integers(0, width, n), rng.integers(0, height, n)
    events["p"] = rng.integers(0, 2, n) if polarities > 1 else 1
    return EventStream(events, SIZES[name], length_us, name)


STREAMS = {name: recording(name) for name in SIZES}


def session_of(kind: str, sink, engine: str = "stepped", clocks=None) -> Session:
    policy = ConfidenceExit(50.0, theta=0.4) if kind == "exit" else None
    runner = StreamRunner(NET, engine, count=engine == "stepped", policy=policy)
    gates = {
        "exit": lambda: policy,
        "duty": lambda: DutyCycle(8.0, 20.0),
        "wake": lambda: WakeUp("vision", "audio", 92),
        "budget": lambda: EnergyGate(1e-3, "audio", spent_by(runner, "horowitz_45nm_int8")),
    }
    gate = gates[kind]() if kind in gates else None
    buffer = JitterBuffer(SIZES, BufferParams(repeated="keep", jump_ms=math.inf))
    return Session(runner, buffer, CLASSES, [sink], gate, clocks)


def result(session: Session, seen: list[dict]) -> dict[str, object]:
    """All that must not depend on where a stream was cut."""
    session.finish(LENGTH_US)
    found = {name: vars(session.tally)[name] for name in ("n_chunks", "n_events", "n_admitted")}
    policy = session.runner.policy
    return found | {
        "said": [{k: v for k, v in record.items() if k != "host_ms"} for record in seen],
        "n_decisions": (session.tally.n_decisions, session.runner.n_decisions),
        "behind_ms": list(session.tally.behind_ms),
        "latencies": len(session.tally.host_ms),
        "outcomes": session.buffer.outcomes.by_modality(),
        "pj": session.runner.energy("horowitz_45nm_int8").dynamic_pj,
        "awake": session.gate and [session.gate.awake_share(name) for name in SIZES],
        "answers": policy and (list(policy.answers), policy.n_answers, policy.n_early),
        "estimate": session.estimate,
        "evidence": session.last.evidence.tolist(),
    }


CASES = [
    *((kind, "stepped") for kind in ("none", "exit", "duty", "wake", "budget")),
    *((kind, "event") for kind in ("none", "exit", "wake")),
]


@cache
def uncut(kind: str, engine: str) -> tuple[list[Chunk], dict[str, object]]:
    """Chunks of 7 and 10 ms, so that the sensors' clocks differ at most cuts, and their result."""
    chunk_ms = {"vision": 7.0, "audio": 10.0}
    chunks = list(in_turn([StreamSource(s, m, chunk_ms[m]) for m, s in STREAMS.items()]))
    seen: list[dict] = []
    whole = session_of(kind, Call(seen.append), engine)
    whole.run(chunks)
    return chunks, result(whole, seen)


@pytest.mark.parametrize(("kind", "engine"), CASES)
@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(0, 48), min_size=1, max_size=3))
def test_a_stream_cut_anywhere_is_the_one_that_was_not(
    kind: str, engine: str, tmp_path: Path, cuts: list[int]
) -> None:
    chunks, expected = uncut(kind, engine)
    seen: list[dict] = []
    session, at = session_of(kind, Call(seen.append), engine), 0
    for cut in sorted(cuts):
        session.run(chunks[at:cut])
        at = max(at, cut)
        save_parts(tmp_path / "at", session.parts())
        session = session_of(kind, Call(seen.append), engine)
        load_parts(tmp_path / "at", session.parts())
    session.run(chunks[at:])
    assert result(session, seen) == expected
    if kind in ("wake", "budget"):  # neither always open nor always shut
        assert 0 < expected["awake"][1] < 1


@pytest.mark.parametrize("cut", [2, 40, 71])
def test_an_aligned_stream_goes_on_with_its_clocks(cut: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    causes = np.sort(rng.integers(100_000, 3_500_000, 60))
    parts = []
    for name, lag_us in (("vision", 0), ("audio", 60_000)):
        events = np.zeros(len(causes), EVENT_DTYPE)
        events["t"] = causes + lag_us + rng.integers(-500, 500, len(causes))
        events["x"], events["p"] = rng.integers(0, 12, len(causes)), True
        events.sort(order="t")
        parts.append(StreamSource(EventStream(events, SIZES[name], 4_000_000, name), name, 100.0))
    chunks = list(in_turn(parts))
    params = ClockParams(min_windows=5, window_ms=200.0, max_offset_ms=100.0)

    def aligned(seen: list[dict]) -> Session:
        return session_of("none", Call(seen.append), "event", ClockEstimator(params))

    seen: list[dict] = []
    whole = aligned(seen)
    whole.run(chunks)
    assert whole.estimate.locked
    expected, seen = result(whole, seen), []
    session = aligned(seen)
    session.run(chunks[:cut])
    save_parts(tmp_path / "at", session.parts())
    session = aligned(seen)
    load_parts(tmp_path / "at", session.parts())
    session.run(chunks[cut:])
    assert result(session, seen) == expected


class Stream:
    """A stream with its keeper, as the command makes it."""

    def __init__(self, folder: Path, lines: str | None = "lines.jsonl", live: bool = False) -> None:
        self.lines = None if lines is None else str(folder / lines)
        self.sink = Call(lambda record: None) if lines is None else JsonLines(self.lines)
        self.session = session_of("none", self.sink)
        self.sources = [Continued(StreamSource(s, m)) for m, s in STREAMS.items()]
        for source in self.sources:
            source.live = live
        self.pace, self.epoch = Pace(math.inf), Epoch()
        self.keeper = Keeper(
            folder / "at", 1e6, self.session, self.sources, {"ear": "run"}, self.lines
        )
        self.resumed = self.keeper.resume(self.epoch, self.pace)
        self.turns: Iterator[Chunk] = in_turn(self.sources, self.pace)

    def run(self, n: int) -> None:
        """So many chunks."""
        self.session.run(islice(self.turns, n))


def said(path: Path) -> list[dict]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "host_ms"} for record in records]


def test_lines_after_the_snapshot_are_not_written_twice(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = Stream(tmp_path / "whole")
    whole.run(40)
    whole.session.finish(LENGTH_US)
    (tmp_path / "lines.jsonl").write_text('{"earlier": 1}\n')
    first = Stream(tmp_path)
    assert not first.resumed
    first.run(9)  # killed before any but the first snapshot
    second = Stream(tmp_path)
    second.run(15)
    second.keeper.save()
    second.run(9)
    with Path(second.lines).open("a") as file:
        file.write('{"time_us"')  # the process died while it wrote
    third = Stream(tmp_path)
    assert [source.n_heard for source in third.sources] == [8, 7]
    third.run(40)
    assert third.keeper.ended
    third.session.finish(LENGTH_US)
    third.keeper.save()
    host_s = third.keeper.host_s
    assert said(Path(third.lines)) == [{"earlier": 1}, *said(Path(whole.lines))]
    fourth = Stream(tmp_path)
    assert fourth.session.runner.finished
    assert "has ended" in fourth.keeper.told()
    assert said(Path(fourth.lines)) == said(Path(third.lines))
    assert fourth.keeper.n_pauses == 3
    assert fourth.keeper.host_s > host_s / 2 > 0


def test_lines_of_a_live_stream_stay_but_for_a_broken_one(tmp_path: Path) -> None:
    first = Stream(tmp_path, live=True)
    first.session.run(list(in_turn([StreamSource(s, m) for m, s in STREAMS.items()]))[:30])
    kept = said(Path(first.lines))
    assert kept
    with Path(first.lines).open("a") as file:
        file.write('{"time_us"')
    second = Stream(tmp_path, live=True)
    assert said(Path(second.lines)) == kept
    outcomes = second.session.buffer.outcomes
    assert {name: outcomes.count(name, "pause") for name in SIZES} == dict.fromkeys(SIZES, 1)
    assert "vision, audio unheard for " in second.keeper.told()


def test_another_file_of_lines_is_refused(tmp_path: Path) -> None:
    first = Stream(tmp_path)
    first.run(30)
    first.keeper.save()
    with pytest.raises(DataError, match=r"command\.lines is"):
        Stream(tmp_path, "others.jsonl")
    Path(first.lines).write_text("{}\n")
    with pytest.raises(DataError, match="--lines must be the file that goes with the snapshot"):
        Stream(tmp_path)


def test_live_sources_go_on_at_the_streams_time_and_are_measured_anew(tmp_path: Path) -> None:
    def opened() -> tuple[Session, Keeper, Epoch]:
        session = session_of("none", Call(lambda record: None), clocks=ClockEstimator())
        session.buffer = JitterBuffer(SIZES, BufferParams())
        source = Continued(StreamSource(STREAMS["audio"], "audio"))
        source.live, epoch = True, Epoch()
        keeper = Keeper(tmp_path / "at", 10.0, session, [source], {})
        keeper.resume(epoch, Pace(math.inf))
        return session, keeper, epoch

    session, keeper, epoch = opened()
    assert 0 <= epoch.now_us() < 10_000_000
    audio = STREAMS["audio"].events
    session.run([Chunk("audio", audio, LENGTH_US)])
    leapt = audio.copy()
    leapt["t"] += 50_000_000
    session.run([Chunk("audio", leapt, 50_000_000 + LENGTH_US)])
    reached_us = session.reached_us
    assert session.buffer.outcomes.count("audio", "clock jump") == 1
    for sensor in ("reference", "other"):
        session.clocks.push(sensor, audio["t"], 2_000_000)
    assert session.clocks.n_windows == 1
    keeper.save()
    session, _, epoch = opened()
    assert reached_us <= epoch.now_us() < reached_us + 10_000_000
    assert (session.estimate, session.clocks.n_windows) == (None, 0)
    placed = audio[:1].copy()
    placed["t"] = reached_us + 7
    session.buffer.push("audio", placed)
    assert session.buffer.clock_us("audio") == reached_us + 7
    assert session.buffer.outcomes.count("audio", "clock jump") == 1


def test_a_full_disk_ends_no_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, parts: object) -> None:
        raise OSError(28, "No space left on device")

    stream = Stream(tmp_path)
    monkeypatch.setattr("experiments.streaming.snapshots.save_parts", full)
    stream.keeper._every_s = 1e-9
    stream.session.run(list(in_turn(stream.sources)), lambda session: stream.keeper.update())
    assert stream.session.buffer.outcomes.count("snapshot", "unwritten") == 40


def test_snapshots_are_as_far_apart_as_asked_for(tmp_path: Path) -> None:
    stream = Stream(tmp_path)
    before = stream.keeper.path.stat().st_mtime_ns
    stream.keeper.update()
    assert stream.keeper.path.stat().st_mtime_ns == before
    stream.keeper._saved_s -= 1e6
    stream.keeper.update()
    assert stream.keeper.path.stat().st_mtime_ns > before
    with pytest.raises(ValueError, match="--snapshot-every must be positive, got 0"):
        Keeper(tmp_path / "at", 0.0, stream.session, stream.sources, {})


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    old, other = tmp_path / ".at.x1y2z3_4", tmp_path / ".at-all"
    for path in (old, other):
        path.write_text("half")
        os.utime(path, (1.0, 1.0))
    Stream(tmp_path)
    assert not old.exists()
    assert other.exists()


def sources_with_a_state(folder: Path) -> dict[str, object]:
    rng = np.random.default_rng(0)
    np.save(folder / "film.npy", rng.integers(0, 256, (12, 10, 12)).astype(np.float64))
    wave = rng.normal(0, 0.1, 3_000)
    ear = GammatoneCochlea(GammatoneParams(n_channels=8, f_max_hz=3_000.0))
    return {
        "film": lambda: FilmSource(folder / "film.npy", "vision", fps=100.0),
        "sound": lambda: WaveSource(wave, 8_000, "audio", ear),
        "file": lambda: StreamSource(STREAMS["audio"], "audio", 7.0),
    }


@pytest.mark.parametrize("kind", ["film", "sound", "file"])
def test_a_recorded_source_goes_on_at_its_place(kind: str, tmp_path: Path) -> None:
    make = sources_with_a_state(tmp_path)[kind]
    expected = [(c.events.tolist(), c.now_us) for c in make().chunks()]
    assert sum(len(events) for events, _ in expected) > 20
    for n in (0, 1, 5, len(expected)):
        source = Continued(make())
        source.n_heard = n
        assert [(c.events.tolist(), c.now_us) for c in source.chunks()] == expected[n:]
        assert source.ended


@pytest.mark.parametrize("first", range(1, 6))
@pytest.mark.parametrize("second", range(1, 6))
def test_the_turns_of_sources_go_on_though_their_clocks_are_alike(first: int, second: int) -> None:
    def sources() -> list[Continued]:
        lengths_ms = zip(SIZES, (5.0 * first, 5.0 * second), strict=True)
        empty = {name: EventStream.empty(SIZES[name], 60_000, name) for name in SIZES}
        return [Continued(StreamSource(empty[name], name, ms)) for name, ms in lengths_ms]

    expected = [(c.modality, c.now_us) for c in in_turn(sources())]
    for cut in range(len(expected)):
        heard = [name for name, _ in expected[:cut]]
        rest = sources()
        for source in rest:
            source.n_heard = heard.count(source.modality)
        assert [(c.modality, c.now_us) for c in in_turn(rest)] == expected[cut:]


def test_a_paced_stream_does_not_wait_for_what_went_before() -> None:
    pace = Pace(1.0)
    pace.start_us = 3_600_000_000
    began = time.monotonic()
    pace.wait_for(3_600_010_000)
    assert 0.01 <= time.monotonic() - began < 10


def test_a_recording_is_known_by_its_content(tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).write_text(text)
    a, b, c = (mark_of(str(tmp_path / name)) for name in "abc")
    assert a == b != c
    folder = mark_of(str(tmp_path))
    (tmp_path / "d").write_text("")
    assert mark_of(str(tmp_path)) != folder
    assert mark_of("udp:3333") == mark_of("udp:4444") == "udp"


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """As of a terminal, though the tests may run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_background_job_that_ignores_ctrl_c_is_stopped_gently_too() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopped_gently(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_waits_until_the_chunk_under_way_is_through(number: int) -> None:
    seen: list[int] = []

    def sink(record: dict) -> None:
        seen.append(record["step"])
        if len(seen) == 1:
            signal.raise_signal(number)

    session = session_of("none", Call(sink))
    with stopped_gently(), pytest.raises(KeyboardInterrupt):
        session.run(in_turn([StreamSource(s, m, 50) for m, s in STREAMS.items()]))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert sum(session.tally.n_chunks.values()) == 2
    assert len(seen) == session.tally.n_decisions == session.runner.n_steps > 1
