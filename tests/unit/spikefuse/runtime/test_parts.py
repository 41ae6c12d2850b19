"""Parts of a stream, cut anywhere by a snapshot, go on as if they had not been."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE
from spikefuse.runtime.buffer import BufferParams, JitterBuffer
from spikefuse.runtime.clocks import ClockEstimator, ClockParams
from spikefuse.runtime.decisions import Decision
from spikefuse.runtime.policies import ConfidenceExit, DutyCycle, EnergyGate, WakeUp
from spikefuse.runtime.runner import StreamRunner
from spikefuse.runtime.snapshot import load_parts, read_snapshot, save_parts, write_snapshot
from tests.stream_process import model, pushes

SIZES = {"vision": (8, 8, 2), "audio": (16, 1, 1)}
N_CHUNKS = 40

anywhere = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def events(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    found = np.zeros(len(times), EVENT_DTYPE)
    found["t"], found["x"], found["p"] = times, rng.integers(0, 8, len(times)), True
    return found


def passed_on(part, to, path: Path):
    """A new part that goes on where the other is."""
    save_parts(path, {"part": part})
    load_parts(path, {"part": to})
    return to


def spent() -> float:
    return 9e6 + 2.5e5


GATES = {
    "exit": lambda: ConfidenceExit(20.0, theta=0.9),
    "duty": lambda: DutyCycle(3.0, 7.0),
    "wake": lambda: WakeUp("vision", "audio", 3, window_ms=5.0, hold_ms=12.0, columns=(1, 6)),
    "budget": lambda: EnergyGate(0.1, "audio", spent),
}


def gated(gate, first: int, until: int) -> list[object]:
    """What a gate lets through and says, chunk by chunk of 5 ms."""
    said: list[object] = []
    for k in range(first, until):
        rng = np.random.default_rng(k)
        for name in SIZES:
            times = np.sort(rng.integers(5_000 * k, 5_000 * (k + 1), 12))
            said.append(gate.admit(name, events(times, rng), 5_000 * (k + 1)).tolist())
        if isinstance(gate, ConfidenceExit):
            evidence = rng.normal(size=3) * 2
            said.append(gate.restart(Decision(k, 5_000 * (k + 1), 1, evidence, 0)))
    return said


@pytest.mark.parametrize("kind", list(GATES))
@anywhere
@given(st.lists(st.integers(0, N_CHUNKS), min_size=1, max_size=3))
def test_a_gate_goes_on(kind: str, tmp_path: Path, cuts: list[int]) -> None:
    whole, part, said, at = GATES[kind](), GATES[kind](), [], 0
    expected = gated(whole, 0, N_CHUNKS)
    for cut in sorted(cuts):
        said += gated(part, at, cut)
        part, at = passed_on(part, GATES[kind](), tmp_path / "at"), cut
    assert said + gated(part, at, N_CHUNKS) == expected
    assert [part.awake_share(name) for name in SIZES] == [whole.awake_share(n) for n in SIZES]
    assert part.state() == whole.state()
    if kind == "exit":
        assert 0 < whole.n_early < whole.n_answers
        assert (list(part.answers), part.n_early) == (list(whole.answers), whole.n_early)


@st.composite
def arrivals(draw) -> list[tuple[str, list[int]]]:
    """Pushes of times that are late, repeated, leap or stay away, sensor by sensor."""
    steps = st.lists(st.integers(-4_000, 6_000), max_size=8)
    leap = st.sampled_from([0] * 12 + [90_000, 700_000, -700_000])
    found, now = [], dict.fromkeys(SIZES, 0)
    for _ in range(draw(st.integers(2, 25))):
        name = draw(st.sampled_from(sorted(SIZES)))
        now[name] = max(0, now[name] + draw(leap))
        times = [max(0, now[name] + step) for step in draw(steps)]
        now[name] += 3_000
        found.append((name, times))
    return found


def delivered(buffer: JitterBuffer, pushed: list[tuple[str, list[int]]]) -> list[object]:
    said: list[object] = []
    for name, times in pushed:
        arrived = np.array(times, np.int64)
        n = buffer.push(name, events(arrived, np.random.default_rng(len(times))))
        said.append(n)
        said += [(c.modality, c.events.tolist(), c.now_us) for c in buffer.pop()]
        said.append((sorted(buffer.absent), [buffer.pending(name) for name in SIZES]))
    return said


@pytest.mark.parametrize("overflow", ["drop", "wait"])
@anywhere
@given(arrivals(), st.integers(0, 25))
def test_a_buffer_goes_on(overflow, tmp_path: Path, pushed, cut: int) -> None:
    params = BufferParams(
        latency_ms=5.0, jump_ms=300.0, silent_ms=60.0, capacity=20, overflow=overflow
    )
    whole, part = JitterBuffer(SIZES, params), JitterBuffer(SIZES, params)
    expected = delivered(whole, pushed)
    said = delivered(part, pushed[:cut])
    part = passed_on(part, JitterBuffer(SIZES, params), tmp_path / "at")
    assert said + delivered(part, pushed[cut:]) == expected
    assert part.outcomes.by_modality() == whole.outcomes.by_modality()
    assert [c.events.tolist() for c in part.flush()] == [c.events.tolist() for c in whole.flush()]


def test_a_stray_leap_is_undone_after_a_snapshot(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole, part = (JitterBuffer(SIZES, BufferParams(jump_ms=300.0)) for _ in range(2))
    for buffer in (whole, part):
        # The clock leaps to 90 s, and goes on there; then one stray time.
        buffer.push("audio", events(np.array([1_000, 90_000_000, 90_005_000]), rng))
        buffer.push("audio", events(np.array([500_000_000]), rng))
    part = passed_on(part, JitterBuffer(SIZES, BufferParams(jump_ms=300.0)), tmp_path / "at")
    for buffer in (whole, part):
        buffer.push("audio", events(np.array([90_030_000]), rng))
    assert part.clock_us("audio") == whole.clock_us("audio") == 31_000


def test_a_flood_is_counted_once_though_a_snapshot_is_amid_it(tmp_path: Path) -> None:
    params = BufferParams(capacity=20, overflow="drop")
    part, arrived = JitterBuffer(SIZES, params), events(np.arange(30), np.random.default_rng(0))
    part.push("audio", arrived)
    part = passed_on(part, JitterBuffer(SIZES, params), tmp_path / "at")
    part.push("audio", arrived)
    assert part.outcomes.by_modality()["audio"] == {"flood": 1, "flooded": 40}


def watched(clocks: ClockEstimator, first: int, until: int) -> None:
    """Common causes, half a second at a time, the other sensor 40 ms behind and told of first."""
    for k in range(first, until):
        rng = np.random.default_rng(k // 2)
        causes = np.sort(rng.integers(k // 2 * 500_000, (k // 2 + 1) * 500_000, 60))
        at = rng.integers(0, 8, 60)
        lag_us = 0 if k % 2 else 40_000
        times = np.sort(causes + lag_us + rng.integers(-300, 300, 60))
        clocks.push("reference" if k % 2 else "other", times, None, at)


@pytest.mark.parametrize("cut", [0, 2, 14, 15, 25, 58])
def test_an_estimator_of_clocks_goes_on(tmp_path: Path, cut: int) -> None:
    params = ClockParams(min_windows=5, history_windows=9, max_offset_ms=100.0)
    whole, part = ClockEstimator(params), ClockEstimator(params)
    watched(whole, 0, 60)
    watched(part, 0, cut)
    part = passed_on(part, ClockEstimator(params), tmp_path / "at")
    watched(part, cut, 60)
    assert whole.estimate() is not None
    assert part.estimate() == whole.estimate()
    assert part.n_windows == whole.n_windows == 9


@pytest.mark.parametrize("engine", ["stepped", "event"])
@pytest.mark.parametrize("cut", [1, 20, 47])
def test_a_runner_goes_on_with_its_policy(engine: str, cut: int, tmp_path: Path) -> None:
    def policy() -> ConfidenceExit:
        return ConfidenceExit(50.0, theta=0.42)

    net, sent = model(), pushes(0)[:50]
    whole = StreamRunner(net, engine, policy=policy())
    expected = [d.label for _, name, part in sent for d in whole.push(name, part)]
    runner, found = StreamRunner(net, engine, policy=policy()), []
    for k, name, part in sent:
        if k == cut:
            runner.snapshot(tmp_path / "at")
            runner = StreamRunner.restore(tmp_path / "at", net, policy=policy())
        found += [d.label for d in runner.push(name, part)]
    assert found == expected
    assert 0 < whole.policy.n_early < whole.policy.n_answers
    assert list(runner.policy.answers) == list(whole.policy.answers)
    assert runner.policy.n_answers == whole.policy.n_answers
    with pytest.raises(DataError, match="policy is ConfidenceExit in it and missing here"):
        StreamRunner.restore(tmp_path / "at", net)
    with pytest.raises(DataError, match=r"policy\.theta is 0.42 in it and 0.5 here"):
        StreamRunner.restore(tmp_path / "at", net, policy=ConfidenceExit(50.0, theta=0.5))


def test_another_policy_and_other_settings_are_named(tmp_path: Path) -> None:
    save_parts(tmp_path / "at", {"gate": DutyCycle(3, 7), "buffer": JitterBuffer(SIZES)})
    buffer = JitterBuffer(SIZES)
    with pytest.raises(DataError, match="gate is DutyCycle in it and WakeUp here"):
        load_parts(tmp_path / "at", {"gate": WakeUp("vision", "audio", 3), "buffer": buffer})
    with pytest.raises(DataError, match=r"gate\.on_us is 3000 in it and 4000 here$"):
        load_parts(tmp_path / "at", {"gate": DutyCycle(4, 7), "buffer": buffer})
    other = JitterBuffer(SIZES, BufferParams(latency_ms=3, late="clamp", jump_ms=np.inf))
    with pytest.raises(DataError, match=r"buffer\.latency_ms is 10.0 .* and 1 more"):
        load_parts(tmp_path / "at", {"gate": DutyCycle(4, 7), "buffer": other})
    with pytest.raises(DataError, match="gate is DutyCycle in it and missing here"):
        load_parts(tmp_path / "at", {"buffer": buffer})
    more = {"gate": DutyCycle(3, 7), "buffer": buffer, "clocks": ClockEstimator()}
    with pytest.raises(DataError, match="clocks is missing in it and ClockEstimator here"):
        load_parts(tmp_path / "at", more)
    assert buffer.state()[1] == JitterBuffer(SIZES).state()[1]


def test_settings_that_are_not_finite_are_alike(tmp_path: Path) -> None:
    endless = BufferParams(jump_ms=np.inf)
    passed_on(JitterBuffer(SIZES, endless), JitterBuffer(SIZES, endless), tmp_path / "at")


def test_what_no_buffer_can_hold_is_refused(tmp_path: Path) -> None:
    buffer = JitterBuffer(SIZES, BufferParams(capacity=20))
    buffer.push("audio", events(np.arange(20), np.random.default_rng(0)))
    save_parts(tmp_path / "at", {"buffer": buffer})
    tensors, plain = read_snapshot(tmp_path / "at")
    held = tensors["buffer.audio"]
    outside, turned = held.clone(), held.clone()
    outside.numpy().view(EVENT_DTYPE)["y"] = 1
    turned.numpy().view(EVENT_DTYPE)["t"] *= -1
    for wrong in (outside, turned, torch.cat([held, held]), held[:7]):
        write_snapshot(tmp_path / "wrong", tensors | {"buffer.audio": wrong}, plain)
        with pytest.raises(DataError, match="all of a buffer"):
            load_parts(tmp_path / "wrong", {"buffer": buffer})


def test_a_policy_without_a_state_needs_none(tmp_path: Path) -> None:
    class Never:
        def restart(self, decision: Decision) -> bool:
            return False

    net = model()
    StreamRunner(net, policy=Never()).snapshot(tmp_path / "at")
    assert StreamRunner.restore(tmp_path / "at", net, policy=Never()).n_steps == 0
    other = model()
    nn.init.zeros_(other.readout_synapse.weight)
    with pytest.raises(DataError, match="this model"):
        StreamRunner.restore(tmp_path / "at", other)
