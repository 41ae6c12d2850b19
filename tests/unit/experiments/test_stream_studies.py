"""Studies of streams, small: what they plant is found, and what they write is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.bench import buffer_speed
from experiments.streaming.gates import spent_by
from experiments.studies import always_on, clock_bound, clock_drift, wake_policy
from sensors.scenes.onset import IN_SYNC, OnsetParams, OnsetScene
from spikefuse.encoders import EncoderSpec, ModalitySpec
from spikefuse.events import EVENT_DTYPE, EventStream, MultiStream
from spikefuse.models import FusionSNN, ModelSpec
from spikefuse.runtime import StreamRunner
from spikefuse.runtime.policies import ConfidenceExit, DutyCycle, EnergyGate

SIZES = {"vision": (6, 5, 2), "audio": (20, 1, 1)}
TRIAL_US = 100_000


def sample(seed: int) -> MultiStream:
    rng = np.random.default_rng(seed)
    streams = {}
    for name, size in SIZES.items():
        events = np.zeros(300, EVENT_DTYPE)
        events["t"] = np.sort(rng.integers(0, TRIAL_US, len(events)))
        events["x"], events["p"] = rng.integers(0, size[0], len(events)), True
        streams[name] = EventStream(events, size, TRIAL_US, name)
    return MultiStream(streams, 0)


def test_the_buffers_bench_writes_its_table_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- buffer -->\nold\n<!-- /buffer -->\nafter\n", encoding="utf-8")
    buffer_speed.main(page, events=2000, rounds=1)
    written = page.read_text(encoding="utf-8")
    assert "old" not in written
    assert written.count("\n| 1") == len(buffer_speed.CHUNKS) * len(buffer_speed.DISORDER_US)


@pytest.mark.parametrize("check", [False, True])
def test_events_made_out_of_order_all_pass_the_buffer(check: bool) -> None:
    made = buffer_speed.made(5000, 500)
    assert (np.diff(made["t"]) < 0).any()
    assert buffer_speed.passed(made, 1000, check) >= 0  # raises if an event is missing


def test_a_planted_clock_is_found_on_a_stream_of_bounces_and_clicks() -> None:
    row = clock_drift.one_stream("bare, in sync", 0, 40)
    assert row["locked"]
    assert abs(row["lag_error_ms"]) < 1.0
    assert "1 of 1" in clock_drift.table([row])
    trains = clock_drift.s1_stream("bare, as drawn", clock_drift.s1_samples("bare, as drawn", 0, 3))
    assert all((np.diff(times) >= 0).all() for times, _ in trains.values())


def test_the_ideal_observer_of_two_clocks_is_as_sharp_as_the_answers_are() -> None:
    def spread(jitter_ms: float) -> float:
        scene = OnsetScene(OnsetParams(jitter_ms=jitter_ms, p_evoke=0.99, noise_hz=0.1))
        errors = []
        for seed in range(3):
            drawn = (scene.draw(seed, index) for index in range(150))
            samples = [sample for sample in drawn if sample.label == IN_SYNC][:60]
            errors.append(clock_bound.ideal_errors(scene.params, samples, True, 19)[0])
        return float(np.sqrt(np.mean(np.square(errors))))

    # Four answers each, so a pair is known to sqrt(2 / 4) of their jitter.
    expected = [1e3 * s * np.sqrt(0.5) / (np.sqrt(60) * 19 / np.sqrt(12)) for s in (0.5, 1.5)]
    assert spread(0.5) < 2 * expected[0] < 20
    assert expected[1] / 3 < spread(1.5) < 2 * expected[1]


def test_hearing_that_sleeps_more_misses_more_and_costs_less() -> None:
    missed, asleep = zip(
        *(wake_policy.missed_and_asleep("all six", n, 0, 40) for n in (1, 3)), strict=True
    )
    assert 0 < asleep[0] < asleep[1] < 1
    assert missed[0] < missed[1]
    part, whole = wake_policy.hearing_mw(1 - asleep[1])
    assert 0 < part < whole


def test_samples_as_one_stream_are_answered_trial_by_trial_and_gates_spend_less() -> None:
    torch.manual_seed(1)
    encoder = EncoderSpec((), 16, 0.0)
    parts = tuple(ModalitySpec(name, size, encoder) for name, size in SIZES.items())
    model = FusionSNN(ModelSpec(parts, 3, 5.0, "concat", 12)).eval()
    streams = always_on.one_after_another([sample(k) for k in range(4)], TRIAL_US)
    rows = []

    def budget(_: ConfidenceExit, runner: StreamRunner) -> EnergyGate:
        mw = 0.5 * rows[0]["dynamic_pj"] / TRIAL_US * 1e-3
        return EnergyGate(mw, "audio", spent_by(runner, always_on.PROFILE))

    for make in (lambda *_: None, lambda *_: DutyCycle(10.0, 20.0), budget):
        said: list = []
        policy = ConfidenceExit(TRIAL_US / 1e3, 1.0, 1.0, said.append)
        session = always_on.answered(model, streams, policy, make, ["a", "b", "c"])
        assert [answer.trial for answer in said] == [0, 1, 2, 3]
        labels = np.array([answer.label for answer in said])
        rows.append(always_on._row("a gate", session, said, labels, TRIAL_US))
    whole, half, shed = rows
    assert whole["accuracy"] == 1.0
    assert whole["events"] == 600
    assert half["dynamic_pj"] < whole["dynamic_pj"]
    assert half["awake"] == {"vision": 0.5, "audio": 0.5}
    assert shed["dynamic_pj"] < whole["dynamic_pj"]
    assert shed["awake"]["vision"] == 1.0
    assert 0 < shed["awake"]["audio"] < 0.9
    assert "50 %" in always_on.table(rows)
