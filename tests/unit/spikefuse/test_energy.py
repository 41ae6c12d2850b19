"""Energy: hand-computed prices, totals, refusals; profiles: every constant and every rule."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikefuse.cost import energy, list_profiles, load_profile
from spikefuse.errors import ProfileError
from spikefuse.opcounts import OpCounts, PathCounts

EVENT = PathCounts(
    effective_acs=1000,
    neuron_updates_active=30,
    neuron_updates_idle=70,
    spikes_routed=20,
    weight_reads=1000,
    state_reads=100,
    state_writes=100,
    weight_words=500,
    state_words=10,
)
DENSE = PathCounts(
    effective_macs=800,
    weight_reads=900,
    state_reads=50,
    state_writes=10,
    weight_words=100,
    state_words=60,
    kind="dense",
)
FRONTEND = PathCounts(effective_macs=10, kind="frontend", modality="audio")


def test_fp32_price_by_hand() -> None:
    # 500 words of 4 bytes fit 8 KiB: 10 pJ per 64 bits, so 5 pJ a word.
    estimate = energy(OpCounts({"a": EVENT}, 2), "horowitz_45nm_fp32")
    adds, updates = 1000 * 0.9, 100 * (3.7 + 2 * 0.9)
    expected = (adds + updates + 1000 * 5 + 200 * 5) / 2
    assert estimate.dynamic_pj == pytest.approx(expected)
    assert estimate.with_static_pj is None
    assert "publishes no static power" in estimate.reasons["with_static_pj"]
    assert estimate.reasons["with_sensors_pj"] == "no sensors named"


def test_int8_weights_cost_an_eighth_of_an_access() -> None:
    estimate = energy(OpCounts({"a": EVENT}, 1), "horowitz_45nm_int8")
    by_action = estimate.breakdown["by_action"]
    assert by_action["weight_memory"] == pytest.approx(1000 * 10 / 8)
    assert by_action["state_memory"] == pytest.approx(200 * 10 / 2)
    assert by_action["accumulate"] == pytest.approx(1000 * 0.1)
    assert by_action["neuron_update"] == pytest.approx(100 * (3.1 + 0.2))


def test_memory_price_follows_capacity() -> None:
    prices = []
    for n_words in (2048, 8192, 262_144, 262_145):
        path = PathCounts(weight_reads=1, weight_words=n_words)
        prices.append(energy(OpCounts({"a": path}, 1), "horowitz_45nm_fp32").dynamic_pj)
    assert prices == [5.0, 10.0, 50.0, 650.0]


def test_dense_reuse_has_two_ends() -> None:
    counts = OpCounts({"a": DENSE}, 2)
    ideal = energy(counts, "horowitz_45nm_fp32").breakdown["by_action"]["weight_memory"]
    none = energy(counts, "horowitz_45nm_fp32", reuse="none")
    assert ideal == pytest.approx(2 * 100 * 5 / 2)
    assert none.breakdown["by_action"]["weight_memory"] == pytest.approx(900 * 5 / 2)


def test_loihi_by_hand_with_static_and_sensors() -> None:
    estimate = energy(
        OpCounts({"a": EVENT}, 1), "loihi1_davies2018", wall_time_s=0.1, sensors=["dvs128"]
    )
    dynamic = 1000 * 23.6 + 30 * 81 + 70 * 52 + 20 * 1.7
    assert estimate.dynamic_pj == pytest.approx(dynamic)
    assert estimate.with_static_pj == pytest.approx(dynamic + 104.4e-3 * 0.1 * 1e12)
    assert estimate.with_sensors_pj == pytest.approx(dynamic + (104.4e-3 + 23e-3) * 0.1 * 1e12)
    assert any("Lichtsteiner" in line for line in estimate.assumptions)


def test_loihi_drone_controller_of_the_literature() -> None:
    """W1b: 18-256-128-4 at 21 % activity; one update a neuron, one synop a spike and synapse."""
    hidden = (256 + 128) * 81
    synops = 23.6 * 0.21 * (256 * 128 + 128 * 4)
    scale = 100
    path = PathCounts(
        neuron_updates_active=(256 + 128) * scale,
        effective_acs=round(0.21 * (256 * 128 + 128 * 4) * scale),
    )
    estimate = energy(OpCounts({"a": path}, scale), "loihi1_davies2018")
    assert estimate.dynamic_pj == pytest.approx(hidden + synops, rel=1e-5)
    assert estimate.dynamic_pj == pytest.approx(196_040, rel=1e-4)


def test_what_has_no_price_is_null_with_the_reason() -> None:
    dense = energy(OpCounts({"net.layer": DENSE}, 1), "loihi1_davies2018")
    assert dense.dynamic_pj is None
    assert dense.with_sensors_pj is None
    assert dense.reason is not None
    assert "'net.layer' is dense" in dense.reason
    graded = energy(OpCounts({"g": PathCounts(effective_macs=1)}, 1), "loihi1_davies2018")
    assert graded.dynamic_pj is None
    front = OpCounts({"frontend.audio": FRONTEND, "a": EVENT}, 1)
    assert energy(front, "loihi1_davies2018").dynamic_pj is None
    priced = energy(front, "loihi1_davies2018", frontend_profile="horowitz_45nm_int8")
    assert priced.breakdown["by_path"]["frontend.audio"] == pytest.approx(10 * 0.3)
    assert any("priced by horowitz_45nm_int8" in line for line in priced.assumptions)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 50))
def test_breakdowns_sum_and_energy_is_linear(acs: int, updates: int, factor: int) -> None:
    def counts(k: int) -> OpCounts:
        path = PathCounts(
            effective_acs=acs * k, neuron_updates_idle=updates * k, state_words=5, weight_words=5
        )
        return OpCounts({"a": path, "frontend.audio": FRONTEND}, 1)

    one, many = (energy(counts(k), "horowitz_45nm_fp32") for k in (1, factor))
    for part in ("by_path", "by_action", "by_modality"):
        assert sum(one.breakdown[part].values()) == pytest.approx(one.dynamic_pj)
    fixed = one.breakdown["by_path"]["frontend.audio"]
    assert many.dynamic_pj - fixed == pytest.approx(factor * (one.dynamic_pj - fixed), abs=1e-6)


def test_misuse_names_the_argument() -> None:
    counts = OpCounts({"a": EVENT}, 1)
    with pytest.raises(ValueError, match="wall_time_s must be given with sensors"):
        energy(counts, "horowitz_45nm_fp32", sensors=["dvs128"])
    with pytest.raises(ValueError, match="wall_time_s must be positive, got 0"):
        energy(counts, "horowitz_45nm_fp32", wall_time_s=0)
    with pytest.raises(ProfileError, match="must price a processor, got the sensor 'dvs128'"):
        energy(counts, "dvs128")
    with pytest.raises(ProfileError, match="must name sensor profiles"):
        energy(counts, "horowitz_45nm_fp32", wall_time_s=1, sensors=["horowitz_45nm_fp32"])
    with pytest.raises(ProfileError, match="nearest: 'loihi1_davies2018'"):
        load_profile("loihi_davies")


EXPECTED = {
    ("horowitz_45nm_fp32", "e_add"): 0.9,
    ("horowitz_45nm_fp32", "e_mul"): 3.7,
    ("horowitz_45nm_fp32", "e_sram_8kib"): 10,
    ("horowitz_45nm_fp32", "e_sram_32kib"): 20,
    ("horowitz_45nm_fp32", "e_sram_1mib"): 100,
    ("horowitz_45nm_fp32", "e_dram"): 1300,
    ("horowitz_45nm_int8", "e_add"): 0.1,
    ("horowitz_45nm_int8", "e_mul"): 0.2,
    ("horowitz_45nm_int8", "e_neuron_mul"): 3.1,
    ("loihi1_davies2018", "e_synop"): 23.6,
    ("loihi1_davies2018", "e_neuron_active"): 81,
    ("loihi1_davies2018", "e_neuron_idle"): 52,
    ("loihi1_davies2018", "e_spike_within_tile"): 1.7,
    ("loihi1_davies2018", "p_static"): 104.4,
    ("dvs128", "p_chip"): 23,
    ("das1_cochlea_ams", "p_chip"): 14,
    ("cochlea_lp", "p_chip"): 0.055,
    ("mems_mic_mp34dt05", "p_chip"): 1.17,
    ("frame_camera_mobile_cis", "p_chip"): 50,
    ("frame_camera_always_on", "p_chip"): 0.0455,
}


@pytest.mark.parametrize(("profile", "constant"), EXPECTED)
def test_shipped_constants(profile: str, constant: str) -> None:
    row = load_profile(profile).constants[constant]
    assert row.value == EXPECTED[profile, constant]
    assert row.source
    assert row.locator


def test_every_shipped_profile_loads_without_recalled_values() -> None:
    for name in list_profiles():
        profile = load_profile(name)
        assert profile.name == name
        assert all(row.seen != "recall" for row in profile.constants.values())


GOOD = """
[profile]
name = "mine"
title = "my chip"
prices = "event"
basis = "datasheet"
[constants.e_synop]
value = 2.0
unit = "pJ"
source = "data sheet"
locator = "page 3"
seen = "primary"
kind = "marginal"
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "pJ"\n', "", "must say 'unit'"),
        ('source = "data sheet"\n', "", "must say 'source'"),
        ('locator = "page 3"\n', "", "must say 'locator'"),
        ('seen = "primary"\n', "", "must say 'seen'"),
        ('kind = "marginal"\n', "", "must say 'kind'"),
        ('unit = "pJ"', 'unit = "furlong"', "unit must be one of"),
        ("value = 2.0", "value = -2.0", "positive numbers"),
        ("value = 2.0", "value = nan", "positive numbers"),
        ("value = 2.0", "value = 2.0\nlow = 3.0\nhigh = 4.0", "low <= value <= high"),
        ('seen = "primary"', 'seen = "recall"', "must have been seen"),
        ('prices = "event"', 'prices = "all"', "event, both or sensor"),
        ("[profile]", "[profile", "must be TOML"),
    ],
)
def test_a_profile_that_hides_something_is_refused(tmp_path, old, new, message) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert load_profile(path).value("e_synop") == 2.0
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ProfileError, match=message) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)


def test_the_documented_profile_loads(tmp_path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "energy.md").read_text()
    path = tmp_path / "mychip.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0])
    estimate = energy(OpCounts({"a": EVENT}, 1), load_profile(path))
    assert estimate.dynamic_pj == pytest.approx(1000 * 10 + 30 * 20 + 70 * 5 + 20)
