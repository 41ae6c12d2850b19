"""What a search may vary, and what it looks for: a TOML file, read and checked."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from spikefuse.errors import ConfigError

Objective = Literal["accuracy", "energy", "latency"]
DIRECTIONS: dict[str, str] = {"accuracy": "maximize", "energy": "minimize", "latency": "minimize"}


@dataclass(frozen=True)
class Range:
    """Whole numbers where both ends and the step are whole, else real ones; ends included."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether its values are integers."""
        ends = (self.low, self.high, self.step or 1)
        return all(isinstance(x, int) for x in ends)


@dataclass(frozen=True)
class Choice:
    """Some values, as TOML texts."""

    texts: tuple[str, ...]


Axis = Range | Choice


@dataclass(frozen=True)
class SearchConfig:
    """Table ``[search]``: the model that is judged, by what, and who proposes the next point.

    Parameters
    ----------
    model : str
        One of the recipe's ``models``.
    objectives : tuple of str
        ``accuracy`` (to be raised), ``energy`` and ``latency`` (to be lowered); all are taken on
        the validation pairs: see `experiments.sweeps.objectives`.
    profile : str
        Hardware profile that prices the energy; empty: the recipe's first.
    sampler : str
        ``tpe``, ``nsga2`` or ``random`` of Optuna.
    seed : int
        Of the sampler.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    model: str = "snn"
    objectives: tuple[Objective, ...] = get_args(Objective)
    profile: str = ""
    sampler: Literal["tpe", "nsga2", "random"] = "tpe"
    seed: int = 0


@dataclass(frozen=True)
class Space:
    """A search's table ``[search]``, and an axis for each configuration key of ``[space]``."""

    search: SearchConfig
    axes: dict[str, Axis] = field(default_factory=dict)


def load_space(path: Path) -> Space:
    """Read a search's file.

    Raises
    ------
    ConfigError
        If it is missing or no TOML, or a table, key or value is wrong.
    """
    if not path.is_file():
        raise ConfigError(f"--search must be a TOML file, got {path}")
    try:
        return parse_space(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--search {path} must be TOML: {error}") from error


def parse_space(tables: Mapping[str, Any]) -> Space:
    """The space of a file's tables; see `load_space`."""
    unknown = sorted(tables.keys() - {"search", "space"})
    if unknown or not isinstance(tables.get("space"), Mapping):
        raise ConfigError(f"--search must hold tables [space] and [search], got {sorted(tables)}")
    try:
        search = TypeAdapter(SearchConfig).validate_python(tables.get("search", {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"search.{key} is wrong: {first['msg']}, got {first['input']!r}"
        ) from error
    if not search.objectives or len(set(search.objectives)) < len(search.objectives):
        raise ConfigError(
            f"search.objectives must be some of {list(DIRECTIONS)}, each once, got "
            f"{list(search.objectives)}"
        )
    axes = dict(_axes(tables["space"], ""))
    if not axes:
        raise ConfigError("[space] must hold at least one key, got none")
    return Space(search, axes)


def settings_of(values: Mapping[str, Any]) -> list[str]:
    """Overrides ``key=value`` of a point: numbers, or texts of TOML."""
    return [f"{key}={x if isinstance(x, str) else repr(x)}" for key, x in values.items()]


def _axes(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Axis]]:
    """Axes of a table and of those in it: ``a.b`` is a key of its own or a table in a table."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, list):
            texts = tuple(json.dumps(x) for x in value)
            if not texts or len(set(texts)) < len(texts):
                raise ConfigError(f"space.{key} must list distinct values, got {value}")
            yield key, Choice(texts)
        elif isinstance(value, Mapping) and not {"low", "high"} & value.keys():
            yield from _axes(value, f"{key}.")
        else:
            yield key, _range(key, value)


def _range(key: str, value: Any) -> Range:
    """A range, if it is one."""
    wrong = ConfigError(
        f"space.{key} must be a list of values, or low < high with log (low > 0) or step > 0, got "
        f"{value!r}"
    )
    if not isinstance(value, Mapping) or value.keys() - {"low", "high", "log", "step"}:
        raise wrong
    numbers = [value.get("low"), value.get("high"), value.get("step", 1)]
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in numbers):
        raise wrong
    found = Range(value["low"], value["high"], value.get("log", False), value.get("step"))
    if not found.low < found.high or not isinstance(found.log, bool):
        raise wrong
    if (found.log and (found.low <= 0 or found.step is not None)) or (found.step or 1) <= 0:
        raise wrong
    return found
