"""Which constants of a profile a path's operations use, and how often: the bill before the sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from spikefuse.cost.constants import Constant
from spikefuse.cost.profile import HardwareProfile
from spikefuse.opcounts import PathCounts

Reuse = Literal["ideal", "none", "measured"]
REUSES: tuple[Reuse, ...] = ("ideal", "none", "measured")

ACTIONS = (
    "accumulate",
    "multiply_accumulate",
    "neuron_update",
    "weight_memory",
    "state_memory",
    "spike_routing",
)

_MEMORIES_BYTES = ((8 * 1024, "e_sram_8kib"), (32 * 1024, "e_sram_32kib"), (2**20, "e_sram_1mib"))
_MEMORIES = (*(name for _, name in _MEMORIES_BYTES), "e_dram")


@dataclass(frozen=True)
class Charge:
    """A constant of a profile, used so often per sample by one action of one path.

    Parameters
    ----------
    path, modality, action : str
        The action is one of `ACTIONS`.
    profile : str
        Name of the profile that the constant belongs to.
    constant : str
    amount : float
        How often per sample. Energy is linear in the constants: amount times value, summed.
    """

    path: str
    modality: str
    action: str
    profile: str
    constant: str
    amount: float


Amounts = Iterable[tuple[str, str, float]]  # action, constant, how often over all samples

# What an event-driven chip may publish, and how often a path pays for it.
_EVENT_CONSTANTS: Mapping[str, tuple[str, Callable[[PathCounts], float]]] = {
    # No chip publishes the AND of two spikes: an event's price is an upper bound.
    "e_synop": ("accumulate", lambda p: p.effective_acs + p.and_ops),
    "e_neuron_active": ("neuron_update", lambda p: p.neuron_updates_active),
    "e_neuron_idle": ("neuron_update", lambda p: p.neuron_updates_idle),
    "e_neuron_access": (
        "neuron_update",
        lambda p: p.neuron_updates_active + p.neuron_updates_idle,
    ),
    "e_neuron_update": ("neuron_update", lambda p: p.neuron_updates_active),
    "e_neuron_spike": ("neuron_update", lambda p: p.spikes_fired),
    "e_spike_within_tile": ("spike_routing", lambda p: p.spikes_routed),
    # Without a placement every message is taken to leave its core, and to pass no link.
    "e_message": ("spike_routing", lambda p: p.core_messages or p.spikes_routed),
    "e_hop_ew": ("spike_routing", lambda p: p.hops_ew),
    "e_hop_ns": ("spike_routing", lambda p: p.hops_ns),
}


def charges(
    name: str, path: PathCounts, profile: HardwareProfile, n_samples: int, reuse: Reuse
) -> list[Charge]:
    r"""Everything that one path is charged for, per sample.

    On logic (``prices`` "both" or "dense")

    .. math:: E = n_{AC} e_{add} + n_{MAC} (e_{add} + e_{mul})
              + n_{upd} (e_{nmul} + 2 e_{nadd}) + \sum_{words} e_{mem}

    or, where a profile prices an operation as a whole, :math:`n_{MAC} e_{mac}` or
    :math:`2 n_{MAC} e_{op}`; on an event-driven
    chip the sum of what it publishes: synaptic events, neuron updates, spikes and messages.

    Parameters
    ----------
    name : str
        Of the path.
    path : PathCounts
        Totals over all samples.
    profile : HardwareProfile
    n_samples : int
    reuse : "ideal", "none" or "measured"
        Of a dense layer's weights, see `spikefuse.cost.energy.energy`.

    Raises
    ------
    ProfileError
        If the profile lacks a constant that the path needs.
    """
    if profile.prices == "event":
        amounts = _event_amounts(path, profile)
    elif profile.holds("e_op") or profile.holds("e_mac"):
        amounts = _whole_amounts(path, profile)
    else:
        amounts = _logic_amounts(path, profile, n_samples, reuse)
    return [
        Charge(name, path.modality, action, profile.name, constant, amount / n_samples)
        for action, constant, amount in amounts
        if amount
    ]


def memory_constant(profile: HardwareProfile, n_words: int, word_bits: int) -> str | None:
    """The memory that holds so many words: the smallest published one that is large enough.

    Returns
    -------
    str or None
        Name of the constant; None where the profile publishes no memory at all.
    """
    if not any(profile.holds(name) for name in _MEMORIES):
        return None
    n_bytes = n_words * word_bits / 8
    return next((name for size, name in _MEMORIES_BYTES if n_bytes <= size), "e_dram")


def unpublished(profile: HardwareProfile) -> list[str]:
    """What a profile has no price for and is therefore counted as nothing, as sentences."""
    notes: list[str] = []
    if profile.prices == "event" and not any(n.startswith("e_neuron") for n in profile.constants):
        notes.append(f"{profile.name} publishes no energy of a neuron update: it counts as none.")
    if profile.prices in ("both", "dense") and memory_constant(profile, 1, 8) is None:
        whole = profile.holds("e_op") or profile.holds("e_mac")
        inside = "inside its operations" if whole else "not charged"
        notes.append(f"{profile.name} publishes no memory energy: memory is {inside}.")
    return notes


def _event_amounts(path: PathCounts, profile: HardwareProfile) -> Amounts:
    """Amounts on an event-driven chip."""
    profile.value("e_synop")  # a chip without it prices nothing: say so
    for constant, (action, amount) in _EVENT_CONSTANTS.items():
        if profile.holds(constant):
            yield action, constant, amount(path)


def _whole_amounts(path: PathCounts, profile: HardwareProfile) -> Amounts:
    """Amounts where a profile prices an operation with all that belongs to it."""
    if profile.holds("e_mac"):
        yield "multiply_accumulate", "e_mac", path.effective_macs
    else:
        yield "multiply_accumulate", "e_op", 2 * path.effective_macs


def _logic_amounts(
    path: PathCounts, profile: HardwareProfile, n_samples: int, reuse: Reuse
) -> Amounts:
    """Amounts on plain logic with memories of published sizes."""
    for name in ("e_add", "e_mul", "e_neuron_mul", "e_neuron_add"):
        profile.value(name)
    updates = path.neuron_updates_active + path.neuron_updates_idle
    # The AND of two spikes is a bit, less than the addition that it is priced as.
    yield "accumulate", "e_add", path.effective_acs + path.and_ops
    yield "multiply_accumulate", "e_add", path.effective_macs
    yield "multiply_accumulate", "e_mul", path.effective_macs
    # One multiply (decay), one add (input), one compare (priced as an add).
    yield "neuron_update", "e_neuron_mul", updates
    yield "neuron_update", "e_neuron_add", 2 * updates
    # Activations of a dense layer are as wide as its weights; membranes are wider.
    state_bits = profile.word_bits if path.kind == "dense" else profile.state_bits
    weight_reads = path.weight_reads
    if path.kind == "dense" and reuse != "none":
        weight_reads = min(weight_reads, path.weight_words * n_samples)
    yield from _words("weight_memory", profile, weight_reads, path.weight_words, profile.word_bits)
    states = path.state_reads + path.state_writes
    yield from _words("state_memory", profile, states, path.state_words, state_bits)
    if path.kind == "dense" and reuse == "measured":
        words = path.effective_macs * profile.value("r_dram_per_mac")
        yield "weight_memory", "e_dram", words * profile.word_bits / 64
    if profile.holds("e_move_sparse") and path.kind == "event":
        yield "spike_routing", "e_move_sparse", path.spikes_routed
    elif profile.holds("e_move_dense"):
        yield "spike_routing", "e_move_dense", path.state_reads * state_bits


def _words(
    action: str, profile: HardwareProfile, n_accesses: float, n_words: int, word_bits: int
) -> Amounts:
    """Accesses to words of one memory, in accesses of 64 bits."""
    constant = memory_constant(profile, n_words, word_bits)
    if constant is not None:
        yield action, constant, n_accesses * word_bits / 64


def total(
    bill: Iterable[Charge], constants: Mapping[tuple[str, str], Constant], bound: str = "value"
) -> float:
    """Energy in picojoule of a bill with every constant at a value of its range."""
    return sum(
        charge.amount * float(getattr(constants[charge.profile, charge.constant], bound))
        for charge in bill
    )
