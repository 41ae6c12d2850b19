"""A stream whose process is killed at any moment goes on from its snapshot."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import stream_process


def start(folder: Path, engine: str) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stream_process"])
    process = context.Process(target=stream_process.run, args=(str(folder), engine))
    process.start()
    return process


def decisions(folder: Path) -> dict[int, str]:
    """Whole lines by step; what was said twice must be the same."""
    found: dict[int, str] = {}
    for text in (folder / "decisions.jsonl").read_text().splitlines():
        if not text.endswith("]"):
            continue  # empty, or the process died while it wrote
        step = int(text[1 : text.index(",")])
        assert found.setdefault(step, text) == text
    return found


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["stepped", "event"])
def test_a_killed_stream_says_what_one_that_was_not_says(engine: str, tmp_path: Path) -> None:
    runner = stream_process.StreamRunner(stream_process.model(), engine)
    expected = [d for _, name, part in stream_process.pushes(0) for d in runner.push(name, part)]
    expected += runner.finish()
    rng, n_killed, at = np.random.default_rng(3), 0, tmp_path / "at.safetensors"
    while not (tmp_path / "done").exists():
        process = start(tmp_path, engine)
        before = at.stat().st_mtime_ns if at.exists() else 0
        while process.is_alive() and not (at.exists() and at.stat().st_mtime_ns > before):
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.05)))
        if n_killed < 3 and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            n_killed += 1
        process.join(120)
        assert process.exitcode in (0, -signal.SIGKILL)
    assert n_killed > 0
    found = decisions(tmp_path)
    assert found == {d.step: stream_process.line(d) for d in expected}
