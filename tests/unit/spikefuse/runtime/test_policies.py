"""Always-on policies: what passes, when one is awake, and that nothing looks ahead."""

from __future__ import annotations

import numpy as np
import pytest

from spikefuse.events import EVENT_DTYPE
from spikefuse.runtime.decisions import Decision
from spikefuse.runtime.policies import ConfidenceExit, DutyCycle, EnergyGate, WakeUp


def events(times):
    found = np.zeros(len(times), EVENT_DTYPE)
    found["t"] = times
    return found


def decision(time_ms, evidence):
    return Decision(time_ms // 10 - 1, time_ms * 1000, int(np.argmax(evidence)), evidence, 0)


def test_a_trial_is_left_at_the_first_sure_answer_and_slept_through():
    gate = ConfidenceExit(trial_ms=100, theta=0.9)
    unsure, sure = np.array([0.1, 0.0]), np.array([0.0, 9.0])
    assert len(gate.admit("vision", events([5_000, 15_000]), 20_000)) == 2
    assert not gate.restart(decision(10, unsure))
    assert not gate.restart(decision(20, sure))
    assert not gate.restart(decision(30, unsure))  # asleep: not asked again
    passed = gate.admit("vision", events([25_000, 99_999, 100_000, 110_000]), 120_000)
    assert passed["t"].tolist() == [100_000, 110_000]
    assert gate.restart(decision(100, unsure))
    (answer,) = gate.answers
    assert (answer.trial, answer.time_us, answer.label, answer.early) == (0, 20_000, 1, True)
    assert gate.awake_share("vision") == pytest.approx(40 / 120)


def test_a_trial_without_a_sure_answer_ends_with_its_last_one():
    gate = ConfidenceExit(trial_ms=20, theta=1.0)
    for trial in range(3):
        assert not gate.restart(decision(20 * trial + 10, np.array([50.0, 0.0])))
        assert gate.restart(decision(20 * trial + 20, np.array([0.0, 50.0])))
    assert [a.label for a in gate.answers] == [1, 1, 1]
    assert [a.trial for a in gate.answers] == [0, 1, 2]
    assert gate.n_early == 0
    assert gate.awake_share("vision") == 1.0


@pytest.mark.parametrize("chunk_us", [1_000, 7_000, 100_000])
def test_duty_cycle_passes_its_share_for_any_chunks(chunk_us):
    gate = DutyCycle(on_ms=3, period_ms=10)
    times = np.arange(0, 100_000, 100)
    passed = 0
    for start in range(0, 100_000, chunk_us):
        end = min(start + chunk_us, 100_000)
        passed += len(gate.admit("audio", events(times[(times >= start) & (times < end)]), end))
    assert passed == 300
    assert gate.awake_share("audio") == pytest.approx(0.3)


def test_energy_gate_sheds_one_modality_while_too_much_is_spent():
    spent = [0.0]
    gate = EnergyGate(1.0, "audio", lambda: spent[0])  # 1 mW: 1e6 pJ a millisecond
    assert len(gate.admit("audio", events([10]), 1000)) == 1
    spent[0] = 2e6
    assert len(gate.admit("audio", events([1500]), 2000)) == 0
    assert len(gate.admit("vision", events([1500]), 2000)) == 1
    assert len(gate.admit("audio", events([2500]), 3000)) == 1
    assert gate.awake_share("audio") == pytest.approx(2 / 3)


@pytest.mark.parametrize("chunk_us", [3_000, 10_000, 200_000])
def test_the_sleeper_wakes_after_the_window_that_woke_it_and_not_before(chunk_us):
    # Five events of the leader in [40, 50) ms: awake in [50, 80) ms.
    leader = np.array([1_000, 41_000, 42_000, 43_000, 44_000, 49_000, 120_000])
    sleeper = np.arange(0, 200_000, 1_000)
    gate = WakeUp("vision", "audio", n_wake=4, window_ms=10, hold_ms=30)
    heard = []
    for start in range(0, 200_000, chunk_us):
        end = min(start + chunk_us, 200_000)
        for name, times in (("vision", leader), ("audio", sleeper)):
            part = events(times[(times >= start) & (times < end)])
            passed = gate.admit(name, part, end)
            if name == "audio":
                heard += passed["t"].tolist()
    assert heard == list(range(50_000, 80_000, 1_000))
    assert gate.awake_share("audio") == pytest.approx(30 / 200)
    assert gate.awake_share("vision") == 1.0


def test_only_the_columns_that_are_watched_wake():
    gate = WakeUp("vision", "audio", n_wake=1, window_ms=10, hold_ms=10, columns=(2, 3))
    seen = events([1_000, 31_000, 61_000])
    seen["x"] = [1, 2, 4]
    gate.admit("vision", seen, 100_000)
    heard = gate.admit("audio", events(range(0, 100_000, 1_000)), 100_000)
    assert heard["t"].tolist() == list(range(40_000, 50_000, 1_000))


def test_a_threshold_of_zero_never_sleeps():
    gate = WakeUp("vision", "audio", n_wake=0)
    assert len(gate.admit("audio", events([1, 2]), 10)) == 2


def test_wrong_arguments_are_named():
    for make in (
        lambda: ConfidenceExit(0),
        lambda: ConfidenceExit(10, theta=2),
        lambda: DutyCycle(2, 1),
        lambda: EnergyGate(0, "audio", float),
        lambda: WakeUp("a", "a", 1),
        lambda: WakeUp("a", "b", -1),
    ):
        with pytest.raises(ValueError, match="must"):
            make()
