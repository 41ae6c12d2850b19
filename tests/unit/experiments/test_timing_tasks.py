"""Tasks of the timing study: their scenes, splits and fractions of the ideal d'."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import norm

from experiments.studies.timing.tasks import TASKS, TimingTask


def test_s1_tasks_hold_one_offset_each() -> None:
    assert TimingTask("s1_16").scene.conditions == (16.0,)


def test_every_task_has_a_scene_of_two_modalities() -> None:
    for name in TASKS:
        assert set(TimingTask(name).scene.modalities) == {"vision", "audio"}


def test_training_samples_are_those_of_the_scene() -> None:
    task = TimingTask("s2")
    events, labels = task.training(seed=3, step=2, n=5)
    expected = task.scene.batch(1003, range(10, 15))
    assert torch.equal(labels, expected.labels)
    for name, trains in expected.spikes.items():
        assert torch.equal(events[name].to_dense(), trains)


def test_training_and_held_out_samples_differ() -> None:
    task = TimingTask("s2")
    events, _ = task.training(seed=0, step=0, n=8)
    for seed in (71, 72):
        (held, _), *_ = task.held_out(seed, 8).chunks
        assert not torch.equal(events["audio"].to_dense(), held["audio"].to_dense())


def test_chunks_hold_the_first_samples_and_their_observers_accuracy() -> None:
    task = TimingTask("xor")
    held = task.held_out(5, 260)
    assert held.n == 260
    assert len(held.chunks) == 2
    whole = task.scene.batch(5, range(260))
    assert torch.equal(torch.cat([labels for _, labels in held.chunks]), whole.labels)
    assert held.ideal == float((whole.ideal.argmax(1) == whole.labels).float().mean())
    assert held.additive == 0.5  # it can only tie


def test_sensitivity_is_twice_the_quantile_and_finite_for_a_perfect_score() -> None:
    task = TimingTask("s1_8")
    assert task.sensitivity(0.9, 1000) == pytest.approx(2 * norm.ppf(0.9))
    assert task.sensitivity(1.0, 1000) == pytest.approx(2 * norm.ppf(0.9995))
    # Chance of one in three.
    assert TimingTask("s2").sensitivity(1 / 3, 1000) == pytest.approx(0, abs=1e-6)


def test_unknown_task_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"name must be one of .* got 's9'"):
        TimingTask("s9")
