"""Break-even: by hand, at both ends, and by replaying thinned spikes."""

import pytest
import torch

from spikefuse.cost import count
from spikefuse.cost.bill import bill_of
from spikefuse.cost.break_even import break_even
from spikefuse.cost.energy import energy
from spikefuse.neurons import LIF, LIFParams
from spikefuse.opcounts import OpCounts, PathCounts
from spikefuse.synapses import EventLinear

N_STEPS = 10
NEURONS = PathCounts(
    neuron_updates_active=40,
    neuron_updates_idle=160,
    spikes_fired=50,
    state_reads=200,
    state_writes=200,
    state_words=20,
)
COUNTS = OpCounts(
    {
        "in": PathCounts(effective_acs=300, spikes_routed=30),
        "neurons": NEURONS,
        "out": PathCounts(effective_acs=500, spikes_routed=50),
    },
    1,
)


def test_the_line_by_hand() -> None:
    bill = bill_of(COUNTS, "loihi1_davies2018")
    fixed = 300 * 23.6 + 30 * 1.7 + 40 * 81 + 160 * 52
    driven = 500 * 23.6 + 50 * 1.7
    found = break_even(COUNTS, bill, fixed + driven, input_paths=("in",))
    assert (found.measured, found.most_spikes) == (2.5, N_STEPS)
    assert found.fixed_pj == pytest.approx(fixed)
    assert found.per_spike_pj == pytest.approx(driven / 2.5)
    assert found.verdict == "below"
    assert found.spikes == pytest.approx(2.5)
    assert found.snn_pj(2.5) == pytest.approx(fixed + driven)


def test_regimes_without_a_crossing_are_named() -> None:
    bill = bill_of(COUNTS, "loihi1_davies2018")
    line = break_even(COUNTS, bill, 1e9, input_paths=("in",))
    assert (line.verdict, line.spikes) == ("always", None)
    never = break_even(COUNTS, bill, line.fixed_pj, input_paths=("in",))
    assert (never.verdict, never.spikes) == ("never", None)
    charged = break_even(COUNTS, bill, 1e9, input_paths=("in",), extra_snn_pj=2e9)
    assert charged.verdict == "never"


@pytest.mark.parametrize("profile", ["horowitz_45nm_fp32", "loihi1_davies2018", "yan2024_22nm"])
def test_replaying_thinned_spikes_lies_on_the_line(profile: str) -> None:
    torch.manual_seed(0)
    first, hidden = EventLinear(40, 64, gain=4.0), LIF(64, LIFParams(), 1.0)
    second = EventLinear(64, 20)
    events = (torch.rand(50, 4, 40) < 0.2).float()
    with torch.no_grad():
        spikes = hidden(first(events))[0]

    def counted(thinned: torch.Tensor) -> OpCounts:
        paths = {
            "first": count(first, events, 1).by_path["EventLinear"],
            "hidden": count(hidden, first(events), 1).by_path["LIF"],
            "second": count(second, thinned, 1).by_path["EventLinear"],
        }
        return OpCounts(paths, 4)

    whole = counted(spikes)
    found = break_even(whole, bill_of(whole, profile), 1e6, input_paths=("first",))
    assert found.measured == pytest.approx(float(spikes.sum()) / (4 * 64))
    for keep in (0.75, 0.4, 0.1, 0.0):
        thinned = spikes * (torch.rand_like(spikes) < keep)
        replayed = energy(counted(thinned), profile).dynamic_pj
        at = float(thinned.sum()) / (4 * 64)
        assert replayed == pytest.approx(found.snn_pj(at), rel=1e-6)


def test_misuse_names_the_argument() -> None:
    bill = bill_of(COUNTS, "loihi1_davies2018")
    with pytest.raises(ValueError, match=r"input_paths must be paths of counts, got \['no'\]"):
        break_even(COUNTS, bill, 1.0, input_paths=("no",))
    silent = OpCounts({"a": PathCounts(effective_acs=1)}, 1)
    with pytest.raises(ValueError, match="counts must hold neurons that fired"):
        break_even(silent, bill_of(silent, "loihi1_davies2018"), 1.0)
