"""Modelled energy of every step of every sample: the same prices, step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from spikefuse.cost.bill import bill_of
from spikefuse.cost.pricing import Reuse, total
from spikefuse.cost.profile import HardwareProfile, load_profile
from spikefuse.cost.step_counts import StepCounts
from spikefuse.opcounts import OpCounts


def step_energy_pj(
    steps: StepCounts, profile: HardwareProfile | str, *, reuse: Reuse = "ideal"
) -> tuple[torch.Tensor | None, str | None]:
    r"""Dynamic energy of each step and sample, or why there is no price.

    .. math:: E_{t,b} = \sum_{paths} \sum_{fields} n_{t,b} \, e_{field, path}

    The energy of an event path is linear in its counts, so a unit of each count has a price on its
    path (its memory is part of it) and the steps add up to `energy` of the whole but for rounding.

    Parameters
    ----------
    steps : StepCounts
        Of event paths.
    profile : HardwareProfile or name or path
    reuse : "ideal", "none" or "measured"
        As of `energy`; event paths read a weight for every event whatever it is.

    Returns
    -------
    energy_pj : float64 Tensor[T, B] or None, reason : str or None

    Raises
    ------
    ValueError
        If a path is not event-driven: a dense layer's weights are read once a sample.
    """
    chip = load_profile(profile) if isinstance(profile, str) else profile
    for name, path in steps.memories.items():
        if path.kind != "event":
            raise ValueError(f"paths must be event-driven to be priced by step, got {name!r}")
    reason = bill_of(steps.until(steps.shape[0]), chip, reuse=reuse).reason
    if reason is not None:
        return None, reason
    energy = torch.zeros(steps.shape, dtype=torch.float64)
    for name, table in steps.by_path.items():
        for field, values in table.items():
            unit: dict[str, Any] = {field: 1}
            counted = OpCounts({name: replace(steps.memories[name], **unit)}, 1)
            bill = bill_of(counted, chip, reuse=reuse)
            energy += values.double() * total(bill.charges, bill.constants)
    return energy, None
