"""Energy: hand-computed prices, totals, ranges, ratios and what has no price."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikefuse.cost.energy import EnergyEstimate, energy, ratio, ratios, word_energy_pj
from spikefuse.cost.profile import HardwareProfile, load_profile
from spikefuse.errors import ProfileError
from spikefuse.opcounts import COUNT_FIELDS, OpCounts, PathCounts

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


def test_two_paths_by_hand_on_each_profile() -> None:
    """An event and a dense path of two samples; 4-byte state words cost 5 pJ at 8 KiB."""
    counts = OpCounts({"snn": EVENT, "mlp": DENSE}, 2)
    fp32 = energy(counts, "horowitz_45nm_fp32").breakdown
    assert fp32["by_path"]["snn"] == pytest.approx((900 + 550 + 5000 + 1000) / 2)
    assert fp32["by_path"]["mlp"] == pytest.approx((800 * 4.6 + 200 * 5 + 60 * 5) / 2)
    int8 = energy(counts, "horowitz_45nm_int8").breakdown
    assert int8["by_path"]["snn"] == pytest.approx((100 + 330 + 1250 + 1000) / 2)
    # Activations of a dense layer are one byte: an eighth of 10 pJ, as its weights.
    assert int8["by_path"]["mlp"] == pytest.approx((800 * 0.3 + 200 * 1.25 + 60 * 1.25) / 2)
    assert energy(counts, "loihi1_davies2018").dynamic_pj is None
    alone = energy(OpCounts({"snn": EVENT}, 2), "loihi1_davies2018").breakdown
    assert alone["by_action"] == pytest.approx(
        {
            "accumulate": 11_800,
            "multiply_accumulate": 0,
            "neuron_update": (2430 + 3640) / 2,
            "weight_memory": 0,
            "state_memory": 0,
            "spike_routing": 17,
        }
    )


def test_idle_updates_cost_as_much_as_active_ones_on_plain_logic() -> None:
    prices = [
        energy(OpCounts({"a": PathCounts(**{name: 3})}, 1), "horowitz_45nm_fp32").dynamic_pj
        for name in ("neuron_updates_active", "neuron_updates_idle")
    ]
    assert prices == [pytest.approx(3 * 5.5)] * 2


def test_ideal_reuse_never_charges_more_than_was_read() -> None:
    counts = OpCounts({"a": PathCounts(weight_reads=3, weight_words=100, kind="dense")}, 1)
    assert energy(counts, "horowitz_45nm_fp32").dynamic_pj == 15
    # Reuse is a property of dense layers: an event layer reads at every spike.
    event = OpCounts({"a": PathCounts(weight_reads=300, weight_words=100)}, 1)
    assert energy(event, "horowitz_45nm_fp32", reuse="ideal").dynamic_pj == 1500


def test_a_byte_costs_an_eighth_of_an_access() -> None:
    int8 = load_profile("horowitz_45nm_int8")
    assert [word_energy_pj(int8, n, 8) for n in (8192, 8193, 2**20, 2**20 + 1)] == [
        1.25,
        2.5,
        12.5,
        162.5,
    ]


def test_the_range_follows_the_constants() -> None:
    dram = OpCounts({"a": EVENT, "b": PathCounts(weight_reads=2, weight_words=2**20)}, 1)
    seen = energy(dram, "horowitz_45nm_fp32")
    assert seen.dynamic_range_pj == (seen.dynamic_pj, seen.dynamic_pj)
    recalled = load_profile("horowitz_45nm_fp32", allow_recall=True)
    low, high = energy(dram, recalled).dynamic_range_pj
    assert low == seen.dynamic_pj
    assert high == pytest.approx(low + 2 * 1300 / 2)


def test_static_power_may_be_given_in_other_units(tmp_path) -> None:
    row = 'unit = "pJ"\nsource = "s"\nlocator = "l"\nseen = "primary"\nkind = "marginal"\n'
    text = '[profile]\nname = "m"\ntitle = "t"\nprices = "event"\nbasis = "silicon"\n'
    for name in ("e_synop", "e_neuron_active", "e_neuron_idle", "e_spike_within_tile"):
        text += f"[constants.{name}]\nvalue = 1\n{row}"
    text += f"[constants.p_static]\nvalue = 250\n{row.replace('pJ', 'uW')}"
    path = tmp_path / "m.toml"
    path.write_text(text)
    estimate = energy(OpCounts({"a": EVENT}, 1), str(path), wall_time_s=2)
    assert estimate.breakdown["static_pj"] == pytest.approx(250e-6 * 2 * 1e12)


def test_dense_hardware_refuses_event_layers(tmp_path) -> None:
    path = tmp_path / "m.toml"
    row = 'unit = "pJ"\nsource = "s"\nlocator = "l"\nseen = "primary"\nkind = "marginal"\n'
    path.write_text(
        '[profile]\nname = "m"\ntitle = "t"\nprices = "dense"\nbasis = "silicon"\n'
        f"[constants.e_add]\nvalue = 1\n{row}"
    )
    estimate = energy(OpCounts({"snn": EVENT}, 1), str(path))
    assert estimate.reason == "m prices dense layers only; 'snn' is event-driven"
    with pytest.raises(ProfileError, match="must hold the constant 'e_mul'"):
        energy(OpCounts({"mlp": DENSE}, 1), str(path))


def test_static_needs_the_wall_time() -> None:
    estimate = energy(OpCounts({"a": EVENT}, 1), "loihi1_davies2018")
    assert estimate.with_static_pj is None
    assert estimate.reasons["with_static_pj"] == "wall_time_s was not given"
    timed = energy(OpCounts({"a": EVENT}, 1), "loihi1_davies2018", wall_time_s=1)
    assert any("voltage not stated" in line for line in timed.assumptions)


def test_sensors_without_a_published_static_power() -> None:
    sensors = ["dvs128", "mems_mic_mp34dt05", "mems_mic_mp34dt05"]
    estimate = energy(
        OpCounts({"a": EVENT}, 1), "horowitz_45nm_fp32", wall_time_s=0.5, sensors=sensors
    )
    watts = 23e-3 + 2 * 650e-6 * 1.8
    assert estimate.with_sensors_pj == pytest.approx(estimate.dynamic_pj + watts * 0.5 * 1e12)
    assert estimate.breakdown["sensors_pj"]["mems_mic_mp34dt05"] == pytest.approx(1.17e9)
    assert any("holds no static power" in line for line in estimate.assumptions)


def test_ratios_are_dense_over_spiking_or_null() -> None:
    dense = energy(OpCounts({"a": DENSE}, 1), "horowitz_45nm_fp32")
    snn = energy(OpCounts({"a": EVENT}, 1), "horowitz_45nm_fp32")
    by_hand = (800 * 4.6 + 100 * 5 + 60 * 5) / (900 + 550 + 5000 + 1000)
    assert ratios(dense, snn) == {
        "dynamic_pj": pytest.approx(by_hand),
        "with_static_pj": None,
        "with_sensors_pj": None,
    }
    refused = energy(OpCounts({"a": DENSE}, 1), "loihi1_davies2018")
    assert set(ratios(refused, snn).values()) == {None}
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(3.0, 0.0) is None


def test_an_estimate_survives_a_result_file() -> None:
    estimate = energy(OpCounts({"a": EVENT}, 1), "loihi1_davies2018", wall_time_s=0.1)
    plain = estimate.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert set(plain) == set(EnergyEstimate.__dataclass_fields__)


NUMBERS = st.integers(0, 10**6)
PATHS = st.builds(
    PathCounts,
    effective_acs=NUMBERS,
    effective_macs=NUMBERS,
    neuron_updates_active=NUMBERS,
    neuron_updates_idle=NUMBERS,
    spikes_routed=NUMBERS,
    weight_reads=NUMBERS,
    state_reads=NUMBERS,
    state_writes=NUMBERS,
    weight_words=NUMBERS,
    state_words=NUMBERS,
    kind=st.sampled_from(["event", "dense", "frontend"]),
    modality=st.sampled_from(["vision", "audio", "shared"]),
)
PROFILES = st.sampled_from(
    [load_profile(f"horowitz_45nm_{width}") for width in ("fp32", "int8")]
    + [load_profile("loihi1_davies2018")]
)


def fitting(path: PathCounts, profile: HardwareProfile) -> PathCounts:
    """The path without what a spiking chip cannot price."""
    if profile.prices == "both":
        return path
    return replace(path, kind="event", effective_macs=0)


@given(st.lists(PATHS, max_size=4), PROFILES, st.integers(1, 7), st.sampled_from(["ideal", "none"]))
def test_energy_adds_over_paths(paths, profile, n_samples, reuse) -> None:
    named = {f"p{i}": fitting(path, profile) for i, path in enumerate(paths)}
    whole = energy(OpCounts(named, n_samples), profile, reuse=reuse)
    alone = [energy(OpCounts({n: p}, n_samples), profile, reuse=reuse) for n, p in named.items()]
    # Exact but for the rounding of the sum: 1e-12 is thousands of units in the last place.
    total = pytest.approx(whole.dynamic_pj, rel=1e-12)
    assert sum(estimate.dynamic_pj for estimate in alone) == total
    for part in ("by_path", "by_action", "by_modality"):
        assert sum(whole.breakdown[part].values()) == total


@given(PATHS, PROFILES, st.integers(1, 50), st.sampled_from(["ideal", "none"]))
def test_energy_is_linear_in_the_counts(path, profile, factor, reuse) -> None:
    path = fitting(path, profile)
    if path.kind == "dense" and reuse == "ideal":
        # Weights are then read once, however often they are used: not linear by design.
        path = replace(path, weight_reads=0)
    many = replace(path, **{name: factor * getattr(path, name) for name in COUNT_FIELDS})
    one, scaled = (energy(OpCounts({"a": p}, 3), profile, reuse=reuse) for p in (path, many))
    assert scaled.dynamic_pj == pytest.approx(factor * one.dynamic_pj, rel=1e-12)


@given(PATHS, PROFILES, st.integers(1, 50))
def test_more_samples_of_the_same_kind_cost_the_same_each(path, profile, factor) -> None:
    counts = OpCounts({"a": fitting(path, profile)}, 1)
    one, pooled = (energy(c, profile) for c in (counts, OpCounts.concat([counts] * factor)))
    assert pooled.dynamic_pj == pytest.approx(one.dynamic_pj, rel=1e-12)


def test_misuse_names_the_argument() -> None:
    counts = OpCounts({"a": EVENT}, 1)
    with pytest.raises(ValueError, match="wall_time_s must be given with sensors"):
        energy(counts, "horowitz_45nm_fp32", sensors=["dvs128"])
    with pytest.raises(ValueError, match="wall_time_s must be positive, got 0"):
        energy(counts, "horowitz_45nm_fp32", wall_time_s=0)
    with pytest.raises(ProfileError, match="must price a processor, got the sensor 'dvs128'"):
        energy(counts, "dvs128")
    with pytest.raises(ValueError, match="wall_time_s must be positive, got inf"):
        energy(counts, "horowitz_45nm_fp32", wall_time_s=float("inf"))
    with pytest.raises(
        ValueError, match=r"reuse must be one of \['ideal', 'none', 'measured'\], got 'full'"
    ):
        energy(counts, "horowitz_45nm_fp32", reuse="full")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sensors must be a sequence of names"):
        energy(counts, "horowitz_45nm_fp32", wall_time_s=1, sensors="dvs128")
    with pytest.raises(ProfileError, match=r"sensor must be .* got 'horowitz_45nm_fp32'"):
        energy(counts, "horowitz_45nm_fp32", wall_time_s=1, sensors=["horowitz_45nm_fp32"])
    with pytest.raises(ProfileError, match="frontend_profile must price multiply-accumulates"):
        energy(counts, "loihi1_davies2018", frontend_profile="loihi1_davies2018")
    # A wrong sensor is refused also where nothing can be priced.
    with pytest.raises(ProfileError, match="nearest: 'dvs128'"):
        energy(OpCounts({"d": DENSE}, 1), "loihi1_davies2018", wall_time_s=1, sensors=["dvs12"])


def test_the_documented_profile_loads(tmp_path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "energy.md").read_text()
    path = tmp_path / "mychip.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0])
    estimate = energy(OpCounts({"a": EVENT}, 1), load_profile(path))
    assert estimate.dynamic_pj == pytest.approx(1000 * 10 + 30 * 20 + 70 * 5 + 20)


def test_yan_moves_spikes_one_by_one_and_activations_by_width() -> None:
    event = energy(OpCounts({"a": EVENT}, 1), "yan2024_22nm").breakdown["by_action"]
    assert event["spike_routing"] == pytest.approx(20 * 3.0)
    assert event["accumulate"] == pytest.approx(1000 * 0.05448)
    assert event["weight_memory"] == event["state_memory"] == 0
    dense = energy(OpCounts({"a": DENSE}, 1), "yan2024_22nm")
    assert dense.breakdown["by_action"]["spike_routing"] == pytest.approx(50 * 8 * 0.25)
    assert dense.breakdown["by_action"]["multiply_accumulate"] == pytest.approx(800 * 8 * 0.05448)
    assert any("memory is not charged" in line for line in dense.assumptions)


def test_silicon_regression_of_loihi_by_hand() -> None:
    path = replace(EVENT, spikes_fired=5)
    estimate = energy(OpCounts({"a": path}, 1), "loihi1_nahuku")
    expected = 1000 * 35.5 + 100 * 51.2 + 30 * 21.6 + 5 * 69.3 + 20 * 111
    assert estimate.dynamic_pj == pytest.approx(expected)


def test_measured_reuse_adds_what_came_from_dram() -> None:
    ideal = energy(OpCounts({"a": DENSE}, 1), "horowitz_45nm_int8").dynamic_pj
    measured = energy(OpCounts({"a": DENSE}, 1), "horowitz_45nm_int8", reuse="measured").dynamic_pj
    assert measured - ideal == pytest.approx(800 * 0.0029 * 1300 / 8)


def test_a_bound_per_operation_holds_memory_inside() -> None:
    estimate = energy(OpCounts({"a": DENSE}, 1), "jetson_orin_nano_bound")
    assert estimate.dynamic_pj == pytest.approx(2 * 800 * 0.37)
    assert any("inside its operations" in line for line in estimate.assumptions)


def test_power_gating_and_a_share_of_the_chip_shrink_static_power_alone() -> None:
    counts = OpCounts({"a": EVENT}, 1)
    whole = energy(counts, "loihi1_davies2018", wall_time_s=0.1)
    part = energy(counts, "loihi1_davies2018", wall_time_s=0.1, powered_s=0.02, chip_share=0.25)
    assert part.dynamic_pj == whole.dynamic_pj
    assert part.breakdown["static_pj"] == pytest.approx(whole.breakdown["static_pj"] / 20)
    assert any("0.25 of the chip, on for 20 ms" in line for line in part.assumptions)
    for wrong in ({"powered_s": 0.2}, {"chip_share": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            energy(counts, "loihi1_davies2018", wall_time_s=0.1, **wrong)


@pytest.mark.parametrize("profile", ["horowitz_45nm_int8", "loihi1_davies2018"])
def test_an_and_of_two_spikes_costs_as_much_as_an_event(profile: str) -> None:
    both = [PathCounts(and_ops=7), PathCounts(effective_acs=7)]
    prices = [energy(OpCounts({"a": path}, 1), profile).dynamic_pj for path in both]
    assert prices[0] == prices[1] > 0
