"""Static power, gating, cores and duty cycle by hand."""

import pytest

from experiments.config import load_config
from experiments.evaluation.system_energy import (
    System,
    busy_time_s,
    describe_alternatives,
    describe_duty,
)
from spikefuse.cost.profile import load_profile
from spikefuse.opcounts import OpCounts, PathCounts

COST = load_config("demo").cost
LOIHI = "loihi1_davies2018"
STATIC_MW = 104.4
SENSORS_MW = 23.0


def spiking(n_neurons: int = 20, n_steps: int = 20) -> System:
    """One layer that is hit by 100 events and never fires."""
    updates = n_neurons * n_steps
    counts = OpCounts(
        {
            "encoders.vision.synapses.0": PathCounts(effective_acs=100, spikes_routed=10),
            "encoders.vision.neurons.0": PathCounts(
                neuron_updates_idle=updates,
                state_reads=updates,
                state_writes=updates,
                state_words=n_neurons,
            ),
        },
        1,
    )
    return System(counts, COST, ("dvs128",), 0.4, n_steps)


def test_whole_chip_is_the_estimate_and_cores_are_its_share() -> None:
    whole, whole_gated, cores, cores_gated = describe_alternatives(spiking(), LOIHI)
    dynamic = 100 * 23.6 + 400 * 52 + 10 * 1.7
    static = STATIC_MW * 0.4 * 1e9
    assert whole["with_static_pj"] == pytest.approx(dynamic + static)
    assert whole["with_sensors_pj"] == pytest.approx(dynamic + static + SENSORS_MW * 0.4 * 1e9)
    assert cores["chip_share"] == pytest.approx(1 / 128)
    assert cores["with_static_pj"] == pytest.approx(dynamic + static / 128)
    # 20 steps of the barrier, 20 idle updates and half an event's work of 5 synapses.
    step_ns = 113 + 20 * 5.3 + 5 * 3.5 + 0.5 * 2.1
    assert whole_gated["powered_s"] == pytest.approx(20 * step_ns * 1e-9)
    gated = dynamic + STATIC_MW * 1e9 * 20 * step_ns * 1e-9
    assert whole_gated["with_static_pj"] == pytest.approx(gated)
    assert cores_gated["with_static_pj"] < gated


def test_no_static_power_no_alternatives() -> None:
    assert describe_alternatives(spiking(), "horowitz_45nm_int8") == []


def test_what_is_not_published_has_a_reason_and_no_number() -> None:
    dense = OpCounts(
        {"encoders.vision.0": PathCounts(effective_macs=9, dense_macs=9, kind="dense")}, 1
    )
    system = System(dense, COST, ("dvs128",), 0.4, None)
    always, gated, share, _ = describe_alternatives(system, "jetson_orin_nano_bound")
    assert always["with_static_pj"] == pytest.approx(7e3 * 0.4 * 1e9, rel=1e-6)
    assert gated["with_static_pj"] is None
    assert "publishes no times" in gated["reason"]
    assert share["with_static_pj"] is None
    assert "does not say which part" in share["reason"]


def test_a_chip_that_cannot_keep_up_is_never_off() -> None:
    system = spiking(n_neurons=1000, n_steps=100_000)
    busy_s, reason = busy_time_s(system, load_profile(LOIHI))
    assert busy_s is None
    assert reason is not None
    assert "never off" in reason


def test_duty_curve_at_its_ends() -> None:
    found = describe_duty(spiking(), LOIHI, 23_177.0)
    assert found is not None
    assert found["rates_hz"][-1] == pytest.approx(2.5)
    idle = STATIC_MW + SENSORS_MW
    assert found["always_on_mw"][0] == pytest.approx(idle, rel=1e-6)
    assert found["always_on_mw"][-1] == pytest.approx(idle + 23_177.0 * 2.5e-9)
    assert found["gated_mw"][0] == pytest.approx(SENSORS_MW, rel=1e-3)
    assert describe_duty(spiking(), LOIHI, None) is None
