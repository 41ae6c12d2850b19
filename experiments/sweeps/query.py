"""Questions to the index of runs: conditions in words of one form, answered by rows."""

from __future__ import annotations

import difflib
import json
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
_OF_ENERGY = (
    "SELECT e.pj FROM energies e WHERE e.run_id = models.run_id AND e.model = models.model "
    "AND e.profile = ?"
)
_OF_SETTING = "SELECT s.value FROM settings s WHERE s.run_id = models.run_id AND s.key = ?"
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
    return Condition(key, sign, value if sign == "~" else _value(value))


def _value(text: str) -> float | str:
    """A number, or a text; a list as the index writes it (`experiments.sweeps.index`)."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return json.dumps(found) if isinstance(found, list) else text


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
        return f"({_OF_ENERGY})"
    given.append(key)
    return f"({_OF_SETTING})"


def _test(condition: Condition, given: list[Any]) -> str:
    """A condition in a query; a text is neither less nor more than a number."""
    key, sign, value = condition.key, condition.sign, condition.value
    if key in COLUMNS:
        place, field = "{}", f"models.{key}"
    elif key.startswith(_ENERGY):
        given.append(key.removeprefix(_ENERGY))
        place, field = f"EXISTS ({_OF_ENERGY} AND {{}})", "e.pj"
    else:
        given.append(key)
        place, field = f"EXISTS ({_OF_SETTING} AND {{}})", "s.value"
    given.append(value)
    if sign == "~":
        return place.format(f"instr({field}, ?) > 0")
    if sign in ("=", "!="):
        return place.format(f"{field} {sign} ?")
    # To SQLite every text is more than every number.
    kind = "=" if isinstance(value, str) else "<>"
    return place.format(f"(typeof({field}) {kind} 'text' AND {field} {sign} ?)")


def _check_keys(index: sqlite3.Connection, asked: Sequence[str]) -> None:
    """Refuse a key that no run has."""
    for key in asked:
        if key in COLUMNS:
            continue
        is_energy = key.startswith(_ENERGY)
        known = index.execute(
            "SELECT 1 FROM energies WHERE profile = ? LIMIT 1"
            if is_energy
            else "SELECT 1 FROM settings WHERE key = ? LIMIT 1",
            (key.removeprefix(_ENERGY) if is_energy else key,),
        ).fetchone()
        if known is None:
            raise ConfigError(f"no run has a key {key!r}; nearest: {_nearest(index, key)!r}")


def _nearest(index: sqlite3.Connection, key: str) -> str:
    """A key that there is, like one that there is not."""
    keys = [*COLUMNS]
    keys += [_ENERGY + p for (p,) in index.execute("SELECT DISTINCT profile FROM energies")]
    keys += [k for (k,) in index.execute("SELECT DISTINCT key FROM settings")]
    ends = [k for k in keys if k.rpartition(".")[2] == key]
    return (ends or difflib.get_close_matches(key, keys, 1, 0.0) or ["run"])[0]
