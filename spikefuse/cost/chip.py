"""How much of a chip a network fills, and how long one of its steps takes there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from spikefuse.cost.constants import Bound
from spikefuse.cost.profile import HardwareProfile
from spikefuse.opcounts import OpCounts, PathCounts

# Times of a neuron's update, and how many of them a population has.
SOMA_TIMES: Mapping[str, Callable[[PathCounts], int]] = {
    "t_neuron_active": lambda p: p.neuron_updates_active,
    "t_neuron_idle": lambda p: p.neuron_updates_idle,
    "t_neuron_access": lambda p: p.neuron_updates_active + p.neuron_updates_idle,
    "t_neuron_update": lambda p: p.neuron_updates_active,
    "t_neuron_spike": lambda p: p.spikes_fired,
    "t_message": lambda p: p.spikes_fired,
}


@dataclass(frozen=True)
class Population:
    """Neurons of one layer with the paths that drive them.

    Parameters
    ----------
    name : str
        Path of the neurons.
    n_neurons : int
    neurons : PathCounts
    synapses : tuple of PathCounts
        Of the paths between the population before and this one, in the order in which they ran,
        and of the neurons' own recurrent synapses.
    inputs : tuple of str
        Names of those paths.
    """

    name: str
    n_neurons: int
    neurons: PathCounts
    synapses: tuple[PathCounts, ...]
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepTime:
    """Bracket of the mean duration of one step on a chip.

    Parameters
    ----------
    low_us, high_us : float
        Neurons and messages of the busiest core at once, and one after the other; the barrier is
        in both.
    sync_us, soma_us, message_us : float
        Barrier, and the busiest core's time for its neurons and for its messages.
    busiest : str
        Population of the core with the most work.
    n_cores : int
    """

    low_us: float
    high_us: float
    sync_us: float
    soma_us: float
    message_us: float
    busiest: str
    n_cores: int


def populations_of(counts: OpCounts) -> list[Population]:
    """The layers of neurons of a model, each with the event paths that ran since the one before."""
    found: list[Population] = []
    waiting: dict[str, PathCounts] = {}
    for name, path in counts.by_path.items():
        updates = path.neuron_updates_active + path.neuron_updates_idle
        if path.kind != "event":
            continue
        if found and name in (f"{found[-1].name}.recurrent", f"{found[-1].name}.input"):
            found[-1] = _driven_by(found[-1], name, path)
            continue
        if not updates:
            waiting[name] = path
            continue
        words = max(path.state_reads // updates, 1)
        synapses = tuple(waiting.values())
        found.append(Population(name, path.state_words // words, path, synapses, tuple(waiting)))
        waiting = {}
    return found


def _driven_by(population: Population, name: str, path: PathCounts) -> Population:
    """The population with one path more that drives it."""
    return replace(
        population,
        synapses=(*population.synapses, path),
        inputs=(*population.inputs, name),
    )


def cores_of(populations: Sequence[Population], profile: HardwareProfile) -> dict[str, int]:
    """Cores of each population: whole ones, no core shared.

    Raises
    ------
    ProfileError
        If the profile does not say how many neurons a core holds.
    """
    per_core = profile.value("n_neurons_per_core")
    return {p.name: max(1, math.ceil(p.n_neurons / per_core)) for p in populations}


def chip_share(counts: OpCounts, profile: HardwareProfile) -> float:
    """Cores that the model fills over those of the chip; above 1 it needs several chips.

    Neurons alone are placed: synapses that do not fit a core's memory would need more.

    Raises
    ------
    ValueError
        If the counts hold no neurons.
    ProfileError
        If the profile does not say how many cores and neurons it has.
    """
    populations = populations_of(counts)
    if not populations:
        raise ValueError("counts must hold neurons to be placed, got none")
    return sum(cores_of(populations, profile).values()) / profile.value("n_cores")


def arrival_ns(profile: HardwareProfile, bound: Bound = "value") -> float:
    """Time that a core takes to receive one message, 0 where none is published."""
    for name in ("t_message_in", "t_spike_within_tile"):
        if profile.holds(name):
            return profile.value(name, bound)
    return 0.0


def step_time(
    counts: OpCounts,
    profile: HardwareProfile,
    n_steps: int,
    *,
    bound: Bound = "value",
    sync_us: float | None = None,
) -> StepTime:
    r"""How long a step takes on a chip whose cores wait for each other at a barrier.

    .. math:: t_{sync} + \max(a, b) \le t_{step} \le t_{sync} + a + b

    with the largest time of a core for its neurons, :math:`a` (updates and messages out), and for
    its messages, :math:`b` (messages in and synaptic events). Each population fills cores of its
    own evenly; every message reaches all cores of its population.

    Parameters
    ----------
    counts : OpCounts
        Of a spiking model, per sample of ``n_steps`` steps.
    profile : HardwareProfile
    n_steps : int
    bound : "low", "value" or "high"
        End of the constants' ranges.
    sync_us : float, optional
        Barrier of the tiles in use, where it is known; the profile's by default.

    Returns
    -------
    StepTime
        Of the mean step; steps with more events take longer.

    Raises
    ------
    ValueError
        If there are no neurons or ``n_steps`` is below 1.
    ProfileError
        If the profile has no times.

    Notes
    -----
    The bracket is that of the design notes of SANA-FE's time models (Boyle et al., IEEE TCAD 44(8),
    2025): its detailed schedule lies between both ends.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    populations = populations_of(counts)
    if not populations:
        raise ValueError("counts must hold neurons to be placed, got none")
    cores = cores_of(populations, profile)
    per_step = 1.0 / (counts.n_samples * n_steps)
    t_synop = profile.value("t_synop", bound)
    t_in = arrival_ns(profile, bound)
    soma_ns: dict[str, float] = {}
    message_ns: dict[str, float] = {}
    for p in populations:
        k = cores[p.name]
        own = sum(
            amount(p.neurons) * profile.value(name, bound)
            for name, amount in SOMA_TIMES.items()
            if profile.holds(name)
        )
        soma_ns[p.name] = own * per_step / k
        synops = sum(path.effective_acs for path in p.synapses)
        arriving = sum(path.spikes_routed for path in p.synapses)
        message_ns[p.name] = (synops * t_synop / k + arriving * t_in) * per_step
    a, b = max(soma_ns.values()) * 1e-3, max(message_ns.values()) * 1e-3
    sync = profile.value("t_sync", bound) * 1e-3 if sync_us is None else sync_us
    busiest = max(populations, key=lambda p: soma_ns[p.name] + message_ns[p.name]).name
    return StepTime(sync + max(a, b), sync + a + b, sync, a, b, busiest, sum(cores.values()))
