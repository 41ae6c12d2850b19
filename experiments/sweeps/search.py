"""A search in its folder: asked for the next point, told what a point gave, resumed by a call."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.fronts import non_dominated
from experiments.config import Config, load_config, to_toml
from experiments.files import write_json, write_text
from experiments.sweeps.journal import check_optuna, make_sampler, open_study
from experiments.sweeps.space import DIRECTIONS, Choice, Space, parse_space, settings_of
from spikefuse.cost.profile import load_profile
from spikefuse.errors import ConfigError

BASE, DEFINITION, SUMMARY = "base.toml", "search.json", "sweep.json"
# A point that killed so many workers is marked as failed.
ATTEMPTS = 3
_DIED = f"its process died {ATTEMPTS} times"
FIGURES = {"accuracy": "accuracy", "energy": "energy_pj", "latency": "latency_ms"}


@dataclass(frozen=True)
class Task:
    """A point to be computed.

    Parameters
    ----------
    number : int
        Of Optuna's trial.
    name : str
        Of its run directory; a point that is tried again goes on in it.
    values : dict
        By configuration key: a number, or a TOML text.
    attempt : int
        From 1.
    """

    number: int
    name: str
    values: dict[str, Any]
    attempt: int = 1


def begin_search(folder: Path, base: Config, space: Space) -> None:
    """Write what a search is into its folder, or check that the folder is this search's.

    Raises
    ------
    ConfigError
        If a key or an end of its range is wrong, the model is not trained or the folder is of
        another search: before anything runs.
    """
    check_optuna()
    if space.search.model not in base.models:
        raise ConfigError(
            f"search.model must be one of the recipe's models {list(base.models)}, got "
            f"{space.search.model!r}"
        )
    load_profile(profile_of(base, space))
    definition = {"search": asdict(space.search), "space": _plain(space)}
    at = folder / DEFINITION
    if at.is_file():
        old = json.loads(at.read_text())
        same_base = load_config(str(folder / BASE)) == base
        if not same_base or old != json.loads(json.dumps(definition)):
            raise ConfigError(
                f"--out must be a new folder or one of the same search, got {folder} with another "
                f"{DEFINITION} or {BASE}"
            )
        return
    if folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir()):
        kept = {p.name for p in folder.iterdir()} - {BASE}
        if kept:
            raise ConfigError(f"--out must be a new or empty folder, got {folder} with {kept}")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / BASE, to_toml(base))
    for key, axis in space.axes.items():
        ends = axis.texts if isinstance(axis, Choice) else (axis.low, axis.high)
        for end in ends:
            load_config(str(folder / BASE), settings_of({key: end}))
    write_json(at, definition)


def profile_of(base: Config, space: Space) -> str:
    """The profile that prices a search's energy."""
    return space.search.profile or base.cost.profiles[0]


class Search:
    """One process's hold on a search.

    Parameters
    ----------
    folder : Path
        Begun with `begin_search`.
    n_points : int
        How many points the search has in the end, those of other processes and calls included.
    parallel : bool
        Whether others are at work besides.
    """

    def __init__(self, folder: Path, n_points: int, parallel: bool = False) -> None:
        from filelock import FileLock

        self.folder, self.n_points, self.parallel = folder, n_points, parallel
        self.space = read_space(folder)
        self.base = load_config(str(folder / BASE))
        self.profile = profile_of(self.base, self.space)
        directions = [DIRECTIONS[name] for name in self.space.search.objectives]
        self._asking = FileLock(folder / ".ask.lock")
        with self._asking:  # two that begin at once would both make the study
            self._study = open_study(folder, directions)
        # Held as long as this process lives, however it ends: see `_recover`.
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        (folder / ".workers").mkdir(exist_ok=True)
        self._alive = FileLock(self._lock_of(self.worker))
        self._alive.acquire()
        self._asked: dict[int, Any] = {}

    def close(self) -> None:
        """Let go; points that were asked for and not told are another's then."""
        self._alive.release()
        self._lock_of(self.worker).unlink(missing_ok=True)

    def ask(self) -> Task | None:
        """The next point, or one that a dead process left; None when there are enough."""
        with self._asking:
            self._recover()
            if not self._lacks_points():
                return None
            search = self.space.search
            # A new seed for each trial, so that a resumed search does not propose the same again.
            trials = self._study.get_trials(deepcopy=False)
            names = {t.user_attrs["name"] for t in trials if "name" in t.user_attrs}
            seed = (search.seed * 1_000_003 + len(trials)) % 2**32
            self._study.sampler = make_sampler(search.sampler, seed, self.parallel)
            trial = self._study.ask()
            trial.set_user_attr("worker", self.worker)
            values = {key: self._suggest(trial, key) for key in self.space.axes}
            name = trial.user_attrs.get("name", f"trial-{len(names):04d}")
            attempt = trial.user_attrs.get("attempt", 1)
            trial.set_user_attr("name", name)  # after the values: with a name it can be tried again
            self._asked[trial.number] = trial
            return Task(trial.number, name, values, attempt)

    def tell(self, task: Task, outcome: Mapping[str, Any]) -> None:
        """What a point gave: figures, or an ``error``; then the summary is written again."""
        with self._asking:
            self._tell(self._asked.pop(task.number), outcome)
            write_json(self.folder / SUMMARY, self.summary())

    def lacks_points(self) -> bool:
        """Whether there is a point to be computed that nobody is at."""
        with self._asking:
            self._recover()
            return self._lacks_points()

    def worker_of(self, run: str) -> str | None:
        """Who is at a run: host, process and a random part; None if nobody is."""
        from optuna.trial import TrialState

        for trial in self._points():
            if trial.user_attrs.get("name") == run and trial.state == TrialState.RUNNING:
                return str(trial.user_attrs["worker"])
        return None

    def summary(self) -> dict[str, Any]:
        """Every point with its values and figures, and which of them no other one beats."""
        from optuna.trial import TrialState

        points: list[dict[str, Any]] = []
        states = {TrialState.COMPLETE: "done", TrialState.FAIL: "failed"}
        for trial in self._points():
            told = trial.user_attrs
            failed = trial.state == TrialState.FAIL
            points.append(
                {
                    "run": told.get("name"),
                    "state": states.get(trial.state, "under way"),
                    "attempt": told.get("attempt", 1),
                    "values": dict(trial.params),
                    "figures": told.get("figures"),
                    "error": told.get("error", _DIED if failed else None),
                }
            )
        done = [p for p in points if p["state"] == "done"]
        for point, stays in zip(done, self._front(done), strict=True):
            point["on_front"] = stays
        return {
            "schema": 1,
            "keys": list(self.space.axes),
            "objectives": list(self.space.search.objectives),
            "model": self.space.search.model,
            "profile": self.profile,
            "split": "validation",
            "points": points,
        }

    def _front(self, done: list[dict[str, Any]]) -> list[bool]:
        """Which finished points no other one beats in every objective."""
        names = self.space.search.objectives
        signs = [-1.0 if DIRECTIONS[name] == "maximize" else 1.0 for name in names]
        costs = [
            [sign * p["figures"][FIGURES[n]] for n, sign in zip(names, signs, strict=True)]
            for p in done
        ]
        return list(map(bool, non_dominated(np.asarray(costs).reshape(-1, len(names)))))

    def _points(self) -> list[Any]:
        """Trials, without those that were tried again or died before they had values."""
        trials = self._study.get_trials(deepcopy=False)
        again = {t.user_attrs.get("again") for t in trials}
        return [
            t
            for t in trials
            if t.number not in again and not (t.state.is_finished() and "name" not in t.user_attrs)
        ]

    def _lacks_points(self) -> bool:
        """Whether one waits, or there are too few."""
        from optuna.trial import TrialState

        points = self._points()
        return len(points) < self.n_points or any(t.state == TrialState.WAITING for t in points)

    def _tell(self, trial: Any, outcome: Mapping[str, Any]) -> None:
        """Into the journal."""
        from optuna.trial import TrialState

        error = outcome.get("error")
        if error is None:
            figures = [outcome[FIGURES[name]] for name in self.space.search.objectives]
            if None in figures:
                error = f"there is no price: {outcome.get('reason')}"
        if error is not None:
            trial.set_user_attr("error", error)
            self._study.tell(trial, state=TrialState.FAIL)
            return
        trial.set_user_attr("figures", dict(outcome))
        self._study.tell(trial, figures)

    def _recover(self) -> None:
        """Points of processes that are gone are tried again, in the folders they were in."""
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False)
        again = {t.user_attrs.get("again") for t in trials}
        for trial in trials:
            told = trial.user_attrs
            if trial.state != TrialState.RUNNING or self._lives(told.get("worker")):
                continue
            attempt = told.get("attempt", 1)
            # In this order nothing is lost, nor tried twice, if this process dies in between.
            if trial.number not in again and "name" in told and attempt < ATTEMPTS:
                kept = {"again": trial.number, "attempt": attempt + 1, "name": told["name"]}
                self._study.enqueue_trial(trial.params, user_attrs=kept)
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _lives(self, worker: str | None) -> bool:
        """Whether a process still holds its lock; without a name it died while it asked."""
        from filelock import FileLock, Timeout

        if worker is None or not self._lock_of(worker).is_file():
            return False
        if worker == self.worker:
            return True
        lock = FileLock(self._lock_of(worker))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        self._lock_of(worker).unlink(missing_ok=True)
        return False

    def _lock_of(self, worker: str) -> Path:
        return self.folder / ".workers" / f"{worker}.lock"

    def _suggest(self, trial: Any, key: str) -> Any:
        """A value of an axis."""
        axis = self.space.axes[key]
        if isinstance(axis, Choice):
            return trial.suggest_categorical(key, list(axis.texts))
        if axis.whole:
            step = int(axis.step or 1)
            return trial.suggest_int(key, int(axis.low), int(axis.high), step=step, log=axis.log)
        return trial.suggest_float(key, axis.low, axis.high, step=axis.step, log=axis.log)


def read_space(folder: Path) -> Space:
    """The space of a search that has begun."""
    return parse_space(json.loads((folder / DEFINITION).read_text()))


def _plain(space: Space) -> dict[str, Any]:
    """A space's axes as in its file."""
    return {
        key: [json.loads(text) for text in axis.texts]
        if isinstance(axis, Choice)
        else {k: v for k, v in asdict(axis).items() if v is not None}
        for key, axis in space.axes.items()
    }
