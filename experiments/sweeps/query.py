"""Questions to the index of runs: conditions in words of one form, answered by rows."""

from __future__ import annotations

import difflib
import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from spikefuse.errors import ConfigError

COLUMNS = (
    "run", "name", "data", "model", "kind", "n_seeds", "n_test", "params", "accuracy",
    "val_accuracy", "evidence_ms", "latency_ms",
)  # fmt: skip
_TEXTS = frozenset({"run", "name", "data", "model", "kind"})
_ENERGY = "energy."
_OF_ENERGY = (
    "SELECT e.pj FROM energies e WHERE e.run_id = models.run_id AND e.model = models.model "
    "AND e.profile = ?"
)
_OF_SETTING = "SELECT s.value FROM settings s WHERE s.run_id = models.run_id AND s.key = ?"
_KINDS_OF_SETTING = """
SELECT DISTINCT CASE
    WHEN typeof(value) <> 'text' THEN 'a number'
    WHEN value IN ('true', 'false') THEN 'true or false'
    WHEN value LIKE '[%' THEN 'a list'
    ELSE 'text' END
FROM settings WHERE key = ?
"""
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
        As it was written, until `find_runs` has seen of what kind the key's values are.
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
    return Condition(key, sign, value)


def _typed(index: sqlite3.Connection, condition: Condition) -> Condition:
    """The condition with its value of a kind that its key has in some run.

    Raises
    ------
    ConfigError
        If the value is of another kind, so that the condition could never hold.
    """
    key, sign, text = condition.key, condition.sign, str(condition.value)
    if sign == "~":
        return condition
    if key in COLUMNS or key.startswith(_ENERGY):
        kinds = ["text" if key in _TEXTS else "a number"]
    else:
        kinds = sorted(kind for (kind,) in index.execute(_KINDS_OF_SETTING, (key,)))
    readings = _readings(text)
    if sign not in ("=", "!=") and "a number" in readings:
        del readings["text"]  # a text is neither less nor more than a number
    for kind, value in readings.items():
        if kind in kinds:
            return replace(condition, value=value)
    raise ConfigError(f"--where {key} must be {' or '.join(kinds)}, as in the runs, got {text!r}")


def _readings(text: str) -> dict[str, float | str]:
    """What a text may mean, as the index holds it (`experiments.sweeps.index`), by its kind."""
    found: dict[str, float | str] = {}
    with suppress(ValueError):
        found["a number"] = float(text)
    if text in ("true", "false", "True", "False"):
        found["true or false"] = text.lower()
    if text.startswith("["):
        with suppress(ValueError):
            found["a list"] = json.dumps(json.loads(text))
    return found | {"text": text}


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
        If no run has a key (the nearest one is named) or a value of that kind.
    """
    falling = sort.startswith("-")
    by = sort.removeprefix("-")
    asked = [*dict.fromkeys([*(c.key for c in conditions), *([by] if by else [])])]
    _check_keys(index, asked)
    conditions = [_typed(index, condition) for condition in conditions]
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
