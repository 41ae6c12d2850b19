"""A network on a chip: cores, memories, and what is not known."""

from pathlib import Path

import pytest

from spikefuse.cost.fits import fits
from spikefuse.cost.profile import HardwareProfile, load_profile
from spikefuse.errors import ProfileError
from spikefuse.opcounts import OpCounts, PathCounts


def network(n_neurons: int, n_weights: int, kind: str = "event") -> OpCounts:
    """One layer: synapses, then neurons of one word of state."""
    return OpCounts(
        {
            "synapses": PathCounts(effective_acs=1, weight_words=n_weights, kind=kind),
            "neurons": PathCounts(
                neuron_updates_active=n_neurons,
                state_reads=n_neurons,
                state_words=n_neurons,
                kind=kind,
            ),
        },
        1,
    )


def chip(tmp_path: Path, **constants: int) -> HardwareProfile:
    """A profile of an event-driven chip with 8 bits a weight and 16 a state."""
    head = 'name = "mine"\ntitle = "mine"\nprices = "event"\nbasis = "arithmetic"\nword_bits = 8\n'
    entry = 'unit = "count"\nsource = "none"\nlocator = "none"\nseen = "primary"\nkind = "bound"\n'
    text = f"[profile]\n{head}state_bits = 16\n" + "".join(
        f"[constants.{name}]\nvalue = {value}\n{entry}" for name, value in constants.items()
    )
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_profile(path)


def test_the_scarcer_of_neurons_and_weights_sets_the_cores(tmp_path: Path) -> None:
    small = chip(tmp_path, n_cores=4, n_neurons_per_core=100, n_weight_bytes_per_core=1000)
    assert fits(network(250, 900), small).cores == {"neurons": 3}
    found = fits(network(250, 4500), small)
    assert found.cores == {"neurons": 5}
    assert found.fits is False
    assert found.sentence == (
        "mine: does not fit, 5 of 4 cores (5 of them neurons). Not known: n_state_bytes."
    )
    assert fits(network(250, 4500), small, weight_bits=4).cores == {"neurons": 3}
    assert fits(network(250, 4500), small, weight_bits=4).fits is True


def test_memories_of_the_whole_chip_are_compared_in_bytes(tmp_path: Path) -> None:
    found = fits(network(250, 900), chip(tmp_path, n_weight_bytes=899, n_state_bytes=500))
    assert [(b.name, b.needed, b.fits) for b in found.budgets] == [
        ("weights", 900.0, False),
        ("states", 500.0, True),
    ]
    assert found.budgets[0].source == "none; none"
    assert "899 bytes" in found.sentence
    assert "states" not in found.sentence


def test_a_profile_without_limits_says_so() -> None:
    found = fits(network(10, 10), load_profile("horowitz_45nm_int8"))
    assert found.fits is None
    assert found.sentence.startswith("horowitz_45nm_int8: not known, the profile holds none of")


def test_a_dense_network_does_not_run_on_an_event_driven_chip() -> None:
    found = fits(network(10, 10, "dense"), load_profile("loihi1_davies2018"))
    assert found.fits is False
    assert "no event-driven neurons" in found.sentence


def test_loihi_has_128_kib_of_weights_a_core_and_odin_one_core() -> None:
    loihi, odin = load_profile("loihi1_davies2018"), load_profile("odin_affine")
    assert fits(network(100, 3 * 131072), loihi, weight_bits=8).cores == {"neurons": 3}
    assert fits(network(256, 65536), odin).fits is True
    assert fits(network(257, 1), odin).fits is False


def test_sensors_are_no_chips() -> None:
    with pytest.raises(ProfileError, match="profile must be of a chip, got the sensor 'dvs128'"):
        fits(network(1, 1), load_profile("dvs128"))
