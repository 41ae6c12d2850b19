"""Optuna's journal of a search, in a form that a killed process cannot spoil."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from spikefuse.errors import ConfigError, DataError

JOURNAL = "journal.log"
_NAME = "search"
_INSTALL = "pip install 'spikefuse[sweep]'"


class JournalLock:
    """One process at a time appends, and what a killed one wrote half is removed first.

    The lock is the kernel's: it is free as soon as its holder has ended, whatever ended it.

    Parameters
    ----------
    journal : Path
    """

    def __init__(self, journal: Path) -> None:
        from filelock import FileLock

        self.journal = journal
        self._lock = FileLock(f"{journal}.lock")

    def acquire(self) -> bool:
        """Wait for the lock; a last line without its end is cut off."""
        self._lock.acquire()
        self._mend()
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def _mend(self) -> None:
        """Cut the file after its last line break."""
        if not self.journal.is_file():
            return
        with self.journal.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                return
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)


def check_optuna() -> None:
    """Refuse a search that cannot begin.

    Raises
    ------
    ConfigError
        If Optuna is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(f"--search must have Optuna, which is not installed; {_INSTALL}")


def open_study(folder: Path, directions: list[str]) -> Any:
    """The study of a search's folder, made if it is not there.

    Raises
    ------
    DataError
        If the journal is damaged.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / JOURNAL
    lock: Any = JournalLock(path)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
    try:
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        if _NAME in optuna.get_all_study_names(storage):
            return optuna.load_study(storage=storage, study_name=_NAME)
        return optuna.create_study(storage=storage, study_name=_NAME, directions=directions)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError) as error:
        raise DataError(f"{path} must be the journal of a search, got: {error}") from error


def make_sampler(name: str, seed: int, parallel: bool) -> Any:
    """A sampler of Optuna; several workers are told of each other's points under way."""
    import warnings

    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    if name == "random":
        return samplers.RandomSampler(seed=seed)
    if name == "nsga2":
        return samplers.NSGAIISampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return samplers.TPESampler(seed=seed, constant_liar=parallel)
