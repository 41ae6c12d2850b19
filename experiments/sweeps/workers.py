"""A search on this machine: this process, or several that are replaced when one is killed."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.run import Reporter
from experiments.sweeps.search import ATTEMPTS, BASE, Search, Task
from experiments.sweeps.trial import run_point
from spikefuse.errors import SpikefuseError

OnPoint = Callable[[Task, dict[str, Any]], None]


class WorkerError(SpikefuseError):
    """Processes of a search ended with an error, which they have printed."""


def work(
    folder: Path,
    n_points: int,
    on_point: OnPoint,
    parallel: bool = False,
    reporter: Reporter | None = None,
) -> None:
    """Compute points until the search has as many as it should, in this process."""
    search = Search(folder, n_points, parallel)
    try:
        while (task := search.ask()) is not None:
            outcome = run_point(**point_arguments(search, task), reporter=reporter)
            search.tell(task, outcome)
            on_point(task, outcome)
    finally:
        search.close()


def point_arguments(search: Search, task: Task) -> dict[str, Any]:
    """What `run_point` is called with, in this process or another."""
    folder = search.folder.resolve()
    return {
        "folder": str(folder),
        "name": task.name,
        "values": task.values,
        "base": str(folder / BASE),
        "model": search.space.search.model,
        "profile": search.profile,
    }


def work_together(folder: Path, n_points: int, n_workers: int, on_point: OnPoint) -> None:
    """Compute points in several processes; one that is killed is replaced, its point tried again.

    Raises
    ------
    WorkerError
        If one ended with an error of its own, or more were killed than points can account for.
    """
    context = multiprocessing.get_context("spawn")
    running: list[Any] = []
    started = 0
    most = n_workers + ATTEMPTS * n_points
    failed = 0
    while running or (not failed and _unfinished(folder, n_points)):
        while len(running) < n_workers and not failed and _unfinished(folder, n_points):
            if started == most:
                raise WorkerError(f"workers must live, got {started} killed; last one: {folder}")
            started += 1
            process = context.Process(target=_work_apart, args=(folder, n_points, on_point))
            process.start()
            running.append(process)
        multiprocessing.connection.wait([p.sentinel for p in running])
        for process in [p for p in running if not p.is_alive()]:
            process.join()
            running.remove(process)
            failed += (process.exitcode or 0) > 0
    if failed:
        raise WorkerError(f"{failed} of the workers ended with an error, printed above")


def _work_apart(folder: Path, n_points: int, on_point: OnPoint) -> None:
    """`work` as a process: errors of the user's are a line, as on the command line."""
    try:
        work(folder, n_points, on_point, parallel=True)
    except KeyboardInterrupt:
        sys.exit(130)
    except SpikefuseError as error:
        sys.exit(f"error: {error}")


def _unfinished(folder: Path, n_points: int) -> bool:
    """Whether the search lacks points, or one under way has lost its process."""
    search = Search(folder, n_points)
    try:
        return search.lacks_points()
    finally:
        search.close()
