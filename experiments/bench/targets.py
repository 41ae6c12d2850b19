"""What each piece of work should reach: read from `targets.toml`, judged by ratios."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Target:
    """What to reach.

    Parameters
    ----------
    work : str
        In words.
    against : tuple of str
        Contenders; the fastest of them in each round counts. Empty: a figure named ``metric``.
    at_least : float, optional
        Must be reached.
    aim : float, optional
    at_most : float, optional
        Must not be exceeded, where less is better.
    metric : str
        ``ratio``, or the name of a figure that the row concludes.
    floor_at_most : float, optional
        Aim for the time over that of the floor.
    """

    work: str
    against: tuple[str, ...] = ()
    at_least: float | None = None
    aim: float | None = None
    metric: str = "ratio"
    floor_at_most: float | None = None
    at_most: float | None = None

    def judge(self, value: float | None, over_floor: float | None) -> dict[str, Any]:
        """Whether a value meets the target; None where nothing was measured or asked."""
        return {
            "value": value,
            "at_least": self.at_least,
            "aim": self.aim,
            "at_most": self.at_most,
            "against": list(self.against),
            "metric": self.metric,
            "met": self._met(value),
            "aim_met": _reached(value, self.aim),
            "floor_at_most": self.floor_at_most,
            "floor_met": None
            if over_floor is None or self.floor_at_most is None
            else over_floor <= self.floor_at_most,
        }

    def _met(self, value: float | None) -> bool | None:
        """Whether a value keeps the promise; None if there is none."""
        if self.at_most is not None:
            return None if value is None else value <= self.at_most
        return _reached(value, self.at_least)


@cache
def load_targets() -> Mapping[str, Target]:
    """All targets by name.

    Raises
    ------
    ValueError
        If the file names a field that does not exist.
    """
    text = (resources.files("experiments.bench") / "targets.toml").read_text(encoding="utf-8")
    return {name: _target(name, fields) for name, fields in tomllib.loads(text).items()}


def _target(name: str, fields: dict[str, Any]) -> Target:
    """One table of the file."""
    known = set(Target.__dataclass_fields__)
    if not set(fields) <= known:
        raise ValueError(f"{name} must hold only {sorted(known)}, got {sorted(fields)}")
    return Target(**{**fields, "against": tuple(fields.get("against", ()))})


def _reached(value: float | None, wanted: float | None) -> bool | None:
    """Whether a value is large enough."""
    return None if value is None or wanted is None else value >= wanted
