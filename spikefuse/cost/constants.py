"""Constants of a profile: a number with its unit, its range and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from spikefuse.errors import ProfileError

Bound = Literal["low", "value", "high"]

_REQUIRED = ("value", "unit", "source", "locator", "seen", "kind")
# A name says what its constant is, so that a power is never charged as an energy.
_UNITS_BY_PREFIX = {
    "e_sram": {"pJ/access64"},
    "e_dram": {"pJ/access64"},
    "e_move": {"pJ/bit"},
    "e_": {"pJ", "pJ/op"},
    "p_clock": {"uW/MHz"},
    "p_": {"uW", "mW", "W"},
    "i_": {"uA"},
    "v_": {"V"},
    "t_": {"ns", "us", "ms"},
    "f_": {"MHz"},
    "n_": {"count"},
    "r_": {"access/MAC"},
}
_SEEN = {"primary", "secondary", "code", "derived", "recall"}
_KINDS = {"marginal", "average", "bound"}


@dataclass(frozen=True)
class Constant:
    """One number of a profile with its provenance.

    Parameters
    ----------
    value, low, high : float
        Nominal value and range; without a published range all three are equal.
    unit : str
    source : str
        Publication or data sheet.
    locator : str
        Where the value stands in what was seen.
    seen : "primary", "secondary", "code", "derived" or "recall"
        How first-hand the reading was; derived is arithmetic on values of the same source.
    kind : "marginal", "average" or "bound"
    note : str
    """

    value: float
    low: float
    high: float
    unit: str
    source: str
    locator: str
    seen: str
    kind: str
    note: str = ""

    @property
    def has_range(self) -> bool:
        """Whether a range was published."""
        return self.low < self.high


def parse_constant(key: str, entry: Mapping[str, Any], file: str, allow_recall: bool) -> Constant:
    """One entry of a profile, complete or refused.

    Raises
    ------
    ProfileError
        As of `spikefuse.cost.profile.load_profile`.
    """
    where = f"{file}: constants.{key}"
    missing = [field for field in _REQUIRED if entry.get(field, "") == ""]
    if missing:
        raise ProfileError(f"{where} must say {missing[0]!r}, got only {sorted(entry)}")
    for field in _REQUIRED[1:]:
        if not isinstance(entry[field], str):
            raise ProfileError(f"{where}.{field} must be a text, got {entry[field]!r}")
    range_seen = entry.get("range_seen", entry["seen"])
    for field, got, allowed in (
        ("unit", entry["unit"], _units_of(key)),
        ("seen", entry["seen"], _SEEN),
        ("kind", entry["kind"], _KINDS),
        ("range_seen", range_seen, _SEEN),
    ):
        if got not in allowed:
            raise ProfileError(f"{where}.{field} must be one of {sorted(allowed)}, got {got!r}")
    if entry["seen"] == "recall" and not allow_recall:
        raise ProfileError(f"{where} must have been seen, got a recalled value (allow_recall=True)")
    value = entry["value"]
    low, high = entry.get("low", value), entry.get("high", value)
    numbers = (low, value, high)
    if not all(_is_positive(number) for number in numbers):
        raise ProfileError(f"{where} must be positive numbers, got {numbers}")
    if not low <= value <= high:
        raise ProfileError(f"{where} must satisfy low <= value <= high, got {numbers}")
    if range_seen == "recall" and not allow_recall:
        low = high = value
    return Constant(
        float(value),
        float(low),
        float(high),
        entry["unit"],
        entry["source"],
        entry["locator"],
        entry["seen"],
        entry["kind"],
        str(entry.get("note", "")),
    )


def _units_of(key: str) -> set[str]:
    """Units that fit a constant's name; any of them where the name says nothing."""
    named = (units for prefix, units in _UNITS_BY_PREFIX.items() if key.startswith(prefix))
    return next(named, set().union(*_UNITS_BY_PREFIX.values()))


def _is_positive(number: Any) -> bool:
    """A finite number above zero; true and false are not numbers here."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    return 0 < number < math.inf
