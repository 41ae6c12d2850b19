"""Hardware profiles: cited constants as data, refused unless each says where it comes from."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from spikefuse.errors import ProfileError

Prices = Literal["event", "both", "sensor"]

_REQUIRED = ("value", "unit", "source", "locator", "seen", "kind")
_UNITS = {"pJ", "pJ/op", "pJ/access64", "mW", "ns", "us"}
_SEEN = {"primary", "secondary", "code", "recall"}
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
    seen : "primary", "secondary", "code" or "recall"
        How first-hand the reading was.
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


@dataclass(frozen=True)
class HardwareProfile:
    """A chip, a process or a sensor: what its actions cost.

    Parameters
    ----------
    name, title : str
    prices : "event", "both" or "sensor"
        Event hardware prices spiking models only.
    process_nm : float or None
    basis : str
        spice, silicon, synthesis, datasheet or arithmetic.
    word_bits : int
        Width of a weight.
    state_bits : int
        Width of a neuron's state or an activation.
    notes : str
    constants : mapping of name to Constant
    """

    name: str
    title: str
    prices: Prices
    process_nm: float | None
    basis: str
    word_bits: int
    state_bits: int
    notes: str
    constants: Mapping[str, Constant]

    def value(self, name: str) -> float:
        """Nominal value of a constant.

        Raises
        ------
        ProfileError
            If the profile lacks it.
        """
        if name not in self.constants:
            raise ProfileError(
                f"profile {self.name!r} must hold the constant {name!r}, got "
                f"{sorted(self.constants)}"
            )
        return self.constants[name].value


def load_profile(name_or_path: str | Path, allow_recall: bool = False) -> HardwareProfile:
    """Load a shipped profile by name, or a user's TOML file by path.

    Raises
    ------
    ProfileError
        If it is unknown (the nearest name is given), or an entry lacks a unit, source, locator,
        seen or kind, has an unknown one or a value that is not a positive number, or was only
        recalled and ``allow_recall`` is not set. The file and the key are named.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ProfileError(f"profile must be an existing TOML file, got {name_or_path}")
        return _parse(path.read_text(), str(path), allow_recall)
    name = str(name_or_path)
    if name not in list_profiles():
        nearest = difflib.get_close_matches(name, list_profiles(), 1, 0.0)
        raise ProfileError(
            f"profile must be a .toml file or one of {list_profiles()}, got {name!r}; nearest: "
            f"{nearest[0]!r}"
        )
    text = (resources.files("spikefuse.cost") / "hardware" / f"{name}.toml").read_text()
    return _parse(text, name, allow_recall)


def list_profiles() -> list[str]:
    """Names of the shipped profiles, sensors included."""
    folder = resources.files("spikefuse.cost") / "hardware"
    return sorted(
        item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")
    )


def _parse(text: str, where: str, allow_recall: bool) -> HardwareProfile:
    """A profile from TOML text."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{where} must be TOML: {error}") from error
    head = table.get("profile", {})
    for key in ("name", "title", "prices", "basis"):
        if not head.get(key):
            raise ProfileError(f"{where}: [profile] must say {key!r}, got {sorted(head)}")
    if head["prices"] not in ("event", "both", "sensor"):
        raise ProfileError(
            f"{where}: profile.prices must be event, both or sensor, got {head['prices']!r}"
        )
    constants = {
        key: _constant(entry, f"{where}: constants.{key}", allow_recall)
        for key, entry in table.get("constants", {}).items()
    }
    if not constants:
        raise ProfileError(f"{where}: [constants] must hold at least one entry, got none")
    return HardwareProfile(
        head["name"],
        head["title"],
        head["prices"],
        head.get("process_nm"),
        head["basis"],
        int(head.get("word_bits", 32)),
        int(head.get("state_bits", 32)),
        head.get("notes", ""),
        constants,
    )


def _constant(entry: Mapping[str, Any], where: str, allow_recall: bool) -> Constant:
    """One entry, complete or refused."""
    missing = [key for key in _REQUIRED if not entry.get(key)]
    if missing:
        raise ProfileError(f"{where} must say {missing[0]!r}, got only {sorted(entry)}")
    for key, allowed in (("unit", _UNITS), ("seen", _SEEN), ("kind", _KINDS)):
        if entry[key] not in allowed:
            raise ProfileError(
                f"{where}.{key} must be one of {sorted(allowed)}, got {entry[key]!r}"
            )
    if entry["seen"] == "recall" and not allow_recall:
        raise ProfileError(f"{where} must have been seen, got a recalled value (allow_recall=True)")
    value = entry["value"]
    low, high = entry.get("low", value), entry.get("high", value)
    numbers = (low, value, high)
    if not all(isinstance(n, int | float) and math.isfinite(n) and n > 0 for n in numbers):
        raise ProfileError(f"{where} must be positive numbers, got {numbers}")
    if not low <= value <= high:
        raise ProfileError(f"{where} must satisfy low <= value <= high, got {numbers}")
    return Constant(
        float(value),
        float(low),
        float(high),
        entry["unit"],
        entry["source"],
        entry["locator"],
        entry["seen"],
        entry["kind"],
        entry.get("note", ""),
    )
