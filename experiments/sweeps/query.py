"""Questions to the index of runs: conditions in words of one form, answered by rows."""

from __future__ import annotations

import difflib
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spikefuse.errors import ConfigError

COLUMNS = (
    "run", "name", "data", "model", "kind", "n_seeds", "n_test", "params", "accuracy",
    "val_accuracy", "evidence_ms", "latency_ms",
)  # fmt: skip
_ENERGY = "energy."
_CONDITION = re.compile(r"\s*([\w.]+)\s*(<=|>=|!=|=|<|>|~)\s*(.+?)\s*")


@dataclass(frozen=True)
class Condition:
    """A key, how it is compared, and with what.

    Parameters
    ----------
    key : str
        A column, ``energy.<profile>`` (in pJ), or a configuration key.
    sign : str
        ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, or ``~``: contains the text.
    value : float or str
    """

    key: str
    sign: str
    value: float | str


def parse_condition(text: str) -> Condition:
    """The condition that ``key<=value`` describes.

    Raises
    ------
    ConfigError
        If it is of another form.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ConfigError(f"--where must be KEY=VALUE, or with != < <= > >= ~, got {text!r}")
    key, sign, value = match.groups()
    try:
        return Condition(key, sign, float(value) if sign != "~" else value)
    except ValueError:
        return Condition(key, sign, value)


def find_runs(
    index: sqlite3.Connection,
    conditions: Sequence[Condition] = (),
    sort: str = "",
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Models of runs for which all conditions hold: a row for each.

    Parameters
    ----------
    index : sqlite3.Connection
        Of `experiments.sweeps.index.open_index`.
    conditions : sequence of Condition
        One on what a run lacks does not hold.
    sort : str
        A key to sort by, rising; after a ``-``, falling. Else by run.
    limit : int, optional

    Returns
    -------
    list of dict
        The columns, the energy of every profile as ``energy.<profile>``, and each configuration
        key that is asked about.

    Raises
    ------
    ConfigError
        If no run has a key; the nearest one is named.
    """
    falling = sort.startswith("-")
    by = sort.removeprefix("-")
    asked = [*dict.fromkeys([*(c.key for c in conditions), *([by] if by else [])])]
    _check_keys(index, asked)
    further = [key for key in asked if key not in COLUMNS and not key.startswith(_ENERGY)]
    given: list[Any] = []
    chosen = [*(f"models.{c}" for c in COLUMNS), *(_expression(k, given) for k in further)]
    tests = [_test(c, given) for c in conditions]
    query = f"SELECT models.run_id, {', '.join(chosen)} FROM models"
    if tests:
        query += f" WHERE {' AND '.join(tests)}"
    query += " ORDER BY "
    if by:
        query += f"{_expression(by, given)} {'DESC' if falling else 'ASC'} NULLS LAST, "
    query += "models.run, models.rowid"
    if limit is not None:
        query += " LIMIT ?"
        given.append(limit)
    rows = index.execute(query, given).fetchall()
    found: list[dict[str, Any]] = []
    for number, *values in rows:
        row = dict(zip((*COLUMNS, *further), values, strict=True))
        prices = index.execute(
            "SELECT profile, pj FROM energies WHERE run_id = ? AND model = ?",
            (number, row["model"]),
        )
        found.append(row | {f"{_ENERGY}{profile}": pj for profile, pj in prices})
    return found


def _expression(key: str, given: list[Any]) -> str:
    """What a key is in a query; its values go to ``given``."""
    if key in COLUMNS:
        return f"models.{key}"
    if key.startswith(_ENERGY):
        given.append(key.removeprefix(_ENERGY))
        return (
            "(SELECT pj FROM energies e WHERE e.run_id = models.run_id AND e.model = models.model "
            "AND e.profile = ?)"
        )
    given.append(key)
    return "(SELECT value FROM settings s WHERE s.key = ? AND s.run_id = models.run_id)"


def _test(condition: Condition, given: list[Any]) -> str:
    """A condition in a query; a text is neither less nor more than a number."""
    ordered = condition.sign not in ("=", "!=", "~")
    kind = "text" if isinstance(condition.value, str) else "number"
    guard = ""
    if ordered:  # to SQLite every text is more than every number
        is_text = f"typeof({_expression(condition.key, given)}) = 'text'"
        guard = f"{is_text} AND " if kind == "text" else f"NOT {is_text} AND "
    expression = _expression(condition.key, given)
    given.append(condition.value)
    if condition.sign == "~":
        return f"instr({expression}, ?) > 0"
    return f"{guard}{expression} {condition.sign} ?"


def _check_keys(index: sqlite3.Connection, asked: Sequence[str]) -> None:
    """Refuse a key that no run has."""
    if all(key in COLUMNS for key in asked):
        return
    keys = [*COLUMNS]
    keys += [_ENERGY + p for (p,) in index.execute("SELECT DISTINCT profile FROM energies")]
    keys += [k for (k,) in index.execute("SELECT DISTINCT key FROM settings")]
    for key in asked:
        if key not in keys:
            ends = [k for k in keys if k.rpartition(".")[2] == key]
            nearest = (ends or difflib.get_close_matches(key, keys, 1, 0.0) or ["run"])[0]
            raise ConfigError(f"no run has a key {key!r}; nearest: {nearest!r}")
