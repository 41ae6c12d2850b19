"""Chips: cores filled, steps bracketed by hand, and mean power over the duty cycle."""

import pytest

from spikefuse.cost.chip import chip_share, populations_of, step_time
from spikefuse.cost.duty import duty_curve
from spikefuse.cost.profile import load_profile
from spikefuse.errors import ProfileError
from spikefuse.opcounts import OpCounts, PathCounts


def neurons(n: int, n_steps: int, active: int, fired: int, words: int = 1) -> PathCounts:
    return PathCounts(
        neuron_updates_active=active,
        neuron_updates_idle=n * n_steps - active,
        spikes_fired=fired,
        state_reads=words * n * n_steps,
        state_writes=words * n * n_steps,
        state_words=words * n,
    )


COUNTS = OpCounts(
    {
        "frontend": PathCounts(effective_macs=5, kind="frontend"),
        "a.synapse": PathCounts(effective_acs=6000, spikes_routed=100),
        "a.neurons": neurons(2000, 10, 5000, 400),
        "b.left": PathCounts(effective_acs=3000, spikes_routed=300),
        "b.right": PathCounts(effective_acs=1000, spikes_routed=100),
        "b.neurons": neurons(50, 10, 500, 20, words=2),
    },
    1,
)


def test_populations_have_the_paths_that_ran_before_them() -> None:
    first, second = populations_of(COUNTS)
    assert (first.name, first.n_neurons, len(first.synapses)) == ("a.neurons", 2000, 1)
    assert (second.name, second.n_neurons, len(second.synapses)) == ("b.neurons", 50, 2)


def test_whole_cores_are_filled() -> None:
    assert chip_share(COUNTS, load_profile("loihi1_davies2018")) == 3 / 128
    with pytest.raises(ProfileError, match="n_neurons_per_core"):
        chip_share(COUNTS, load_profile("truenorth_affine"))
    with pytest.raises(ValueError, match="counts must hold neurons"):
        chip_share(OpCounts({}, 1), load_profile("loihi1_davies2018"))


def test_the_bracket_of_a_step_by_hand() -> None:
    found = step_time(COUNTS, load_profile("loihi1_davies2018"), 10)
    soma_ns = (5000 * 8.4 + 15_000 * 5.3) / 10 / 2
    message_ns = max((6000 * 3.5 / 2 + 100 * 2.1) / 10, (4000 * 3.5 + 400 * 2.1) / 10)
    assert found.soma_us == pytest.approx(soma_ns * 1e-3)
    assert found.message_us == pytest.approx(message_ns * 1e-3)
    assert found.low_us == pytest.approx(0.113 + max(found.soma_us, found.message_us))
    assert found.high_us == pytest.approx(0.113 + found.soma_us + found.message_us)
    assert (found.busiest, found.n_cores) == ("a.neurons", 3)
    late = step_time(COUNTS, load_profile("loihi1_davies2018"), 10, bound="high")
    assert late.low_us - found.low_us == pytest.approx(0.465 - 0.113)


def test_the_other_set_of_times_has_messages_in_and_out() -> None:
    found = step_time(COUNTS, load_profile("loihi1_nahuku"), 10)
    soma_ns = (20_000 * 6.0 + 5000 * 3.7 + 400 * (30.0 + 5.1)) / 10 / 2
    assert found.soma_us == pytest.approx(soma_ns * 1e-3)
    message_ns = max((6000 * 3.8 / 2 + 100 * 16) / 10, (4000 * 3.8 + 400 * 16) / 10)
    assert found.message_us == pytest.approx(message_ns * 1e-3)


def test_a_gated_processor_pays_for_the_time_it_is_busy() -> None:
    always = duty_curve(2e9, 0.1, [0.0, 1.0, 10.0], static_mw=100, sensors_mw=23)
    gated = duty_curve(2e9, 0.1, [0.0, 1.0, 10.0], static_mw=100, sensors_mw=23, gated=True)
    assert [p.total_mw for p in always] == pytest.approx([123, 125, 143])
    assert [p.total_mw for p in gated] == pytest.approx([23, 35, 143])
    with pytest.raises(ValueError, match=r"rates_hz must leave each inference its 0\.1 s"):
        duty_curve(1.0, 0.1, [11.0])
    with pytest.raises(ValueError, match="must be >= 0"):
        duty_curve(-1.0, 0.1, [1.0])
