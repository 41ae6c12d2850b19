"""Thirty runs at a tiny size, with one worker killed; the same search on a local Ray."""

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from command_line import spikefuse
from tiny_search import SPACE, TINY

from experiments.commands.sweep import print_point
from experiments.config import load_config
from experiments.sweeps.search import Search, begin_search
from experiments.sweeps.space import load_space, parse_space
from experiments.sweeps.workers import work_together

N_RUNS = 30


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def command(tmp_path: Path, trials: int, *more: object) -> list[object]:
    """A search in ``tmp_path/search``; its run directories are ``trial-*`` in there."""
    space = tmp_path / "space.toml"
    space.write_text(SPACE)
    settings = [part for setting in TINY for part in ("--set", setting)]
    out = ["--out", tmp_path / "search"]
    search = ["--search", space, "--trials", trials]
    return ["sweep", "--config", "demo", *settings, *search, *out, *more]


def run_names(n: int) -> list[str]:
    return [f"trial-{i:04d}" for i in range(n)]


def assert_whole(folder: Path, n: int) -> dict:
    """Every point is done, in a run directory of its own, judged on validation alone."""
    summary = json.loads((folder / "sweep.json").read_text())
    assert sorted(p["run"] for p in summary["points"]) == run_names(n)
    for point in summary["points"]:
        assert point["state"] == "done", point
        run = folder / point["run"]
        result = json.loads((run / "result.json").read_text())
        assert point["figures"] == json.loads((run / "validation.json").read_text())
        assert point["figures"]["split"] == "validation"
        assert 0 <= point["figures"]["accuracy"] <= 1
        assert result["models"]["snn"]["params"] > 0
        hidden = point["values"]["model.fusion_hidden"]
        assert f"fusion_hidden = {hidden}" in (run / "config.toml").read_text()
    front = [p["figures"] for p in summary["points"] if p["on_front"]]
    assert front
    keys = ("energy_pj", "latency_ms")
    for one in front:
        for other in (p["figures"] for p in summary["points"]):
            no_worse = other["accuracy"] >= one["accuracy"] and all(
                other[k] <= one[k] for k in keys
            )
            better = other["accuracy"] > one["accuracy"] or any(other[k] < one[k] for k in keys)
            assert not (no_worse and better)
    return summary


@pytest.mark.slow
def test_a_search_of_thirty_runs_survives_a_killed_worker(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="no Optuna: pip install 'spikefuse[sweep]'")
    folder = tmp_path / "search"
    (tmp_path / "space.toml").write_text(SPACE)
    begin_search(folder, load_config("demo", TINY), load_space(tmp_path / "space.toml"))
    context = multiprocessing.get_context("spawn")
    boss = context.Process(target=work_together, args=(folder, N_RUNS, 2, print_point))
    boss.start()
    try:
        killed = kill_one_at_work(folder, boss)
        boss.join(600)
        assert boss.exitcode == 0
    finally:
        if boss.is_alive():
            boss.terminate()
    summary = assert_whole(folder, N_RUNS)
    assert [p["run"] for p in summary["points"] if p["attempt"] == 2] == [killed]
    # The same call finds nothing to do, and says which points no other one beats.
    before = (folder / "journal.log").read_bytes()
    assert spikefuse(*command(tmp_path, N_RUNS, "--json", tmp_path / "out.json")) == 0
    assert (folder / "journal.log").read_bytes() == before
    assert json.loads((tmp_path / "out.json").read_text()) == summary
    assert spikefuse("runs", folder, "--where", "model=snn", "--json", tmp_path / "r.json") == 0
    rows = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert [row["run"] for row in rows] == run_names(N_RUNS)


def kill_one_at_work(folder: Path, boss: multiprocessing.Process) -> str:
    """Kill a worker whose run has begun, once some are done; the name of its run."""
    deadline = time.monotonic() + 300
    search = Search(folder, N_RUNS)  # before: the first one takes as long as a run
    while time.monotonic() < deadline and boss.is_alive():
        time.sleep(0.02)
        begun = sorted(folder.glob("trial-*/config.toml"))
        if len(begun) < 5 or (begun[-1].parent / "result.json").exists():
            continue
        run = begun[-1].parent.name
        worker = search.worker_of(run)
        if worker is not None and not (folder / run / "result.json").exists():
            os.kill(int(worker.rsplit("-", 2)[1]), signal.SIGKILL)
            search.close()
            return run
    raise AssertionError("a worker must be at work, got none")


@pytest.mark.slow
def test_the_same_search_runs_on_a_local_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="no Optuna: pip install 'spikefuse[sweep]'")
    ray = pytest.importorskip("ray", reason="no Ray: pip install 'spikefuse[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    killed: list[int] = []
    killer = threading.Thread(target=kill_one_of_ray, args=(tmp_path / "search", killed))
    killer.start()
    assert spikefuse(*command(tmp_path, 4, "--on", "ray", "--workers", 2)) == 0
    killer.join(60)
    assert len(killed) == 1  # Ray tried its point again, in the same folder
    assert_whole(tmp_path / "search", 4)
    assert not ray.is_initialized()
    # It is the same search: one process at home goes on with it.
    assert spikefuse(*command(tmp_path, 5)) == 0
    assert_whole(tmp_path / "search", 5)


def kill_one_of_ray(folder: Path, killed: list[int]) -> None:
    """Kill the first process of this test's Ray that computes a point."""
    ours = f"SPIKEFUSE_CACHE={folder.parent}/".encode()
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if not list(folder.glob("trial-*/config.toml")):
            continue
        for command_line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                computes = command_line.read_bytes().startswith(b"ray::run_point")
                if computes and ours in command_line.with_name("environ").read_bytes():
                    os.kill(int(command_line.parent.name), signal.SIGKILL)
                    killed.append(int(command_line.parent.name))
                    return
            except OSError:  # it ended while we looked
                continue


def test_ways_that_do_not_go_together_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spikefuse("sweep", "--config", "demo") == 2
    assert "must have --over or --search" in capsys.readouterr().err
    assert spikefuse("sweep", "--over", "data.fold=1", "--search", "x.toml") == 2
    assert spikefuse(*command(tmp_path, 1, "--on", "moon")) == 2
    assert "--on must be local or ray" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert spikefuse(*command(tmp_path, 1)) == 2
    assert "without torchrun" in capsys.readouterr().err


@pytest.mark.parametrize(("library", "extra"), [("optuna", "sweep"), ("ray", "ray")])
def test_without_a_library_one_line_says_how_to_install_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    extra: str,
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: (
            None
            if name == library
            else object()
            if name in ("optuna", "ray")
            else found(name, *rest)
        ),
    )
    assert spikefuse(*command(tmp_path, 1, "--on", "ray")) == 2
    error = capsys.readouterr().err
    assert "is not installed" in error
    assert "pip install" in error
    assert extra in error
    assert not (tmp_path / "search").exists()
    assert parse_space({"space": {"a": [1]}}).axes
