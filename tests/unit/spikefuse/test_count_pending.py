"""Currents under way are state: traffic by hand, capacity by the longest delay."""

import torch

from spikefuse.cost import count
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import DelayedLinear


def test_traffic_and_capacity_by_hand() -> None:
    dense = torch.zeros(4, 1, 3)
    dense[0, 0, 1] = dense[2, 0, 0] = dense[2, 0, 2] = 1.0
    layer = DelayedLinear(3, 5, (0, 2, 7))
    counts = count(layer, SpikeBatch.from_dense(dense))
    path = counts.by_path["DelayedLinear.pending"]
    # 3 spikes times 2 delays above 0 times 5 neurons; 4 steps in each of which 5 words arrive.
    assert path.state_reads == path.state_writes == 3 * 2 * 5 + 4 * 5
    assert path.state_words == 7 * 5
    assert path.bytes_moved == 4 * 2 * (3 * 2 * 5 + 4 * 5)
    assert path.effective_acs == path.weight_reads == path.spikes_routed == 0
    # The accumulates are those of the synapses, once.
    assert counts.totals["effective_acs"] == 3 * 3 * 5


def test_silence_still_reads_what_arrives() -> None:
    path = count(DelayedLinear(3, 5, (1,)), torch.zeros(6, 2, 3)).by_path["DelayedLinear.pending"]
    assert path.state_reads == path.state_writes == 6 * 2 * 5


def test_without_delay_nothing_is_pending() -> None:
    counts = count(DelayedLinear(3, 5, (0,)), torch.ones(2, 1, 3))
    assert not any(name.endswith("pending") for name in counts.by_path)
