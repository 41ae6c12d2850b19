"""A sweep: every point a run, interrupted sweeps go on, mistakes are found before anything runs."""

import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
from command_line import spikefuse

from experiments.config import load_config
from experiments.sweeps.grid import describe_point, parse_axis, plan_sweep
from experiments.sweeps.grid_workers import run_apart
from spikefuse.errors import ConfigError

TINY = [
    "data.digits.n_train=40",
    "data.digits.n_validation=20",
    "data.digits.n_test=20",
    "model.vision.convs=[]",
    "model.vision.hidden=8",
    "model.audio.hidden=8",
    "model.fusion_hidden=8",
    "data.dt_ms=50.0",
    "train.epochs=1",
    "train.threads=1",
    "cost.latency_repeats=3",
    "models=snn,snn_vision,snn_audio",
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SPIKEFUSE_CACHE", str(tmp_path / "cache"))


def command(folder: Path, values: str = "0.5,0.9") -> list[object]:
    settings = [part for setting in TINY for part in ("--set", setting)]
    over = f"data.digits.event_drop={values}"
    return ["sweep", "--config", "demo", *settings, "--over", over, "--out", folder]


def test_every_point_is_a_run_and_the_figure_shows_them(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    assert spikefuse(*command(folder), "--json", tmp_path / "out.json") == 0
    summary = json.loads((folder / "sweep.json").read_text())
    assert summary == json.loads((tmp_path / "out.json").read_text())
    assert [p["values"]["data.digits.event_drop"] for p in summary["points"]] == [0.5, 0.9]
    for point in summary["points"]:
        result = json.loads((folder / point["run"] / "result.json").read_text())
        assert point["accuracy_by_seed"]["snn"] == result["models"]["snn"]["accuracy_by_seed"]
        assert (
            f"event_drop = {point['values']['data.digits.event_drop']}"
            in (folder / point["run"] / "config.toml").read_text()
        )
    assert (folder / "sweep.png").stat().st_size > 5000
    header, *lines = (folder / "sweep.csv").read_text().splitlines()
    assert header == "model,data.digits.event_drop,seed,accuracy"
    assert len(lines) == 2 * 3

    # Gone on with: the finished point is read, only the new one runs.
    before = (folder / "event_drop=0.5" / "result.json").stat().st_mtime_ns
    assert spikefuse(*command(folder, "0.5,0.7")) == 0
    assert (folder / "event_drop=0.5" / "result.json").stat().st_mtime_ns == before
    assert (folder / "event_drop=0.7" / "result.json").is_file()


def test_several_points_at_a_time_give_the_same_and_failures_stop_none(tmp_path: Path) -> None:
    def accuracies(folder: Path) -> list[object]:
        summary = json.loads((folder / "sweep.json").read_text())
        return [point["accuracy_by_seed"] for point in summary["points"]]

    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder, workers in ((alone, 1), (together, 2)):
        # With the first rate training does not stay finite.
        call = [*command(folder, "0.5"), "--over", "train.learning_rate=1e30,0.002"]
        assert spikefuse(*call, "--workers", workers) == 1
        summary = json.loads((folder / "sweep.json").read_text())
        assert list(summary["failed"]) == ["event_drop=0.5,learning_rate=1e30"]
    assert accuracies(alone) == accuracies(together)
    assert len(accuracies(alone)) == 1


def test_a_killed_process_has_its_point_tried_again(tmp_path: Path) -> None:
    config = load_config("demo", TINY)
    told: list[str] = []
    killed: list[int | None] = []

    def kill_the_first() -> None:
        while not multiprocessing.active_children():
            time.sleep(0.01)
        child = multiprocessing.active_children()[0]
        killed.append(child.pid)
        child.kill()

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    run_apart({"a": config}, tmp_path, 2, told.append)
    killer.join()
    assert killed
    assert told == ["a: killed", "a: done"]
    assert (tmp_path / "a" / "result.json").is_file()


def test_options_of_a_search_and_of_a_grid_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spikefuse(*command(tmp_path / "sweep"), "--on", "ray") == 2
    assert "--search" in capsys.readouterr().err
    assert spikefuse("sweep", "--search", tmp_path / "space.toml", "--rotate-seeds", 2) == 2
    assert "--rotate-seeds" in capsys.readouterr().err


def test_a_grid_is_every_combination() -> None:
    axes = [parse_axis("data.fold=0,1"), parse_axis("data.test_speaker=ann, bob")]
    points = plan_sweep("nmnist_fsdd", [], axes)
    assert list(points) == [
        "fold=0,test_speaker=ann",
        "fold=0,test_speaker=bob",
        "fold=1,test_speaker=ann",
        "fold=1,test_speaker=bob",
    ]
    assert points["fold=1,test_speaker=ann"][1].data.test_speaker == "ann"


def test_rotated_seeds_meet_every_value_of_the_other_axis() -> None:
    axes = [parse_axis("data.fold=0,1,2,3,4"), parse_axis("data.test_speaker=a,b,c,d")]
    points = plan_sweep("nmnist_fsdd", [], axes, rotate_seeds=5)
    met = {(c.seeds, c.data.test_speaker) for _, c in points.values()}
    assert met == {((seed,), speaker) for seed in range(5) for speaker in "abcd"}


@pytest.mark.parametrize("text", ["data.fold", "=1,2", "data.fold=", "data.fold=1,1"])
def test_a_bad_axis_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--over must be key=value"):
        parse_axis(text)


def test_an_unknown_key_or_value_is_found_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nearest valid key"):
        plan_sweep("demo", [], [parse_axis("data.snr=1,2")])
    assert spikefuse(*command(tmp_path / "sweep", "0.5,7")) == 2
    assert not (tmp_path / "sweep").exists()


def test_the_gain_is_over_the_better_modality_of_the_same_seed() -> None:
    accuracies = {"snn": [0.9, 0.8], "snn_vision": [0.7, 0.85], "snn_audio": [0.8, 0.6]}
    result = {
        "models": {name: {"accuracy_by_seed": values} for name, values in accuracies.items()},
        "data": {"synthetic_speech": True, "n_test": 20},
    }
    assert describe_point("x", {}, result)["gain_by_seed"] == pytest.approx([0.1, -0.05])
