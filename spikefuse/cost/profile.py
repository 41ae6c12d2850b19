"""Hardware profiles: cited constants as data, refused unless each says where it comes from."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from spikefuse.cost.constants import Bound, Constant, parse_constant
from spikefuse.errors import ProfileError

Prices = Literal["event", "dense", "both", "sensor"]
Use = Literal["default", "cross-check"]

_PRICES = ("event", "dense", "both", "sensor")
_POWER_UNITS = ("uW", "mW", "W")


@dataclass(frozen=True)
class HardwareProfile:
    """A chip, a process or a sensor: what its actions cost.

    Parameters
    ----------
    name, title : str
    prices : "event", "dense", "both" or "sensor"
        Event hardware prices event-driven layers only, dense hardware dense layers only.
    process_nm : float or None
    basis : str
        spice, silicon, synthesis, datasheet or arithmetic.
    word_bits : int
        Width of a weight.
    state_bits : int
        Width of a neuron's state or an activation.
    notes : str
    constants : mapping of name to Constant
    use : "default" or "cross-check"
        A cross-check holds operating-point averages or figures in conflict with others: it may
        confirm an order of magnitude, and no verdict rests on it.
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
    use: Use = "default"

    def holds(self, name: str) -> bool:
        """Whether the profile has this constant."""
        return name in self.constants

    def value(self, name: str, bound: Bound = "value") -> float:
        """Nominal value of a constant, or an end of its range.

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
        return float(getattr(self.constants[name], bound))

    def power_mw(self, name: str) -> float:
        """Nominal power in mW of a constant given in uW, mW or W.

        Raises
        ------
        ProfileError
            If the profile lacks it, or it is not a power.
        """
        value, unit = self.value(name), self.constants[name].unit
        if unit not in _POWER_UNITS:
            raise ProfileError(
                f"{self.name}.{name} must be a power in uW, mW or W, got the unit {unit!r}"
            )
        return value * 1e3 if unit == "W" else value / 1e3 if unit == "uW" else value

    def static_mw(self) -> float | None:
        """Static power of the whole chip in mW, its running clock included; None if unpublished."""
        if not self.holds("p_static"):
            return None
        clock_mw = 0.0
        if self.holds("p_clock"):
            clock_mw = self.value("p_clock") * self.value("f_clock") / 1e3
        return self.power_mw("p_static") + clock_mw


@dataclass(frozen=True)
class Sensor:
    """A sensor and the power that it draws while it is on.

    Parameters
    ----------
    name, title : str
    power_mw : float
        Published power, or supply current times supply voltage where only those are published.
    source : str
        Where the power comes from, with the place in what was seen.
    profile : HardwareProfile
        The whole entry.
    """

    name: str
    title: str
    power_mw: float
    source: str
    profile: HardwareProfile


def load_sensor(name_or_path: str | Path, allow_recall: bool = False) -> Sensor:
    """Load a shipped sensor by name, or a user's TOML file by path.

    Raises
    ------
    ProfileError
        As `load_profile`, or if the entry is not a sensor, or has neither ``p_chip`` nor
        ``i_supply`` and ``v_supply``.
    """
    if not _is_file(name_or_path):
        _check_name("sensor", str(name_or_path), [sensor.name for sensor in list_sensors()])
    profile = load_profile(name_or_path, allow_recall)
    if profile.prices != "sensor":
        raise ProfileError(f"sensor must name a sensor, got {profile.name!r} ({profile.prices})")
    return _as_sensor(profile)


def list_sensors() -> list[Sensor]:
    """The shipped sensors, each with its power and source."""
    profiles = [load_profile(name) for name in list_profiles()]
    return [_as_sensor(profile) for profile in profiles if profile.prices == "sensor"]


def _as_sensor(profile: HardwareProfile) -> Sensor:
    """Power of a sensor's entry."""
    if "p_chip" in profile.constants:
        used = ["p_chip"]
        power_mw = profile.power_mw("p_chip")
    else:
        used = ["i_supply", "v_supply"]
        power_mw = profile.value("i_supply") * profile.value("v_supply") / 1e3  # uA x V = uW
    rows = [profile.constants[key] for key in used]
    source = "; ".join(f"{row.source} ({row.locator})" for row in rows)
    return Sensor(profile.name, profile.title, power_mw, source, profile)


def load_profile(name_or_path: str | Path, allow_recall: bool = False) -> HardwareProfile:
    """Load a shipped profile by name, or a user's TOML file by path.

    Parameters
    ----------
    name_or_path : str or Path
        Anything that ends in ``.toml`` is a path.
    allow_recall : bool
        Also accept values and ranges that nobody looked up (``seen`` or ``range_seen`` is
        "recall"). Otherwise such a value is refused, and such a range shrinks to the value.

    Raises
    ------
    ProfileError
        If it is unknown (the nearest name is given), or an entry lacks a unit, source, locator,
        seen or kind, has an unknown one, a unit that does not fit its name or a value that is not a
        positive number, or was only recalled and ``allow_recall`` is not set. The file and the key
        are named.
    """
    if _is_file(name_or_path):
        path = Path(name_or_path)
        if not path.is_file():
            raise ProfileError(f"profile must be an existing TOML file, got {name_or_path}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(f"{path} must be a readable UTF-8 file: {error}") from error
        return _parse(text, str(path), allow_recall)
    name = str(name_or_path)
    _check_name("profile", name, list_profiles())
    return _shipped(name, allow_recall)


@cache
def _shipped(name: str, allow_recall: bool) -> HardwareProfile:
    """A shipped profile, parsed once: a run asks for the same few thousands of times."""
    file = resources.files("spikefuse.cost") / "hardware" / f"{name}.toml"
    return _parse(file.read_text(encoding="utf-8"), f"{name}.toml", allow_recall)


def _is_file(name_or_path: str | Path) -> bool:
    """Whether a path is meant, not a shipped name."""
    return Path(name_or_path).suffix == ".toml"


def _check_name(what: str, name: str, known: list[str]) -> None:
    """Refuse an unknown name with all names and the nearest one."""
    if name not in known:
        nearest = difflib.get_close_matches(name, known, 1, 0.0)[0]
        raise ProfileError(
            f"{what} must be a .toml file or one of {known}, got {name!r}; nearest: {nearest!r}"
        )


def list_profiles() -> list[str]:
    """Names of the shipped profiles, sensors included."""
    return list(_names())


@cache
def _names() -> tuple[str, ...]:
    """Names of the files, which do not change while a program runs."""
    folder = resources.files("spikefuse.cost") / "hardware"
    names = (item.name for item in folder.iterdir())
    return tuple(sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml")))


def _parse(text: str, where: str, allow_recall: bool) -> HardwareProfile:
    """A profile from TOML text."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{where} must be TOML: {error}") from error
    head = _table(table, "profile", where)
    for key in ("name", "title", "prices", "basis"):
        if not (isinstance(head.get(key), str) and head[key]):
            raise ProfileError(f"{where}: [profile] must say {key!r}, got {sorted(head)}")
    if head["prices"] not in _PRICES:
        raise ProfileError(
            f"{where}: profile.prices must be event, dense, both or sensor, got {head['prices']!r}"
        )
    for key, number in (("word_bits", int), ("state_bits", int), ("process_nm", int | float)):
        got = head.get(key, 1)
        if isinstance(got, bool) or not isinstance(got, number) or not 0 < got < math.inf:
            raise ProfileError(f"{where}: profile.{key} must be a positive number, got {got!r}")
    use = head.get("use", "default")
    if use not in ("default", "cross-check"):
        raise ProfileError(f"{where}: profile.use must be default or cross-check, got {use!r}")
    entries = _table(table, "constants", where)
    constants = {
        key: parse_constant(key, _table(entries, key, f"{where}: constants"), where, allow_recall)
        for key in entries
    }
    if not constants:
        raise ProfileError(f"{where}: [constants] must hold at least one entry, got none")
    return HardwareProfile(
        head["name"],
        head["title"],
        head["prices"],
        head.get("process_nm"),
        head["basis"],
        head.get("word_bits", 32),
        head.get("state_bits", 32),
        str(head.get("notes", "")),
        constants,
        use,
    )


def _table(parent: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """The table ``key`` of ``parent``, empty if it is absent."""
    entry = parent.get(key, {})
    if not isinstance(entry, dict):
        raise ProfileError(f"{where}: {key} must be a table, got {entry!r}")
    return entry
