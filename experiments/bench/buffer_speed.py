"""Events a second through the jitter buffer, one thread.

``python -m experiments.bench.buffer_speed --document docs/streaming_sources.md``
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from spikefuse._types import StructuredArray
from spikefuse.events import EVENT_DTYPE
from spikefuse.pages import markdown_table, write_tables
from spikefuse.runtime.buffer import BufferParams, JitterBuffer

RATE_HZ = 10_000_000
CHUNKS = (1_000, 10_000, 100_000)
DISORDER_US = (0, 500)
_SIZE = (640, 480, 2)


def made(n: int, disorder_us: int) -> StructuredArray:
    """Events of a 640 x 480 sensor at 10 million a second, displaced in the order of arrival."""
    rng = np.random.default_rng(0)
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, n * 1_000_000 // RATE_HZ, n))
    events["x"], events["y"] = rng.integers(0, _SIZE[0], n), rng.integers(0, _SIZE[1], n)
    if disorder_us:
        arrival = events["t"] + rng.integers(0, disorder_us, n)
        events = events[np.argsort(arrival, kind="stable")]
    return events


def passed(events: StructuredArray, chunk: int, check: bool) -> float:
    """CPU seconds to push and pop all of them, with or without the check for repetitions."""
    params = BufferParams(latency_ms=2.0, repeated="drop" if check else "keep")
    buffer = JitterBuffer({"vision": _SIZE}, params)
    n, started = 0, time.process_time()
    for start in range(0, len(events), chunk):
        buffer.push("vision", events[start : start + chunk])
        n += sum(len(c.events) for c in buffer.pop())
    n += sum(len(c.events) for c in buffer.flush())
    spent = time.process_time() - started
    if n + buffer.outcomes.count("vision", "repeated") != len(events):
        raise AssertionError(f"every event must come out or be counted, got {n} of {len(events)}")
    return spent


def main(
    document: Annotated[Path | None, typer.Option("--document")] = None,
    events: Annotated[int, typer.Option("--events", min=1000)] = 2_000_000,
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 7,
) -> None:
    """Median of interleaved rounds; writes the table."""
    import logging

    logging.getLogger("spikefuse.runtime").setLevel(logging.ERROR)
    inputs = {d: made(events, d) for d in DISORDER_US}
    cases = [(c, d, check) for c in CHUNKS for d in DISORDER_US for check in (False, True)]
    spent: dict[tuple[int, int, bool], list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            chunk, disorder, check = case
            spent[case].append(passed(inputs[disorder], chunk, check))
    rate = {case: events / np.median(found) / 1e6 for case, found in spent.items()}
    rows = [
        [f"{chunk:,}", f"{d:g}", *(f"{rate[chunk, d, check]:.1f}" for check in (False, True))]
        for chunk in CHUNKS
        for d in DISORDER_US
    ]
    header = [
        "events a push",
        "out of order by up to, us",
        "million events/s",
        "with the check for repetitions",
    ]
    text = markdown_table(header, rows)
    print(text)
    if document is not None:
        write_tables(document, {"buffer": text})


if __name__ == "__main__":
    typer.run(main)
