"""Sources to decisions: the stream says what the batch says, whatever happens on the way."""

from __future__ import annotations

import gc
import json
import math
import threading
import time

import numpy as np
import pytest
import torch
from tiny_run import tiny

from experiments.commands.stream import _exit, _trial_ms
from experiments.streaming.gates import gate_of, policy_of, spent_by
from experiments.streaming.opening import open_source, speed_of
from experiments.streaming.session import Session, percentiles, rates_hz, steady, warm_up
from sensors.files import write_events
from sensors.live.files import StreamSource
from sensors.live.sinks import Call
from sensors.live.source import in_turn
from sensors.live.udp import UdpSender, UdpSource
from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.errors import ConfigError, DataError
from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.kernels.binning import bin_events
from spikefuse.models import FusionSNN, ModelSpec, running_mean
from spikefuse.runtime import StreamRunner
from spikefuse.runtime.buffer import BufferParams, Chunk, JitterBuffer
from spikefuse.runtime.clocks import ClockEstimator, ClockParams
from spikefuse.runtime.outcomes import Outcomes
from spikefuse.runtime.policies import ConfidenceExit, DutyCycle, EnergyGate

SIZES = {"vision": (6, 5, 2), "audio": (20, 1, 1)}
CLASSES = ("a", "b", "c")


def model_of():
    torch.manual_seed(1)
    encoder = EncoderSpec((), 16, 0.0)
    parts = tuple(ModalitySpec(name, size, encoder) for name, size in SIZES.items())
    return FusionSNN(ModelSpec(parts, 3, 5.0, "concat", 12)).eval()


def recording(name, duration_us=200_000, n=1500, seed=0):
    rng = np.random.default_rng([seed, len(name)])
    width, height, polarities = SIZES[name]
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, duration_us, n))
    events["x"], events["y"] = rng.integers(0, width, n), rng.integers(0, height, n)
    events["p"] = rng.integers(0, 2, n) if polarities > 1 else 1
    return EventStream(events, (width, height, polarities), duration_us, name)


def session_of(model, seen, **more):
    policy = more.pop("policy", None)
    params = more.pop("params", BufferParams(repeated="keep", jump_ms=math.inf))
    outcomes = more.pop("outcomes", Outcomes())
    runner = StreamRunner(model, count=True, policy=policy)
    buffer = JitterBuffer(SIZES, params, outcomes)
    return Session(runner, buffer, CLASSES, [Call(seen.append)], **more)


def batch_evidence(model, streams, n_steps):
    spikes = {name: bin_events([s], dt_ms=5.0, n_steps=n_steps) for name, s in streams.items()}
    with torch.no_grad():
        return running_mean(model.infer(spikes).scores)[:, 0].double().numpy()


@pytest.mark.parametrize("chunk_ms", [1.0, 7.0, 500.0])
def test_recordings_streamed_in_any_chunks_are_decided_as_in_the_batch(chunk_ms):
    model, streams, seen = model_of(), {m: recording(m) for m in SIZES}, []
    session = session_of(model, seen)
    session.run(in_turn([StreamSource(s, m, chunk_ms) for m, s in streams.items()]))
    session.finish(200_000)
    expected = batch_evidence(model, streams, 40)
    assert [r["label"] for r in seen] == expected.argmax(1).tolist()
    np.testing.assert_allclose(session.last.evidence, expected[-1], rtol=1e-5, atol=1e-6)
    assert session.tally.n_events == session.tally.n_admitted == dict.fromkeys(SIZES, 1500)
    assert session.buffer.outcomes.by_modality() == {}


def test_a_small_buffer_pushes_back_and_loses_nothing():
    model, streams, seen = model_of(), {m: recording(m) for m in SIZES}, []
    params = BufferParams(repeated="keep", jump_ms=math.inf, capacity=2000)
    session = session_of(model, seen, params=params)
    session.run(in_turn([StreamSource(s, m, 50) for m, s in streams.items()]))
    session.finish(200_000)
    assert session.tally.n_admitted == dict.fromkeys(SIZES, 1500)
    np.testing.assert_allclose(
        session.last.evidence, batch_evidence(model, streams, 40)[-1], rtol=1e-5, atol=1e-6
    )


def test_a_modality_without_source_is_absent_and_the_other_is_answered():
    model, seen = model_of(), []
    streams = {"vision": recording("vision", 2_000_000, 4000)}
    session = session_of(model, seen)
    session.run(in_turn([StreamSource(streams["vision"], "vision", 10)]))
    assert session.buffer.absent == {"audio"}
    session.finish(2_000_000)
    streams["audio"] = EventStream.empty(SIZES["audio"], 2_000_000, "audio")
    expected = batch_evidence(model, streams, 400)
    assert [r["label"] for r in seen] == expected.argmax(1).tolist()
    assert session.buffer.outcomes.count("audio", "silent") == 1


def test_trials_of_a_long_stream_are_answered_as_each_alone():
    model, seen = model_of(), []
    trials = [{m: recording(m, seed=k) for m in SIZES} for k in range(4)]
    joined = {}
    for name in SIZES:
        events = np.concatenate([t[name].shifted(200_000 * k).events for k, t in enumerate(trials)])
        joined[name] = EventStream(events, SIZES[name], 800_000, name)
    policy = ConfidenceExit(trial_ms=200)
    session = session_of(model, seen, policy=policy)
    session.run(in_turn([StreamSource(s, m, 10) for m, s in joined.items()]))
    session.finish(800_000)
    alone = [int(batch_evidence(model, t, 40)[-1].argmax()) for t in trials]
    assert [a.label for a in policy.answers] == alone


def test_leaving_early_answers_as_the_first_sure_decision_and_spends_less():
    model = model_of()
    streams = {m: recording(m) for m in SIZES}
    expected = batch_evidence(model, streams, 40)
    sure = np.exp(expected - expected.max(1, keepdims=True))
    sure = sure.max(1) / sure.sum(1)
    theta = float(np.sort(sure)[len(sure) // 2])
    first = int(np.argmax(sure >= theta))
    spent = {}
    for name, gated in (("whole", False), ("early", True)):
        policy = ConfidenceExit(200, theta if gated else 1.0)
        session = session_of(model, [], policy=policy, gate=policy if gated else None)
        session.run(in_turn([StreamSource(s, m, 10) for m, s in streams.items()]))
        session.finish(200_000)
        spent[name] = session.runner.energy("horowitz_45nm_int8").dynamic_pj
    assert policy.answers[0].time_us == (first + 1) * 5000
    assert policy.answers[0].label == expected[first].argmax()
    assert spent["early"] < spent["whole"]


def test_half_the_duty_lets_half_the_events_through():
    session = session_of(model_of(), [], gate=DutyCycle(10, 20))
    session.run(in_turn([StreamSource(recording(m), m, 7) for m in SIZES]))
    session.finish(200_000)
    for name in SIZES:
        times = recording(name).events["t"]
        assert session.tally.n_admitted[name] == int((times % 20_000 < 10_000).sum())


def test_events_over_sockets_are_answered_and_damage_is_counted():
    seen, outcomes = [], Outcomes()
    params = BufferParams(overflow="drop", silent_ms=5000)
    session = session_of(model_of(), seen, params=params, outcomes=outcomes)
    sources = [UdpSource(m, 0, zero="sent", outcomes=outcomes) for m in SIZES]
    senders = [UdpSender("127.0.0.1", s.port) for s in sources]

    def send():
        for start in range(0, 200_000, 20_000):
            for sender, name in zip(senders, SIZES, strict=True):
                events = recording(name).events
                times = events["t"]
                sender.send_bytes(b"xyz")
                sender.send(events[(times >= start) & (times < start + 20_000)])
            time.sleep(0.01)

    thread = threading.Thread(target=send)
    thread.start()
    for chunk in in_turn(sources, for_s=20.0):
        session.run([chunk])
        if sum(session.tally.n_events.values()) == 3000:
            break
    thread.join()
    session.finish()
    for sender in senders:
        sender.close()
    assert session.tally.n_events == dict.fromkeys(SIZES, 1500)
    assert len(seen) == 40
    assert outcomes.count("vision", "malformed packet") == 10
    host = percentiles(session.tally.host_ms)
    assert host is not None
    assert 0 <= host["p50_ms"] <= host["p99_ms"] <= host["max_ms"]


def test_a_second_clock_that_is_off_is_followed():
    rng = np.random.default_rng(3)
    causes = np.sort(rng.integers(200_000, 15_000_000, 120))
    streams = {}
    for name, offset in (("vision", 0), ("audio", 150_000)):
        events = np.zeros(len(causes), EVENT_DTYPE)
        events["t"] = causes + offset + rng.integers(-500, 500, len(causes))
        events["x"], events["p"] = rng.integers(0, 6, len(causes)), True
        events.sort(order="t")
        streams[name] = EventStream(events, SIZES[name], 15_500_000, name)
    found = []
    for wait_s in (0.0, 0.02):  # a slower host corrects at the same events
        clocks = ClockEstimator(ClockParams(min_windows=5))
        session = session_of(model_of(), [], clocks=clocks)
        for chunk in in_turn([StreamSource(s, m, 500) for m, s in streams.items()]):
            session.run([chunk])
            time.sleep(wait_s)
        session.finish()
        assert session.estimate.locked
        assert abs(session.estimate.lag_ms(10_000) - 150) < 1
        found.append((session.last.evidence.tolist(), session.buffer.outcomes.by_modality()))
    assert found[0] == found[1]


def test_words_of_the_command_line_become_sources_or_clear_errors(tmp_path):
    config, outcomes = tiny(), Outcomes()
    write_events(tmp_path / "v.npz", recording("vision"))

    def opened(where, modality="vision"):
        return open_source(where, modality, SIZES[modality], config, outcomes)

    assert isinstance(opened(str(tmp_path / "v.npz")), StreamSource)
    source = opened("udp:0")
    assert isinstance(source, UdpSource)
    source.close()
    with pytest.raises(DataError, match="sensor"):
        opened(str(tmp_path / "v.npz"), "audio")
    write_events(tmp_path / "day.npz", recording("vision").shifted(1_700_000_000_000_000))
    with pytest.raises(DataError, match="--rebase"):
        opened(str(tmp_path / "day.npz"))
    with pytest.raises(ConfigError, match="udp:PORT"):
        opened("udp:x")
    with pytest.raises(ConfigError, match="film"):
        opened("mic")
    assert speed_of("max") == math.inf
    assert speed_of("2") == 2.0
    with pytest.raises(ConfigError, match="--speed"):
        speed_of("fast")


def test_trials_and_policies_follow_the_options():
    assert _trial_ms(None, 400.0, 400_000, 20.0) == 0.0
    assert _trial_ms(None, 410.0, 410_001, 20.0) == 420.0
    assert _trial_ms(None, 400.0, math.inf, 20.0) == 400.0
    assert _trial_ms(0.0, 400.0, 900_000, 20.0) == 0.0
    with pytest.raises(ConfigError, match="--trial"):
        _trial_ms(410.0, 400.0, 900_000, 20.0)


def test_policies_and_gates_follow_the_options():
    runner = StreamRunner(model_of(), count=True)

    def gate(**given):
        options = dict.fromkeys(("exit", "wake", "duty", "budget")) | given
        named = {f"--{name}": value for name, value in options.items()}
        return gate_of(named, policy, runner, "horowitz_45nm_int8")

    policy = policy_of(400.0, 0.9, 0.9, 1.0)
    assert gate() is None
    assert gate(exit=0.9) is policy
    assert isinstance(gate(budget="3.5"), EnergyGate)
    with pytest.raises(ConfigError, match="--trial"):
        policy_of(0.0, 0.9, 0.9, 1.0)
    with pytest.raises(ConfigError, match="only one"):
        gate(exit=0.9, wake=3)
    with pytest.raises(ConfigError, match="ON/PERIOD"):
        gate(duty="5")
    with pytest.raises(ConfigError, match="touch"):
        gate(budget="3/touch")
    for wrong in ("much", "0"):
        with pytest.raises(ConfigError, match="--budget"):
            gate(budget=wrong)


def test_a_budget_is_spent_by_what_was_counted():
    model = model_of()
    runner = StreamRunner(model, count=True)
    spent = spent_by(runner, "horowitz_45nm_int8")
    assert spent() == 0.0
    for name in model.modalities:
        runner.push(name, np.zeros(0, EVENT_DTYPE), 200_000)
    assert spent() == runner.energy("horowitz_45nm_int8").dynamic_pj > 0
    blind = StreamRunner(model)
    for name in model.modalities:
        blind.push(name, np.zeros(0, EVENT_DTYPE), 200_000)
    with pytest.raises(ConfigError, match="stepped"):
        spent_by(blind, "horowitz_45nm_int8")()


def test_each_seed_leaves_early_by_its_own_threshold_and_temperature():
    found = {"exit": {"temperature_by_seed": [1.1, 0.9], "chosen": {"theta_by_seed": [0.9, 0.8]}}}
    assert _exit(-1, found, 0) == (0.9, 1.1)
    assert _exit(-1, found, 1) == (0.8, 0.9)
    assert _exit(None, found, 1) == (None, 0.9)
    with pytest.raises(ConfigError, match="chosen none"):
        _exit(-1, {}, 0)


def test_a_steady_stream_keeps_what_was_loaded_before_out_of_collections():
    before = gc.get_freeze_count()
    with steady():
        assert gc.get_freeze_count() > before + 10_000
        assert len(gc.get_objects()) < 1000
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("engine", ["stepped", "event"])
def test_warming_up_leaves_no_trace(engine):
    model = model_of()
    warm_up(model, engine)
    runner = StreamRunner(model, engine)
    assert runner.n_steps == 0
    assert runner.n_events == dict.fromkeys(SIZES, 0)


def test_times_without_sense_do_not_reach_the_estimator_of_clocks():
    session = session_of(model_of(), [], clocks=ClockEstimator(), params=BufferParams())
    wild = recording("audio").events.copy()
    wild["t"][::3] += 1 << 50
    wild["x"][1::3] = 30_000
    session.run([Chunk("vision", recording("vision").events, 200_000)])
    session.run([Chunk("audio", wild, 200_000)])
    assert session.clocks.skipped == 0
    assert len(session.clocks._onsets["other"].last_us) <= 40  # of two polarities


def test_rates_are_by_the_streams_time_though_a_sensor_stops():
    session = session_of(model_of(), [], params=BufferParams(silent_ms=50.0))
    session.run([Chunk("vision", recording("vision").events, 200_000)])
    session.run([Chunk("audio", recording("audio", 20_000, 100).events, 20_000)])
    assert rates_hz(session) == pytest.approx({"vision": 1500 / 0.2, "audio": 100 / 0.2})


def test_what_sinks_get_is_json():
    seen = []
    session = session_of(model_of(), seen)
    session.run(in_turn([StreamSource(recording(m), m, 10) for m in SIZES]))
    session.finish()
    assert json.loads(json.dumps(seen[-1], allow_nan=False))["class"] in CLASSES
