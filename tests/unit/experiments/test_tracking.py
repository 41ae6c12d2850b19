"""TensorBoard: what it reads back, and one clear line where it is not installed."""

import importlib.util
from pathlib import Path

import pytest

from experiments.config import load_config
from experiments.training.tracking import check_tracking, track
from spikefuse.errors import ConfigError

RECORD = {"model": "snn", "seed": 3, "epoch": 1, "val_accuracy": 0.5, "events_per_s": 1e6}


def test_without_it_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_tracking(load_config("demo"))  # not wanted: nothing to say
    with pytest.raises(ConfigError, match=r"pip install 'spikefuse\[track\]'") as caught:
        check_tracking(load_config("demo", ["train.tensorboard=true"]))
    assert "\n" not in str(caught.value)


def test_nothing_is_logged_that_is_not_wanted(tmp_path: Path) -> None:
    track(load_config("demo"), tmp_path, RECORD)
    assert not list(tmp_path.iterdir())


def test_what_is_logged_reads_back_by_epoch(tmp_path: Path) -> None:
    reason = "TensorBoard is not installed: pip install 'spikefuse[track]'"
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason=reason
    )
    config = load_config("demo", ["train.tensorboard=true"])
    for epoch, accuracy in ((1, 0.5), (2, 0.1), (2, 0.75)):  # the second is repeated after a kill
        track(config, tmp_path, {**RECORD, "epoch": epoch, "val_accuracy": accuracy})
    found = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "snn-seed3"))
    found.Reload()
    assert set(found.Tags()["scalars"]) == {"val_accuracy", "events_per_s"}
    assert [(s.step, s.value) for s in found.Scalars("val_accuracy")] == [(1, 0.5), (2, 0.75)]
