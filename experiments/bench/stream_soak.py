"""An hour of stream: is every event counted, and does memory stay flat?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.stream_rows import random_events, stream_model
from spikefuse.runtime import StreamRunner
from spikefuse.runtime.runner import EngineName

_POOL_EVENTS, _BATCH = 64_000, 1_000


def soak(
    hours: float,
    per_second: float = 1e6,
    engine: EngineName = "event",
    n_out: int = 512,
    on_progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Push hours of simulated stream as fast as they go, a thousand events at a time.

    Parameters
    ----------
    hours : float
        Of the stream's own time.
    per_second : float
        Rate of events.
    engine : "event" or "stepped"
    n_out : int
        Hidden neurons.
    on_progress : function, optional
        Told about each twentieth.

    Returns
    -------
    dict
        Events pushed, counted by the runner and seen by the network's inputs (event engine);
        decisions due and given; the process's own memory after the first twentieth and at its
        highest later, in MiB; seconds of processor time and events per second of it.
    """
    if not hours > 0:
        raise ValueError(f"hours must be positive, got {hours}")
    runner = StreamRunner(stream_model(n_out), engine, every_ms=100.0)
    pool = random_events(_POOL_EVENTS, per_second)
    pool_us = round(_POOL_EVENTS / per_second * 1e6)
    batches = np.split(pool, range(_BATCH, _POOL_EVENTS, _BATCH))
    n_rounds = max(20, round(hours * 3600 * per_second / _POOL_EVENTS))
    n_pushed = n_decisions = 0
    settled, highest = 0.0, 0.0
    began, started = time.perf_counter(), time.process_time()
    for k in range(n_rounds):
        for batch in batches:
            moved = batch.copy()
            moved["t"] += k * pool_us
            n_decisions += len(runner.push("vision", moved))
            n_pushed += len(moved)
        if (k + 1) % (n_rounds // 20) == 0:
            held = own_mib()
            settled = settled or held
            highest = max(highest, held)
            on_progress(
                f"{(k + 1) * pool_us / 3.6e9:.3f} h of stream, {n_pushed} events, "
                f"{held:.1f} MiB, {time.perf_counter() - began:.0f} s"
            )
    n_decisions += len(runner.finish(n_rounds * pool_us))
    spent = time.process_time() - started
    at: Any = runner.engine
    seen = int(at.n_inputs_seen()) if engine == "event" else None
    return {
        "hours": n_rounds * pool_us / 3.6e9,
        "engine": engine,
        "events_pushed": n_pushed,
        "events_counted": runner.n_events["vision"],
        "events_at_inputs": seen,
        "events_waiting": runner.n_waiting,
        "decisions_due": n_rounds * pool_us // 100_000,
        "decisions": n_decisions,
        "settled_mib": settled,
        "highest_mib": highest,
        "cpu_s": spent,
        "million_events_per_cpu_s": n_pushed / spent / 1e6,
    }


def soak_table(found: Mapping[str, Any]) -> str:
    """What `soak` has found, as a table of Markdown."""
    rows = {
        "stream": f"{found['hours']:.3g} h, {found['engine']} engine",
        "events pushed": f"{found['events_pushed']:,}",
        "events counted by the runner": f"{found['events_counted']:,}",
        "events that worked at the network's inputs": "not counted"
        if found["events_at_inputs"] is None
        else f"{found['events_at_inputs']:,}",
        "events left waiting": f"{found['events_waiting']:,}",
        "decisions due, given": f"{found['decisions_due']:,}, {found['decisions']:,}",
        "own memory after 5 %, highest later": f"{found['settled_mib']:.1f} MiB, "
        f"{found['highest_mib']:.1f} MiB",
        "processor time": f"{found['cpu_s']:.0f} s, "
        f"{found['million_events_per_cpu_s']:.3g} million events/s",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| what | found |", "|---|---|", *lines])


def own_mib(status: Path = Path("/proc/self/status")) -> float:
    """Memory that only this process holds, in MiB: anonymous pages, resident or swapped out.

    The pages of libraries do not count: the system drops and reloads them as it likes. nan where
    it does not say.
    """
    try:
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return sum(int(lines[name].split()[0]) for name in ("RssAnon", "VmSwap")) / 1024
    except (OSError, ValueError, KeyError, IndexError):
        return float("nan")
