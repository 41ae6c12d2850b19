"""``kill -9`` at random moments: nothing unreadable, at most an epoch lost, the same metrics."""

import csv
import json
import multiprocessing
import os
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_run import run
from safetensors.torch import load_file

from experiments.training.checkpoints import CheckpointFolder

N_KILLS = 20
SEED = 20261128


def read_all(folder: Path) -> int:
    """Read every file that a run claims to have written; how many there are."""
    found = 0
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder).parts
        if path.is_dir() or any(part.startswith(".") for part in inner):
            continue  # drafts have no names yet
        found += 1
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            [json.loads(line) for line in path.read_text().splitlines() if line]
        elif path.suffix == ".toml":
            tomllib.loads(path.read_text())
        elif path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                [arrays[name] for name in arrays.files]
        elif path.suffix == ".csv":
            assert list(csv.reader(path.read_text().splitlines()))
        else:
            raise AssertionError(f"nobody knows how to read {path}")
    return found


def epochs_done(folder: Path) -> int:
    """Whole epochs of all models; folders may vanish while they are looked at."""
    total = 0
    for checkpoints in folder.glob("checkpoints/*"):
        for _ in range(50):
            try:
                total += CheckpointFolder(checkpoints).load_progress().epoch
                break
            except FileNotFoundError:
                continue
    return total


@pytest.mark.slow
def test_killed_at_random_moments_a_run_loses_no_more_than_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SPIKEFUSE_CACHE", str(tmp_path / "cache"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run", "analysis.comparison"])
    whole = tmp_path / "whole"
    process = context.Process(target=run, args=(str(whole),))
    process.start()
    process.join(600)
    assert process.exitcode == 0

    rng = np.random.default_rng(SEED)
    kills, after_s, folders = 0, [], [tmp_path / "cut-1"]
    while kills < N_KILLS:
        cut = folders[-1]
        process = context.Process(target=run, args=(str(cut),))
        before = epochs_done(cut)
        process.start()
        started = time.monotonic()
        # Two epochs at most pass before the knife comes out, so that 20 kills meet training.
        wanted = before + int(rng.integers(0, 3))
        while epochs_done(cut) < wanted and process.is_alive() and time.monotonic() < started + 120:
            time.sleep(0.001)
        time.sleep(float(rng.uniform(0.0, 0.15)))
        seen = epochs_done(cut)
        if not process.is_alive():  # a fast machine is done before the knife: on with a new run
            process.join()
            assert process.exitcode == 0
            folders.append(tmp_path / f"cut-{len(folders) + 1}")
            continue
        process.kill()
        process.join()
        kills += 1
        after_s.append(round(time.monotonic() - started, 2))
        assert epochs_done(cut) >= seen, f"kill {kills} lost a whole epoch (seed {SEED})"
        if cut.exists():
            read_all(cut)
    print(f"seed {SEED}: {len(folders)} runs killed after {after_s} s")
    assert epochs_done(folders[0]) > 0
    process = context.Process(target=run, args=(str(folders[-1]),))
    process.start()
    process.join(600)
    assert process.exitcode == 0
    for cut in folders:
        assert_same_run(cut, whole)


def assert_same_run(cut: Path, whole: Path) -> None:
    """A run that was killed and resumed holds what the uninterrupted one holds, byte for byte."""
    assert read_all(cut) == read_all(whole)
    assert not [p for p in cut.rglob("*") if p.name.startswith(".")]
    for name in ("metrics.jsonl", "predictions.csv", "config.toml", "manifest.json"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    for path in whole.rglob("*.safetensors"):
        assert (cut / path.relative_to(whole)).read_bytes() == path.read_bytes(), path
    results = [json.loads((f / "result.json").read_text())["models"] for f in (whole, cut)]
    for model, expected in results[0].items():
        assert results[1][model]["accuracy_by_seed"] == expected["accuracy_by_seed"]
        assert results[1][model]["counts"] == expected["counts"]


def test_a_file_left_by_a_process_of_before_is_removed(tmp_path: Path) -> None:
    from experiments.files import remove_leftovers

    old, new, other = (tmp_path / n for n in (".a.json.x1y2z3_4", ".b.json.x1y2z3_5", ".gitignore"))
    for path in (old, new, other):
        path.write_text("half")
    for path in (old, other):
        os.utime(path, (1.0, 1.0))
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == [new, other]
