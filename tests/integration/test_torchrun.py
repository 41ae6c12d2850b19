"""Two real processes train as one does, and the death of one ends both with a line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

TINY = [
    "data.digits.n_train=40",
    "data.digits.n_validation=20",
    "data.digits.n_test=20",
    "model.vision.convs=[]",
    "model.vision.hidden=10",
    "model.audio.hidden=10",
    "model.fusion_hidden=10",
    "data.dt_ms=40.0",
    "models=snn,dense",
    "train.epochs=2",
    "train.dense_epochs=2",
    "train.batch_size=13",  # parts of unequal size, and a last batch of one sample
    "train.modality_dropout=0.3",
    "train.aware_epochs=1",
    "train.threads=1",
    "cost.latency_repeats=3",
    "cost.profiles=horowitz_45nm_fp32",
]
# torchrun finds a free port itself.
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def start(launcher: list[str], folder: Path, *more: str) -> subprocess.Popen[str]:
    settings = [part for value in [*TINY, *more] for part in ("--set", value)]
    command = ["-m", "experiments", "train", "--config", "demo", *settings, "--out", str(folder)]
    if launcher:
        command = [*launcher, *command]
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEFUSE_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_two_processes_are_one_within_rounding(tmp_path: Path) -> None:
    for name, launcher in (("one", []), ("two", TORCHRUN)):
        process = start(launcher, tmp_path / name)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    one, two = tmp_path / "one", tmp_path / "two"
    found = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert found == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    weights = [p for p in found if p.name == "weights.safetensors"]
    assert len(weights) == 4  # two models, and each at 8 bits
    for path in weights:
        theirs = load_file(two / path)
        for name, tensor in load_file(one / path).items():
            # Adam divides a gradient by its own size: where that is near 0, rounding shows.
            apart = (theirs[name] - tensor).double().abs()
            assert apart.max() < 1e-3, (path, name)
            assert (apart > 1e-4).double().mean() < 1e-3, (path, name)
    lines = [(f / "metrics.jsonl").read_text().splitlines() for f in (one, two)]
    assert len(lines[0]) == 4
    for ours, theirs in zip(*(map(json.loads, x) for x in lines), strict=True):
        assert ours.pop("model") == theirs.pop("model")
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    processes = [json.loads((f / "env.json").read_text())["processes"] for f in (one, two)]
    assert processes == [1, 2]


@pytest.mark.slow
def test_the_death_of_one_process_ends_both_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(TORCHRUN, folder, "models=snn", "train.epochs=300")
    deadline = time.monotonic() + 120
    while not list(folder.glob("checkpoints/*/epoch-*")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    os.kill(last_worker(process.pid), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "error: process 0 of 2 ends because another one did" in output
    assert "train --resume RUN goes on" in output
    # What it saved is whole: one process alone reads it, and it had not ended.
    from experiments.training.checkpoints import CheckpointFolder

    assert 1 <= CheckpointFolder(folder / "checkpoints" / "snn-seed0").load_progress().epoch < 300
    assert not (folder / "result.json").exists()


def last_worker(launcher: int) -> int:
    """Process of the highest rank below a launcher."""
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            parent = environ.with_name("stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == launcher and b"\0RANK=1\0" in b"\0" + environ.read_bytes():
                return int(environ.parent.name)
        except OSError:  # it ended while we looked
            continue
    raise AssertionError(f"{launcher} must have a worker of rank 1, got none")
