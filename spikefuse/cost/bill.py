"""The bill of a model: every charge of every path on one profile, or why there is no price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spikefuse.cost.constants import Constant
from spikefuse.cost.pricing import REUSES, Charge, Reuse, charges, unpublished
from spikefuse.cost.profile import HardwareProfile, load_profile
from spikefuse.errors import ProfileError
from spikefuse.opcounts import OpCounts, PathCounts


@dataclass(frozen=True)
class Bill:
    """What a model is charged for per sample, before any constant has a value.

    Parameters
    ----------
    profile : HardwareProfile
    charges : tuple of Charge
        Empty where the model has no price.
    constants : mapping of (profile, constant) to Constant
        Of every charge.
    reason : str or None
        Why there is no price.
    assumptions : tuple of str
    """

    profile: HardwareProfile
    charges: tuple[Charge, ...]
    constants: Mapping[tuple[str, str], Constant]
    reason: str | None = None
    assumptions: tuple[str, ...] = ()


def bill_of(
    counts: OpCounts,
    profile: HardwareProfile | str,
    *,
    reuse: Reuse = "ideal",
    frontend_profile: HardwareProfile | str | None = None,
) -> Bill:
    """What a model is charged for, per sample.

    Parameters, errors
        As of `energy`.
    """
    chip = load_profile(profile) if isinstance(profile, str) else profile
    helper = (
        load_profile(frontend_profile) if isinstance(frontend_profile, str) else frontend_profile
    )
    if chip.prices == "sensor":
        raise ProfileError(f"profile must price a processor, got the sensor {chip.name!r}")
    if helper is not None and helper.prices not in ("both", "dense"):
        raise ProfileError(
            f"frontend_profile must price multiply-accumulates, got {helper.name!r} "
            f"({helper.prices})"
        )
    if reuse not in REUSES:
        raise ValueError(f"reuse must be one of {list(REUSES)}, got {reuse!r}")
    assumptions = [f"{chip.name}: {chip.title} ({chip.basis}), modelled.", *unpublished(chip)]
    if any(p.kind == "dense" for p in counts.by_path.values()):
        assumptions.append(f"Dense weight reuse: {reuse}.")
    bill: list[Charge] = []
    for name, path in counts.by_path.items():
        priced_by: HardwareProfile | None = chip
        if chip.prices == "event" and path.kind == "frontend":
            priced_by = helper
            if helper is not None:
                assumptions.append(f"Front end {name} priced by {helper.name}.")
        reason = _refusal(name, path, chip, priced_by)
        if reason or priced_by is None:
            return Bill(chip, (), {}, reason, tuple(assumptions))
        bill += charges(name, path, priced_by, counts.n_samples, reuse)
    used = {p.name: p for p in (chip, helper) if p is not None}
    constants = {
        (charge.profile, charge.constant): used[charge.profile].constants[charge.constant]
        for charge in bill
        if used[charge.profile].value(charge.constant)
    }
    return Bill(chip, tuple(bill), constants, None, tuple(dict.fromkeys(assumptions)))


def _refusal(
    name: str, path: PathCounts, chip: HardwareProfile, priced_by: HardwareProfile | None
) -> str | None:
    """Why this path has no price, if it has none."""
    if priced_by is None:
        return (
            f"{chip.name} cannot price the digital front end {name!r}; name a "
            "frontend_profile or a silicon front end"
        )
    if priced_by.prices == "event" and path.kind == "dense":
        return f"{chip.name} prices event-driven layers only; {name!r} is dense"
    if priced_by.prices == "dense" and path.kind == "event":
        return f"{priced_by.name} prices dense layers only; {name!r} is event-driven"
    if priced_by.prices == "event" and path.effective_macs:
        return f"{chip.name} has no price for the multiply-accumulates of {name!r}"
    return None
