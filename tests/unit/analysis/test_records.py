"""Run directories: what is read, and what is said of a damaged one."""

import json

import numpy as np
import pytest

from analysis.records import discover_runs, load_run
from spikefuse.errors import ConfigError, DataError


def test_a_run_is_read_whole(result, write) -> None:
    run = load_run(write(result))
    assert run.result == result
    assert [line["epoch"] for line in run.metrics] == [1, 2]
    assert run.config["cost"]["reuse"] == "ideal"
    assert run.raster is not None
    assert run.raster["output"].shape == (4, 3)
    assert run.predictions is not None
    of_snn = run.predictions["model"] == "snn"
    assert np.count_nonzero(of_snn) == 40
    right = run.predictions["label"] == run.predictions["prediction"]
    assert right[of_snn].mean() == pytest.approx(0.9)


def test_only_the_result_must_be_there(result, write) -> None:
    folder = write(result)
    for name in ("raster.npz", "metrics.jsonl", "predictions.csv", "config.toml"):
        (folder / name).unlink()
    run = load_run(folder)
    assert (run.raster, run.metrics, run.predictions, run.config) == (None, [], None, {})


def test_a_folder_without_a_result_is_no_run(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"finished run directory with result\.json"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON"),
        ("[]", "must be of schema 1, got 'list'"),
        ('{"schema": 2}', "must be of schema 1, got 2"),
        ('{"schema": 1, "name": "x"}', "got none of"),
    ],
)
def test_a_damaged_result_is_named(result, write, text, message) -> None:
    folder = write(result)
    (folder / "result.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load_run(folder)


@pytest.mark.parametrize("name", ["raster.npz", "metrics.jsonl", "predictions.csv", "config.toml"])
def test_a_damaged_file_is_named(result, write, name) -> None:
    folder = write(result)
    (folder / name).write_text("{ this is none of it")
    with pytest.raises(DataError, match=name):
        load_run(folder)


def test_a_cut_raster_is_named(result, write) -> None:
    folder = write(result)
    content = (folder / "raster.npz").read_bytes()
    (folder / "raster.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"raster\.npz"):
        load_run(folder)


def test_runs_are_found_in_order(tmp_path) -> None:
    for name in ("b", "a/deep", "c"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("b", "a/deep"):
        (tmp_path / name / "result.json").write_text(json.dumps({}))
    assert discover_runs(tmp_path) == [tmp_path / "a" / "deep", tmp_path / "b"]
    with pytest.raises(ConfigError, match="root must be a directory"):
        discover_runs(tmp_path / "none")
