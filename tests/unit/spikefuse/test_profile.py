"""Profiles and sensors: every shipped constant, and every rule of the loader."""

import pytest

from spikefuse.cost.profile import list_profiles, list_sensors, load_profile, load_sensor
from spikefuse.errors import ProfileError

HOROWITZ_MEMORY = {
    "e_sram_8kib": (10, "pJ/access64"),
    "e_sram_32kib": (20, "pJ/access64"),
    "e_sram_1mib": (100, "pJ/access64"),
    "e_dram": (1300, "pJ/access64"),
}
LOIHI_SIZE = {
    "n_cores": (128, "count"),
    "n_neurons_per_core": (1024, "count"),
    "n_weight_bytes_per_core": (131072, "count"),
}
# Typed by hand, not read from the files under test.
EXPECTED = {
    "horowitz_45nm_fp32": {
        "e_add": (0.9, "pJ/op"),
        "e_mul": (3.7, "pJ/op"),
        "e_neuron_add": (0.9, "pJ/op"),
        "e_neuron_mul": (3.7, "pJ/op"),
        **HOROWITZ_MEMORY,
        "r_dram_per_mac": (0.0029, "access/MAC"),
    },
    "horowitz_45nm_int8": {
        "e_add": (0.1, "pJ/op"),
        "e_mul": (0.2, "pJ/op"),
        "e_neuron_add": (0.1, "pJ/op"),
        "e_neuron_mul": (3.1, "pJ/op"),
        **HOROWITZ_MEMORY,
        "r_dram_per_mac": (0.0029, "access/MAC"),
    },
    "yan2024_22nm": {
        "e_add": (0.05448, "pJ/op"),
        "e_mul": (0.38136, "pJ/op"),
        "e_neuron_add": (0.05448, "pJ/op"),
        "e_neuron_mul": (0.38136, "pJ/op"),
        "e_move_sparse": (3.0, "pJ/bit"),
        "e_move_dense": (0.25, "pJ/bit"),
    },
    "loihi1_nahuku": {
        "e_synop": (35.5, "pJ"),
        "e_neuron_access": (51.2, "pJ"),
        "e_neuron_update": (21.6, "pJ"),
        "e_neuron_spike": (69.3, "pJ"),
        "e_message": (111, "pJ"),
        "e_hop_ew": (3.0, "pJ"),
        "e_hop_ns": (4.2, "pJ"),
        "t_synop": (3.8, "ns"),
        "t_neuron_access": (6.0, "ns"),
        "t_neuron_update": (3.7, "ns"),
        "t_neuron_spike": (30.0, "ns"),
        "t_message": (5.1, "ns"),
        "t_message_in": (16.0, "ns"),
        "t_sync": (600, "ns"),
        **LOIHI_SIZE,
    },
    "truenorth_affine": {"e_synop": (2.297, "pJ"), "p_static": (64.43, "mW")},
    "odin_affine": {
        "e_synop": (8.43, "pJ"),
        "p_static": (27.3, "uW"),
        "p_clock": (1.78, "uW/MHz"),
        "f_clock": (75, "MHz"),
        "n_cores": (1, "count"),
        "n_neurons_per_core": (256, "count"),
        "n_weight_bytes_per_core": (32768, "count"),
    },
    "spinnaker1": {"e_synop": (13300, "pJ"), "e_neuron_access": (26000, "pJ")},
    "spinnaker2": {"e_synop": (450, "pJ"), "e_neuron_access": (2190, "pJ")},
    "jetson_orin_nano_bound": {"e_op": (0.37, "pJ/op"), "p_static": (7, "W")},
    "cpu_degnan2015": {"e_mac": (8600, "pJ/op")},
    "gpu_degnan2015": {"e_mac": (300, "pJ/op")},
    "arm_degnan2015": {"e_mac": (900, "pJ/op")},
    "loihi1_davies2018": {
        "e_synop": (23.6, "pJ"),
        "e_neuron_active": (81, "pJ"),
        "e_neuron_idle": (52, "pJ"),
        "e_spike_within_tile": (1.7, "pJ"),
        "p_static": (104.4, "mW"),
        "e_hop_ew": (3.0, "pJ"),
        "e_hop_ns": (4.0, "pJ"),
        "t_synop": (3.5, "ns"),
        "t_neuron_active": (8.4, "ns"),
        "t_neuron_idle": (5.3, "ns"),
        "t_spike_within_tile": (2.1, "ns"),
        "t_hop_ew": (4.1, "ns"),
        "t_hop_ns": (6.5, "ns"),
        "t_sync": (113, "ns"),
        **LOIHI_SIZE,
    },
    "event_camera_die": {"p_chip": (10, "mW")},
    "genx320": {"p_chip": (3, "mW")},
    "mems_mic_pdm_chain": {"i_supply": (2550, "uA"), "v_supply": (1.8, "V")},
    "dvs128": {"p_chip": (23, "mW"), "t_latency": (15, "us")},
    "das1_cochlea_ams": {"p_chip": (14, "mW")},
    "cochlea_lp": {"p_chip": (55, "uW")},
    "mems_mic_mp34dt05": {"i_supply": (650, "uA"), "v_supply": (1.8, "V")},
    "frame_camera_mobile_cis": {"p_chip": (50, "mW")},
    "frame_camera_always_on": {"p_chip": (45.5, "uW")},
}
POWERS_MW = {
    "dvs128": 23,
    "das1_cochlea_ams": 14,
    "cochlea_lp": 0.055,
    "mems_mic_mp34dt05": 1.17,
    "frame_camera_mobile_cis": 50,
    "frame_camera_always_on": 0.0455,
    "event_camera_die": 10,
    "genx320": 3,
    "mems_mic_pdm_chain": 4.59,
}
CROSS_CHECKS = {
    "truenorth_affine",
    "odin_affine",
    "spinnaker1",
    "spinnaker2",
    "cpu_degnan2015",
    "gpu_degnan2015",
    "arm_degnan2015",
}


def test_the_table_of_expected_constants_is_complete() -> None:
    assert set(list_profiles()) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_shipped_constants(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    rows = profile.constants
    assert {key: (row.value, row.unit) for key, row in rows.items()} == EXPECTED[name]
    assert all(row.seen != "recall" for row in rows.values())


def test_what_is_no_default_says_so() -> None:
    assert {n for n in list_profiles() if load_profile(n).use == "cross-check"} == CROSS_CHECKS
    for name in ("spinnaker1", "spinnaker2"):
        assert "Conflict" in load_profile(name).notes


def test_word_widths() -> None:
    widths = {n: load_profile(n) for n in ("horowitz_45nm_fp32", "horowitz_45nm_int8")}
    assert {n: (p.word_bits, p.state_bits) for n, p in widths.items()} == {
        "horowitz_45nm_fp32": (32, 32),
        "horowitz_45nm_int8": (8, 32),
    }


def test_static_power_of_loihi_has_its_own_source() -> None:
    rows = load_profile("loihi1_davies2018").constants
    assert "Davies" in rows["e_synop"].source
    assert "Frady" in rows["p_static"].source
    assert "Davies" not in rows["p_static"].source
    assert "voltage not stated" in rows["p_static"].note


def test_a_clock_adds_to_the_static_power() -> None:
    odin = load_profile("odin_affine")
    assert odin.static_mw() == pytest.approx((27.3 + 1.78 * 75) / 1e3)
    assert load_profile("loihi1_davies2018").static_mw() == 104.4
    assert load_profile("loihi1_nahuku").static_mw() is None


def test_sensors_have_a_power_and_a_source() -> None:
    sensors = list_sensors()
    assert {s.name: s.power_mw for s in sensors} == pytest.approx(POWERS_MW, rel=1e-12)
    for sensor in sensors:
        assert load_sensor(sensor.name) == sensor
        assert all(
            row.source in sensor.source and row.locator in sensor.source
            for name, row in sensor.profile.constants.items()
            if not name.startswith("t_")  # the source is that of the power
        )


def test_a_recalled_range_loads_on_request_only() -> None:
    seen = load_profile("horowitz_45nm_int8").constants["e_dram"]
    assert (seen.low, seen.value, seen.high, seen.has_range) == (1300, 1300, 1300, False)
    recalled = load_profile("horowitz_45nm_int8", allow_recall=True).constants["e_dram"]
    assert (recalled.low, recalled.value, recalled.high) == (1300, 1300, 2600)


def test_unknown_names_list_all_and_the_nearest() -> None:
    with pytest.raises(ProfileError, match=r"nearest: 'loihi1_davies2018'") as caught:
        load_profile("loihi_davies")
    assert all(name in str(caught.value) for name in list_profiles())
    with pytest.raises(ProfileError, match=r"nearest: 'dvs128'") as caught:
        load_sensor("dvs18")
    assert all(name in str(caught.value) for name in POWERS_MW)
    assert "horowitz" not in str(caught.value)
    with pytest.raises(
        ProfileError, match=r"profile must be an existing TOML file, got none\.toml"
    ):
        load_profile("none.toml")


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
SENSOR = GOOD.replace('"event"', '"sensor"').replace("e_synop", "p_chip").replace("pJ", "W")


def test_a_users_own_file_loads_the_same_way(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    profile = load_profile(str(path))
    assert (profile.name, profile.process_nm, profile.value("e_synop")) == ("mine", None, 2.0)
    with pytest.raises(ProfileError, match=r"'mine' must hold the constant 'e_mul', got \['e_syn"):
        profile.value("e_mul")
    with pytest.raises(ProfileError, match=r"mine\.e_synop must be a power"):
        profile.power_mw("e_synop")
    with pytest.raises(ProfileError, match=r"sensor must name a sensor, got 'mine' \(event\)"):
        load_sensor(path)
    path.write_text(SENSOR)
    assert load_sensor(path).power_mw == 2000
    path.write_text(SENSOR.replace("p_chip", "p_idle"))
    with pytest.raises(ProfileError, match="must hold the constant 'i_supply'"):
        load_sensor(path)


def test_a_published_range_is_kept(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + "low = 1.5\nhigh = 3\n")
    profile = load_profile(path)
    assert [profile.value("e_synop", end) for end in ("low", "value", "high")] == [1.5, 2, 3]
    assert profile.constants["e_synop"].has_range


def test_a_recalled_value_loads_on_request_only(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('"primary"', '"recall"'))
    assert load_profile(path, allow_recall=True).value("e_synop") == 2.0
    with pytest.raises(ProfileError, match=r"constants\.e_synop must have been seen"):
        load_profile(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value = 2.0\n", "", r"constants\.e_synop must say 'value'"),
        ('unit = "pJ"\n', "", r"constants\.e_synop must say 'unit'"),
        ('source = "data sheet"\n', "", r"constants\.e_synop must say 'source'"),
        ('source = "data sheet"', 'source = ""', r"constants\.e_synop must say 'source'"),
        ('source = "data sheet"', "source = 3", r"e_synop\.source must be a text, got 3"),
        ('locator = "page 3"\n', "", r"constants\.e_synop must say 'locator'"),
        ('seen = "primary"\n', "", r"constants\.e_synop must say 'seen'"),
        ('kind = "marginal"\n', "", r"constants\.e_synop must say 'kind'"),
        ('unit = "pJ"', 'unit = "furlong"', r"e_synop\.unit must be one of"),
        ('unit = "pJ"', 'unit = "mW"', r"e_synop\.unit must be one of \['pJ', 'pJ/op'\]"),
        ('seen = "primary"', 'seen = "rumour"', r"e_synop\.seen must be one of"),
        ('kind = "marginal"', 'kind = "guess"', r"e_synop\.kind must be one of"),
        ("value = 2.0", 'value = 2.0\nrange_seen = "x"', r"e_synop\.range_seen must be one of"),
        ("value = 2.0", "value = -2.0", r"constants\.e_synop must be positive numbers"),
        ("value = 2.0", "value = 0", r"constants\.e_synop must be positive numbers"),
        ("value = 2.0", "value = nan", r"constants\.e_synop must be positive numbers"),
        ("value = 2.0", "value = inf", r"constants\.e_synop must be positive numbers"),
        ("value = 2.0", "value = true", r"constants\.e_synop must be positive numbers"),
        ("value = 2.0", "value = '2'", r"constants\.e_synop must be positive numbers"),
        ("value = 2.0", "value = 2.0\nhigh = nan", r"constants\.e_synop must be positive numbers"),
        ("value = 2.0", "value = 2.0\nlow = 3.0\nhigh = 4.0", "low <= value <= high"),
        ('name = "mine"\n', "", r"\[profile\] must say 'name'"),
        ('prices = "event"', 'prices = "all"', "event, dense, both or sensor"),
        ('basis = "datasheet"', 'basis = "x"\nword_bits = "8"', r"profile\.word_bits must be"),
        ('basis = "datasheet"', 'basis = "x"\nstate_bits = 0', r"profile\.state_bits must be"),
        ('basis = "datasheet"', 'basis = "x"\nprocess_nm = nan', r"profile\.process_nm must be"),
        ("[profile]", "[profile", "must be TOML"),
        ("[profile]", "profile = 3\n[other]", "profile must be a table, got 3"),
        ("[constants.e_synop]", "[constants]\ne_mul = 3\n[constants.e]", "e_mul must be a table"),
        ("[constants.e_synop]", "[other]", r"\[constants\] must hold at least one entry"),
    ],
)
def test_a_profile_that_hides_something_is_refused(tmp_path, old, new, message) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert load_profile(path).value("e_synop") == 2.0
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ProfileError, match=message) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match="must be a readable UTF-8 file"):
        load_profile(path)
