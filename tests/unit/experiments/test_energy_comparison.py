"""Ranges and break-even of a run: every reuse, what has no price, and a network that is silent."""

from dataclasses import replace

import pytest

from experiments.config import load_config
from experiments.evaluation.energy_comparison import compare_energy, input_paths
from spikefuse.opcounts import OpCounts, PathCounts

NEURONS = PathCounts(
    neuron_updates_active=40,
    neuron_updates_idle=160,
    spikes_fired=50,
    state_reads=200,
    state_writes=200,
    state_words=20,
)
SNN = OpCounts(
    {
        "encoders.vision.synapses.0": PathCounts(effective_acs=300, spikes_routed=30),
        "encoders.vision.neurons.0": NEURONS,
        "fusion.fusion_synapses.vision": PathCounts(
            effective_acs=500, weight_reads=500, weight_words=100, spikes_routed=50
        ),
    },
    1,
)
DENSE = OpCounts(
    {
        "encoders.vision.0": PathCounts(
            effective_macs=900, weight_reads=900, weight_words=100, state_words=60, kind="dense"
        )
    },
    1,
)


def test_every_reuse_of_every_profile_is_compared_or_says_why_not() -> None:
    config = load_config("demo", ["cost.profiles=horowitz_45nm_int8,loihi1_davies2018"])
    found = compare_energy(SNN, DENSE, config, ["dvs128"])
    int8 = found["horowitz_45nm_int8"]
    assert set(int8) == {"ideal", "none", "measured"}
    dense_pj = [int8[reuse]["break_even"]["dense_pj"] for reuse in ("ideal", "measured", "none")]
    assert dense_pj == sorted(dense_pj)
    assert dense_pj[0] < dense_pj[2]
    # A sensor that both pay for draws the ratio to one.
    assert int8["none"]["with_sensors"]["nominal"] == pytest.approx(1, abs=1e-3)
    assert set(found["loihi1_davies2018"]) == {"ideal", "none"}
    assert "is dense" in found["loihi1_davies2018"]["ideal"]["reason"]


def test_first_synapses_are_driven_by_the_sensors() -> None:
    assert input_paths(SNN) == ["encoders.vision.synapses.0"]


def test_a_silent_network_has_ranges_and_no_break_even() -> None:
    config = load_config("demo", ["cost.profiles=horowitz_45nm_int8"])
    silent = {"encoders.vision.neurons.0": replace(NEURONS, spikes_fired=0)}
    found = compare_energy(OpCounts(silent, 1), DENSE, config, [])["horowitz_45nm_int8"]["ideal"]
    assert found["break_even"] is None
    assert found["dynamic"]["nominal"] > 0
