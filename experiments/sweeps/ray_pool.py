"""A search on Ray: its points go to a cluster, this process asks and tells."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from experiments.sweeps.search import ATTEMPTS, Search, Task
from experiments.sweeps.trial import run_point
from experiments.sweeps.workers import OnPoint, point_arguments
from spikefuse.errors import ConfigError

_INSTALL = "pip install 'spikefuse[sweep,ray]'"
# Results are small; what a point makes is in its run directory.
_STORE_BYTES = 100 * 2**20


def check_ray() -> None:
    """Refuse a search on Ray where it is not installed.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(f"--on ray must have Ray, which is not installed; {_INSTALL}")


def work_on_ray(folder: Path, n_points: int, n_workers: int, on_point: OnPoint) -> None:
    """Compute points on Ray until the search has as many as it should.

    ``RAY_ADDRESS`` names the cluster (``auto``: the one of this machine); without it a Ray of
    ``n_workers`` points at a time is started here, and stopped. Ray tries a point again whose
    worker died, in the folder it was in. The search's folder must be one that every node sees.

    Parameters
    ----------
    folder : Path
    n_points : int
    n_workers : int
        Points at a time.
    on_point : callable
        Told of each point that is done.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS", "local")
    search = Search(folder, n_points, parallel=n_workers > 1)
    threads = search.base.train.threads
    started: dict[str, Any] = {}
    if address == "local":
        started = {
            "num_cpus": n_workers * threads,
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
        }
    try:
        ray.init(address=address, log_to_driver=False, **started)
        compute = ray.remote(num_cpus=threads, max_retries=ATTEMPTS - 1)(run_point)
        running: dict[Any, Task] = {}
        while True:
            while len(running) < n_workers and (task := search.ask()) is not None:
                running[compute.remote(**point_arguments(search, task))] = task
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(done)
            outcome = _outcome(done)
            search.tell(task, outcome)
            on_point(task, outcome)
    finally:
        ray.shutdown()
        search.close()


def _outcome(done: Any) -> dict[str, Any]:
    """What a point gave, or that its workers died."""
    import ray

    try:
        found: dict[str, Any] = ray.get(done)
    except ray.exceptions.WorkerCrashedError:
        return {"error": f"its worker died {ATTEMPTS} times"}
    return found
