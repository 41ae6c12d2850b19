"""Points of a grid, several at a time: a process each, started again if it is killed."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import sys
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.context import SpawnProcess
from pathlib import Path

from experiments.config import Config
from experiments.run import Silent, run_experiment
from experiments.sweeps.search import ATTEMPTS
from spikefuse.errors import SpikefuseError


def run_apart(
    configs: Mapping[str, Config], folder: Path, n_workers: int, on_end: Callable[[str], None]
) -> None:
    """Compute every point that has no result yet.

    A point that fails, or is killed as often as a point may be, is left without a result; its
    process has printed why.

    Parameters
    ----------
    configs : mapping of run directory's name to Config
    folder : Path
    n_workers : int
        Points at a time.
    on_end : function
        Told what ended, and how.
    """
    context = multiprocessing.get_context("spawn")
    waiting = deque((name, 1) for name in configs if not _result(folder, name).is_file())
    running: dict[str, tuple[SpawnProcess, int]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < n_workers:
                name, attempt = waiting.popleft()
                process = context.Process(target=_compute, args=(configs[name], folder / name))
                process.start()
                running[name] = (process, attempt)
            multiprocessing.connection.wait([p.sentinel for p, _ in running.values()])
            for name, (process, attempt) in list(running.items()):
                if process.is_alive():
                    continue
                process.join()
                del running[name]
                killed = (process.exitcode or 0) < 0
                if killed and attempt < ATTEMPTS:
                    waiting.append((name, attempt + 1))
                done = _result(folder, name).is_file()
                on_end(f"{name}: {'done' if done else 'killed' if killed else 'failed'}")
    finally:
        for process, _ in running.values():
            process.join()


def _result(folder: Path, name: str) -> Path:
    return folder / name / "result.json"


def _compute(config: Config, run: Path) -> None:
    """A process: errors of the user's are a line, as on the command line."""
    try:
        run_experiment(config, run, Silent())
    except KeyboardInterrupt:
        sys.exit(130)
    except SpikefuseError as error:
        sys.exit(f"{run.name}: error: {error}")
