"""An index of finished runs: read from run directories once, then asked in milliseconds."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.records import read_config, read_result
from spikefuse.errors import ConfigError, SpikefuseError

INDEX = ".spikefuse-runs.sqlite"
_VERSION = 1
_TABLES = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, run TEXT UNIQUE NOT NULL, stamp TEXT NOT NULL, error TEXT
);
CREATE TABLE models (
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    run TEXT NOT NULL, name TEXT, data TEXT, model TEXT, kind TEXT, n_seeds INTEGER,
    n_test INTEGER, params INTEGER, accuracy REAL, val_accuracy REAL, evidence_ms REAL,
    latency_ms REAL, PRIMARY KEY (run_id, model)
);
CREATE INDEX by_accuracy ON models (accuracy);
CREATE TABLE energies (
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    model TEXT NOT NULL, profile TEXT NOT NULL, pj REAL, PRIMARY KEY (run_id, model, profile)
) WITHOUT ROWID;
CREATE TABLE settings (
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    key TEXT NOT NULL, value, PRIMARY KEY (run_id, key)
) WITHOUT ROWID;
CREATE INDEX by_key ON settings (key);
CREATE INDEX by_profile ON energies (profile);
"""


@dataclass(frozen=True)
class Refreshed:
    """What looking through the folders changed.

    Parameters
    ----------
    read, removed, kept : int
        Runs read anew, gone, and as they were; damaged ones are neither read nor kept.
    damaged : dict of run to str
        Why one could not be read.
    unfinished : tuple of str
        Run directories without a ``result.json``.
    """

    read: int
    removed: int
    kept: int
    damaged: dict[str, str]
    unfinished: tuple[str, ...]


@contextmanager
def open_index(root: Path) -> Iterator[sqlite3.Connection]:
    """The index of the runs below a folder, made anew where it is absent or damaged.

    It holds nothing that is not in the run directories.

    Raises
    ------
    ConfigError
        If the root is no folder, or the index cannot be written.
    """
    if not root.is_dir():
        raise ConfigError(f"ROOT must be a folder, got {root}")
    path = root / INDEX
    try:
        try:
            index = _connect(path)
        except sqlite3.DatabaseError:
            if not path.is_file() or not os.access(path, os.W_OK):
                raise
            path.unlink()
            index = _connect(path)
    except sqlite3.Error as error:
        raise ConfigError(f"{path} must be writable, got: {error}") from error
    with closing(index):
        yield index


def refresh(index: sqlite3.Connection, root: Path) -> Refreshed:
    """Read the runs that are new or changed since (by size and time of their files)."""
    finished, unfinished = _find(root)
    known = {run: (number, stamp) for number, run, stamp in index.execute(
        "SELECT id, run, stamp FROM runs"
    )}  # fmt: skip
    gone = known.keys() - finished.keys()
    changed = {r for r, stamp in finished.items() if r not in known or known[r][1] != stamp}
    with index:
        for run in gone | (changed & known.keys()):
            index.execute("DELETE FROM runs WHERE id = ?", (known[run][0],))
        for run in sorted(changed):
            _add(index, root, run, finished[run])
    damaged = dict(
        index.execute("SELECT run, error FROM runs WHERE error IS NOT NULL ORDER BY run")
    )
    whole = finished.keys() - damaged.keys()
    return Refreshed(
        len(whole & changed), len(gone), len(whole - changed), damaged, tuple(unfinished)
    )


def _connect(path: Path) -> sqlite3.Connection:
    """A connection to an index of this version."""
    index = sqlite3.connect(path, timeout=60)
    try:
        index.execute("PRAGMA foreign_keys = ON")
        (version,) = index.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with index:
                index.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}")
        index.execute("SELECT 1 FROM models LIMIT 1").fetchone()
    except sqlite3.Error:
        index.close()
        raise
    return index


def _find(root: Path) -> tuple[dict[str, str], list[str]]:
    """Finished runs at or below a folder with the stamp of their files, and unfinished ones."""
    finished: dict[str, str] = {}
    unfinished: list[str] = []
    folders = [(root, ".")]
    while folders:
        folder, name = folders.pop()
        with os.scandir(folder) as entries:
            found = {entry.name: entry for entry in entries}
        if "config.toml" in found or "result.json" in found:
            if "result.json" in found:
                finished[name] = ";".join(
                    map(_stamp, map(found.get, ("result.json", "config.toml")))
                )
            else:
                unfinished.append(name)
            continue  # nothing below a run is a run
        for entry in found.values():
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                inner = entry.name if name == "." else f"{name}/{entry.name}"
                folders.append((Path(entry.path), inner))
    return finished, sorted(unfinished)


def _stamp(entry: os.DirEntry[str] | None) -> str:
    """What changes when a file does."""
    if entry is None:
        return "none"
    stat = entry.stat()
    return f"{stat.st_mtime_ns}:{stat.st_size}"


def _add(index: sqlite3.Connection, root: Path, run: str, stamp: str) -> None:
    """Read a run into the index, or why it cannot be read."""
    error: str | None = None
    rows: list[tuple[Any, ...]] = []
    energies: list[tuple[Any, ...]] = []
    settings: dict[str, Any] = {}
    try:
        result = read_result(root / run)
        settings = dict(_flat(read_config(root / run / "config.toml"), ""))
        data = result["data"]
        for model, told in result["models"].items():
            latency = told["latency"]
            rows.append(
                (run, result["name"], data["name"], model, told["kind"], len(result["seeds"]),
                 data["n_test"], told["params"], told["accuracy"], told["val_accuracy"],
                 latency["evidence_ms"], latency["p50_ms"])
            )  # fmt: skip
            energies += [(model, p, e["dynamic_pj"]) for p, e in told["energy"].items()]
    except (SpikefuseError, OSError) as caught:
        error = str(caught)
    except (KeyError, TypeError, AttributeError) as caught:
        error = f"{run}/result.json lacks {caught}"
    number = index.execute(
        "INSERT INTO runs (run, stamp, error) VALUES (?, ?, ?)", (run, stamp, error)
    ).lastrowid
    if error is not None:
        return
    places = ", ".join("?" * 13)
    index.executemany(f"INSERT INTO models VALUES ({places})", [(number, *row) for row in rows])
    index.executemany("INSERT INTO energies VALUES (?, ?, ?, ?)", [(number, *e) for e in energies])
    index.executemany(
        "INSERT INTO settings VALUES (?, ?, ?)", [(number, k, v) for k, v in settings.items()]
    )


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys of a configuration; what is no number or text as its JSON."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, int | float | str) and not isinstance(value, bool)
            yield f"{prefix}{name}", value if plain else json.dumps(value, default=str)
