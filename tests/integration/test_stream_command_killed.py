"""``spikefuse stream --snapshot``, killed at any moment: the same command goes on."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import spikefuse

from experiments.loading.batches import batches
from experiments.loading.data import load_data
from experiments.run import load_run_config
from experiments.studies.always_on import one_after_another
from sensors.files import write_events
from tests.tiny_run import TINY

MORE = ("train.epochs=1", "cost.latency_repeats=3", "models=snn", "seeds=0")
N_TRIALS = 8
SEED = 20261129


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run, and eight of its test pairs as one recording a modality beside it."""
    folder = tmp_path_factory.mktemp("stream") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "SPIKEFUSE_CACHE", str(folder.parent / "cache"))
        patch.setitem(os.environ, "OMP_NUM_THREADS", "1")
        settings = [word for setting in (*TINY, *MORE) for word in ("--set", setting)]
        assert spikefuse("train", "--config", "demo", "--out", folder, *settings) == 0
        data = load_data(load_run_config(folder).data)
        batch = next(batches(data, "test", data.fixed_pairs["test"][:N_TRIALS], N_TRIALS))
        for name, stream in one_after_another(batch.samples, 400_000).items():
            write_events(folder.parent / f"{name}.npz", stream)
        yield folder


def words(run: Path, folder: Path, *more: object) -> list[str]:
    given = [("--" + m, run.parent / f"{m}.npz") for m in ("vision", "audio")]
    kept = ("--snapshot", folder / "at", "--snapshot-every", 0.02, "--json", folder / "out.json")
    found = ("stream", run, *(word for pair in given for word in pair), *kept)
    return [str(word) for word in (*found, "--lines", folder / "lines.jsonl", *more)]


def in_a_process(arguments: list[str]) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["command_line", "experiments.streaming.session"])
    process = context.Process(target=spikefuse, args=arguments)
    process.start()
    return process


def wait_for(snapshot: Path, n_more: int, process: multiprocessing.process.BaseProcess) -> None:
    """Until it has been written so often, or its process has ended."""
    seen = snapshot.stat().st_mtime_ns if snapshot.exists() else 0
    while n_more and process.is_alive():
        now = snapshot.stat().st_mtime_ns if snapshot.exists() else 0
        n_more -= now != seen
        seen = now
        time.sleep(0.001)


def said(path: Path) -> list[dict[str, object]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "host_ms"} for record in records]


def figures(path: Path) -> dict[str, object]:
    """All figures of a stream but those of the host's clock."""
    found = json.loads(path.read_text())
    assert found["latency"].pop("host")["p50_ms"] > 0
    assert found["decision"].pop("host_ms") > 0
    return {k: v for k, v in found.items() if k not in ("host_s", "speed", "pauses")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--exit", 0.141),
        ("--budget", 1.7),
        ("--duty", "20/60", "--align", "--trial", 0),
        ("--engine", "event", "--latency", 25),
    ],
    ids=lambda options: options[0].strip("-"),
)
def test_a_command_that_is_killed_says_what_one_that_was_not_says(
    run: Path, options: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    assert spikefuse(*words(run, tmp_path / "whole", *options)) == 0
    rng, n_killed, done = np.random.default_rng(SEED), 0, False
    at = tmp_path / "at"
    arguments = words(run, tmp_path, *options, "--speed", 2)
    while not done:
        process = in_a_process(arguments)
        wait_for(at, int(rng.integers(1, 12)), process)
        time.sleep(float(rng.uniform(0, 0.03)))
        if n_killed < 4 and process.is_alive():
            os.kill(process.pid, signal.SIGTERM if n_killed == 1 else signal.SIGKILL)
            n_killed += 1
        else:
            process.join(120)
            done = True
        process.join(120)
        assert process.exitcode in (0, -signal.SIGKILL, -signal.SIGTERM)
    print(f"killed {n_killed} times (seed {SEED})")
    assert n_killed > 2
    assert said(tmp_path / "lines.jsonl") == said(tmp_path / "whole" / "lines.jsonl")
    expected = figures(tmp_path / "whole" / "out.json")
    assert figures(tmp_path / "out.json") == expected
    if options[0] != "--engine":  # the policy was neither idle nor all that there was
        assert 0 < expected["modalities"]["audio"]["awake_share"] < 1
    pauses = json.loads((tmp_path / "out.json").read_text())["pauses"]
    assert pauses["n"] == n_killed
    assert len({pause["at_s"] for pause in pauses["last"]}) > 2
    assert [path.name for path in tmp_path.glob(".*")] == []
