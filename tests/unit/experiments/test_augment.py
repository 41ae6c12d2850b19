"""Augmentation: its unchecked result is a valid stream, and each change does what it says."""

import numpy as np
import pytest

from experiments.config import AugmentConfig
from experiments.loading.augment import augment
from spikefuse.events import EventStream

NONE = AugmentConfig(shift_px=0, time_stretch=0.0, channel_shift=0, event_drop=0.0)


@pytest.mark.parametrize("sensor_size", [(34, 34, 2), (64, 1, 1), (3, 2, 1)])
def test_the_result_passes_every_check_of_a_stream(make_stream, sensor_size) -> None:
    strong = AugmentConfig(shift_px=5, time_stretch=0.5, channel_shift=20, event_drop=0.3)
    for seed in range(20):
        stream = make_stream(500, sensor_size)
        got = augment(stream, strong, np.random.default_rng(seed))
        checked = EventStream(got.events.copy(), sensor_size, got.duration_us, got.modality)
        assert len(checked) == len(got) <= len(stream)
        assert not got.events.flags.writeable


def test_nothing_asked_changes_nothing(make_stream, rng) -> None:
    stream = make_stream(300)
    assert np.array_equal(augment(stream, NONE, rng).events, stream.events)


def test_shifts_move_every_event_alike_and_lose_those_beyond_the_sensor(make_stream) -> None:
    stream = make_stream(400, (8, 6, 2))
    moved = augment(stream, AugmentConfig(3, 0.0, 0, 0.0), np.random.default_rng(3))
    shifts = [
        (dx, dy)
        for dx in range(-3, 4)
        for dy in range(-3, 4)
        if np.array_equal(_shifted(stream.events, dx, dy), moved.events)
    ]
    assert len(shifts) == 1
    assert shifts != [(0, 0)]


def test_audio_moves_along_its_channels_only(make_stream) -> None:
    stream = make_stream(400, (16, 1, 1), modality="audio")
    moved = augment(stream, AugmentConfig(9, 0.0, 2, 0.0), np.random.default_rng(1))
    assert set(moved.events["y"].tolist()) == {0}
    assert len(moved) > 300


def test_the_dropped_share_has_the_stated_mean(make_stream) -> None:
    stream = make_stream(500)
    config = AugmentConfig(0, 0.0, 0, 0.2)
    kept = [len(augment(stream, config, np.random.default_rng(i))) / 500 for i in range(300)]
    assert np.mean(kept) == pytest.approx(0.8, abs=0.03)
    assert np.std(kept) > 0.08  # the share itself varies, from 0 to twice its mean


def _shifted(events, dx: int, dy: int):
    """Events moved by hand, those that leave an 8x6 sensor lost."""
    out = [
        (t, x + dx, y + dy, p)
        for t, x, y, p in events.tolist()
        if 0 <= x + dx < 8 and 0 <= y + dy < 6
    ]
    return np.array(out, events.dtype)
