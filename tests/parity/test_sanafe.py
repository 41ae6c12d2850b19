"""W10: energy and step time of Loihi against SANA-FE's own simulation, where it is installed.

SANA-FE is GPL-3: imported here, for this check, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from spikefuse.cost.chip import step_time
from spikefuse.cost.energy import energy
from spikefuse.cost.placement import Mesh, Placement, Traffic
from spikefuse.cost.profile import load_profile
from spikefuse.opcounts import OpCounts, PathCounts

sanafe = pytest.importorskip("sanafe", reason="sanafe is not installed (pip install sanafe)")
pytestmark = pytest.mark.slow

# The leak is kept in single precision; membranes are cut to multiples of the step, towards zero.
LEAK, STEP = float(np.float32(0.9)), 1 / 64
MESH = Mesh(8, 4, cores_per_tile=4, order="columns")
SYNC_US = {1: 0.6, 2: 1.0, 3: 1.0, 4: 1.4}  # by tiles, the table in its loihi.yaml


@dataclass(frozen=True)
class Simulated:
    """What SANA-FE reports of one net: spikes [T, n] of each group, energy and time of steps."""

    spikes: dict[str, np.ndarray]
    weights: tuple[np.ndarray, np.ndarray]
    energy_pj: float
    step_us: np.ndarray


def simulate(sizes: tuple[int, int, int], cores: tuple[int, int, int], seed: int) -> Simulated:
    """Inputs, hidden and output neurons, all to all, each group on a core of its own."""
    rng = np.random.default_rng(seed)
    n_steps = 40
    inputs = rng.random((n_steps, sizes[0])) < rng.uniform(0.05, 0.4)
    weights = tuple(
        np.round(rng.normal(0.2, 0.3, (a, b)) / a**0.5 * 4 / STEP) * STEP
        for a, b in pairwise(sizes)
    )
    arch, net = sanafe.load_loihi(), sanafe.Network()
    names = ("in", "hidden", "out")
    groups: list[Any] = []
    for name, size in zip(names, sizes, strict=True):
        options: dict[str, Any] = {"default_synapse_hw_name": "loihi_dense_synapse"}
        if name != "in":
            options["soma_hw_name"] = "loihi_lif"
            options["model_attributes"] = {"threshold": 1.0, "leak_decay": LEAK}
        groups.append(net.create_neuron_group(name, size, log_spikes=True, **options))
    for i in range(sizes[0]):
        groups[0].neurons[i].set_attributes(
            soma_hw_name=f"loihi_inputs[{i}]",
            log_spikes=True,
            model_attributes={"spikes": inputs[:, i].astype(int).tolist()},
        )
    for source, target, weight in zip(groups, groups[1:], weights, strict=False):
        source.connect_neurons_dense(target, {"weight": weight.flatten().tolist()})
    for group, core in zip(groups, cores, strict=True):
        for neuron in group.neurons:
            neuron.map_to_core(arch.tiles[core // 4].cores[core % 4])
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    found = chip.sim(n_steps, timing_model="detailed", spike_trace=True, perf_trace=True)
    spikes = {name: np.zeros((n_steps, n), bool) for name, n in zip(names, sizes, strict=True)}
    for t, step in enumerate(found["spike_trace"]):
        for address in step:
            name, index = str(address).split(".")
            spikes[name][t, int(index)] = True
    step_us = np.array(found["perf_trace"]["sim_time"]) * 1e6
    return Simulated(spikes, weights, found["energy"]["total"] * 1e12, step_us)


def updates(spikes: np.ndarray, arriving: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Neurons [T, n] whose state changes: it was not zero, or a spike arrived.

    Replays the membranes in numpy and asserts the simulator's spikes on the way.
    """
    v = np.zeros(weight.shape[1])
    before = np.zeros(weight.shape[0], bool)
    active = np.zeros(spikes.shape, bool)
    for t in range(len(spikes)):
        active[t] = (v != 0) | before.any()  # a synapse of weight zero delivers too
        if t:
            v = np.trunc(v * LEAK / STEP) * STEP
        v = v + before @ weight
        fired = v > 1.0
        assert (fired == spikes[t]).all()
        v = np.where(fired, 0.0, v)
        before = arriving[t]
    return active


def counted(run: Simulated, cores: tuple[int, int, int], steps: slice) -> OpCounts:
    """Our counts of some steps, under the same placement."""
    sizes = [s.shape[1] for s in run.spikes.values()]
    placement = Placement(
        MESH,
        dict(zip(run.spikes, ((c,) for c in cores), strict=True)),
        {"to_hidden": ("in", "hidden"), "to_out": ("hidden", "out")},
    )
    paths: dict[str, PathCounts] = {}
    for i, (name, source) in enumerate((("hidden", "in"), ("out", "hidden"))):
        sent = torch.tensor(run.spikes[source][steps].sum(0), dtype=torch.float64)
        weight = torch.tensor(run.weights[i])
        active = updates(run.spikes[name], run.spikes[source], run.weights[i])[steps]
        routed = placement.route(f"to_{name}", Traffic(sent, torch.ones_like(weight)))
        paths[f"to_{name}"] = PathCounts(
            effective_acs=int(sent.sum()) * sizes[i + 1],
            spikes_routed=int(sent.sum()),
            **routed,
        )
        paths[name] = PathCounts(
            neuron_updates_active=int(active.sum()),
            neuron_updates_idle=int((~active).sum()),
            spikes_fired=int(run.spikes[name][steps].sum()),
            state_reads=active.size,
            state_writes=active.size,
            state_words=sizes[i + 1],
        )
    return OpCounts(paths, 1)


NETS = [
    ((20, 30, 12), (0, 0, 0), 0),
    ((40, 60, 10), (0, 1, 12), 1),
    ((64, 128, 32), (0, 17, 42), 2),
]


@pytest.mark.parametrize(("sizes", "cores", "seed"), NETS)
def test_energy_of_a_whole_run(sizes, cores, seed) -> None:
    run = simulate(sizes, cores, seed)
    counts = counted(run, cores, slice(None))
    ours = energy(counts, "loihi1_nahuku").dynamic_pj
    assert counts.totals["spikes_fired"] > 100
    assert ours == pytest.approx(run.energy_pj, rel=1e-9)


@pytest.mark.parametrize(("sizes", "cores", "seed"), NETS[1:])
def test_steps_last_as_long_as_the_bracket_says(sizes, cores, seed) -> None:
    run = simulate(sizes, cores, seed)
    chip = load_profile("loihi1_nahuku")
    rows = {name: replace(row, low=row.value) for name, row in chip.constants.items()}
    sync_us = SYNC_US[len({core // 4 for core in cores})]
    inside = 0
    for t, took_us in enumerate(run.step_us):
        found = step_time(
            counted(run, cores, slice(t, t + 1)), replace(chip, constants=rows), 1, sync_us=sync_us
        )
        inside += found.low_us <= took_us + 1e-9 and took_us <= 1.05 * found.high_us + 0.05
    assert inside / len(run.step_us) >= 0.98
