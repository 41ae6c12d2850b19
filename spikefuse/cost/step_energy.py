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

    Energy is linear in the counts, so a unit of each count has a price on its path (its memory is
    part of it) and the steps add up to `energy` of the whole but for rounding. Weights of a dense
    path that are read once a sample are paid at the steps that read them first.

    Parameters
    ----------
    steps : StepCounts
    profile : HardwareProfile or name or path
    reuse : "ideal", "none" or "measured"
        As of `energy`; event paths read a weight for every event whatever it is.

    Returns
    -------
    energy_pj : float64 Tensor[T, B] or None, reason : str or None
    """
    chip = load_profile(profile) if isinstance(profile, str) else profile
    reason = bill_of(steps.until(steps.shape[0]), chip, reuse=reuse).reason
    if reason is not None:
        return None, reason
    energy = torch.zeros(steps.shape, dtype=torch.float64)
    for name, table in steps.by_path.items():
        for field, values in table.items():
            unit: dict[str, Any] = {field: 1}
            counted = OpCounts({name: replace(steps.memories[name], **unit)}, 1)
            bill = bill_of(counted, chip, reuse=reuse)
            amount = values
            if steps.memories[name].kind == "dense" and field == "weight_reads" and reuse != "none":
                amount = _first_reads(values, steps.memories[name].weight_words)
            energy += amount.double() * total(bill.charges, bill.constants)
    return energy, None


def _first_reads(reads: torch.Tensor, n_words: int) -> torch.Tensor:
    """Of the reads of every step ``[T, B]`` those until all words have been read once."""
    so_far = reads.cumsum(0).clamp(max=n_words)
    return so_far.diff(dim=0, prepend=torch.zeros_like(so_far[:1]))
