"""Stored counts are the counts: nothing is lost on the way through a file."""

import json

import pytest

from spikefuse.cost.energy import energy
from spikefuse.cost.stored import counts_of, stored_counts
from spikefuse.errors import DataError
from spikefuse.opcounts import OpCounts, PathCounts

COUNTS = OpCounts(
    {
        "encoders.vision.synapses.0": PathCounts(
            effective_acs=2**60 + 1, weight_reads=7, weight_words=100, modality="vision"
        ),
        "frontend.audio.cochlea": PathCounts(effective_macs=3, kind="frontend", modality="audio"),
    },
    3,
)


def test_counts_survive_a_file_exactly() -> None:
    assert counts_of(json.loads(json.dumps(stored_counts(COUNTS)))) == COUNTS


def test_they_cost_the_same() -> None:
    again = counts_of(stored_counts(COUNTS))
    ours, theirs = (energy(c, "horowitz_45nm_int8").dynamic_pj for c in (COUNTS, again))
    assert ours == theirs


def test_zeros_are_left_out() -> None:
    stored = stored_counts(COUNTS)
    assert "effective_macs" not in stored["paths"]["encoders.vision.synapses.0"]


@pytest.mark.parametrize("stored", [{}, {"paths": {"a": {"nonsense": 1}}, "n_samples": 1}])
def test_what_is_no_count_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(DataError, match="stored counts must hold"):
        counts_of(stored)
