"""At large size the time of each cross-modal path grows with its own events (counts: elsewhere)."""

import random
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from spikefuse.fusion.cross_synapse import CrossPath
from spikefuse.fusion.windows import CoincidenceWindow
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.fan import Fan
from spikefuse.spikes import SpikeBatch

DENSITIES = (0.0, 0.04, 0.08, 0.16, 0.32)
N, STEPS, BATCH = 1024, 400, 4


def events_at(density: float) -> SpikeBatch:
    generator = torch.Generator().manual_seed(0)
    return compact((torch.rand(STEPS, BATCH, N, generator=generator) < density).float())


def slope(run: Callable[[SpikeBatch], object], rounds: int = 7) -> float:
    """Exponent of process time over events, without the time of an empty stream.

    The empty stream pays for what every step costs: the currents that are written, the taps. The
    least of the rounds counts: others on the machine only ever add.
    """
    events = {density: events_at(density) for density in DENSITIES}
    times: dict[float, list[float]] = {density: [] for density in DENSITIES}
    order = random.Random(0)
    run(events[DENSITIES[1]])
    with torch.no_grad():
        for _ in range(rounds):
            for density in order.sample(DENSITIES, len(DENSITIES)):
                before = time.process_time()
                run(events[density])
                times[density].append(time.process_time() - before)
    empty, *least = (min(times[density]) for density in DENSITIES)
    net, _ = np.polyfit(np.log(DENSITIES[1:]), np.log(np.array(least) - empty), 1)
    return float(net)


@pytest.mark.slow
def test_delayed_synapses_cost_what_their_events_cost() -> None:
    torch.manual_seed(0)
    fan = Fan.random_out(N, N, 512)
    path = CrossPath("vision", N, N, 1.0, delay_max_ms=20.0, fan=fan).eval()
    # Few events find the cache cold, so an event gets cheaper as others come: below 1, not above.
    assert 0.65 < slope(path) < 1.15


@pytest.mark.slow
@pytest.mark.parametrize("which", ["opener", "spikes"])
@pytest.mark.parametrize("window", ["gaussian", "exponential"])
def test_each_side_of_a_window_costs_what_its_own_events_cost(window: str, which: str) -> None:
    torch.manual_seed(0)
    unit = CoincidenceWindow(
        N, N, 256, 1.0, window=window, delay_max_ms=2.0, width_ms=(1.0, 2.0), width_max_ms=2.0
    ).eval()
    none = events_at(0.0)

    def run(events: SpikeBatch) -> object:
        return unit(events, none) if which == "opener" else unit(none, events)

    # Time of a busy machine: 0 would be a cost of the whole, 2 one of pairs.
    assert 0.75 < slope(run) < 1.25
