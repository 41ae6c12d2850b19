"""Break-even: at how many spikes per neuron the spiking model stops needing less energy."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from spikefuse.cost.bill import Bill
from spikefuse.cost.pricing import total
from spikefuse.opcounts import OpCounts

Verdict = Literal["always", "never", "below"]

# What a spike drives; the rest is paid per neuron and step whether anything fires or not.
SPIKE_ACTIONS = ("accumulate", "weight_memory", "spike_routing")


@dataclass(frozen=True)
class BreakEven:
    """The SNN's energy as a line over its activity, and where it meets the dense model's.

    Parameters
    ----------
    verdict : "always", "never" or "below"
        Whether the SNN needs less at any activity that it can have, at none, or below ``spikes``.
    spikes : float or None
        Spikes per neuron and inference at which both need the same; None where there is no such
        activity in [0, ``most_spikes``].
    measured : float
        Spikes per neuron and inference that were counted.
    most_spikes : float
        A spike at every step.
    fixed_pj, per_spike_pj : float
        Energy of the SNN is ``fixed_pj + per_spike_pj * spikes``, per inference.
    dense_pj : float
    """

    verdict: Verdict
    spikes: float | None
    measured: float
    most_spikes: float
    fixed_pj: float
    per_spike_pj: float
    dense_pj: float

    def snn_pj(self, spikes: float) -> float:
        """Energy of the SNN at an activity, on the line."""
        return self.fixed_pj + self.per_spike_pj * spikes


def break_even(
    counts: OpCounts,
    snn: Bill,
    dense_pj: float,
    *,
    input_paths: Collection[str] = (),
    extra_snn_pj: float = 0.0,
) -> BreakEven:
    r"""Closed form of the activity at which both models need the same energy.

    .. math:: E(s) = a + b s, \qquad s^* = \frac{E_{dense} - a}{b}

    with s in spikes per neuron and inference. Everything that spikes of the network's own neurons
    drive (accumulates, weights read, messages) scales with s; neuron updates, front ends and the
    paths that input events drive do not.

    Parameters
    ----------
    counts : OpCounts
        Of the spiking model.
    snn : Bill
        Its bill, with a price.
    dense_pj : float
        What the dense model needs per inference, in the same terms (with static power and sensors
        if ``extra_snn_pj`` holds them).
    input_paths : collection of str
        Paths whose events come from the sensors; thinning the network's spikes leaves them alone.
    extra_snn_pj : float
        Static power and sensors of the spiking model.

    Raises
    ------
    ValueError
        If the bill has no price, no neuron was counted or none fired, or an input path is unknown.
    """
    if snn.reason is not None:
        raise ValueError(f"snn must have a price, got none: {snn.reason}")
    unknown = sorted(set(input_paths) - set(counts.by_path))
    if unknown:
        raise ValueError(f"input_paths must be paths of counts, got {unknown}")
    fired = sum(path.spikes_fired for path in counts.by_path.values())
    # Per step and neuron there is one update, and a layer has a word of state per neuron: two in
    # neurons with two states, whose updates are still one.
    layers = [path for path in counts.by_path.values() if path.spikes_fired]
    updates = sum(path.neuron_updates_active + path.neuron_updates_idle for path in layers)
    if not fired or not updates:
        raise ValueError("counts must hold neurons that fired, got none")
    n_steps = _steps(counts)
    n_neurons = updates / n_steps / counts.n_samples
    measured = fired / counts.n_samples / n_neurons
    driven = [
        charge
        for charge in snn.charges
        if charge.action in SPIKE_ACTIONS
        and charge.path not in input_paths
        and counts.by_path[charge.path].kind == "event"
    ]
    driven_pj = total(driven, snn.constants)
    fixed = total(snn.charges, snn.constants) - driven_pj + extra_snn_pj
    slope = driven_pj / measured
    found = (dense_pj - fixed) / slope if slope > 0 else None
    verdict: Verdict
    if dense_pj <= fixed:
        verdict, found = "never", None
    elif found is None or found > n_steps:
        verdict, found = "always", None
    else:
        verdict = "below"
    return BreakEven(verdict, found, measured, n_steps, fixed, slope, dense_pj)


def _steps(counts: OpCounts) -> float:
    """Steps of one sample: the updates of a layer over its neurons."""
    longest = 0.0
    for path in counts.by_path.values():
        updates = path.neuron_updates_active + path.neuron_updates_idle
        if path.spikes_fired and path.state_words:
            words = path.state_reads / updates  # one, or two in neurons of two states
            longest = max(longest, updates * words / path.state_words / counts.n_samples)
    return longest
