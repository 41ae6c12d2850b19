"""The embedded default: splits, seeds, the camera's path, and event statistics like N-MNIST's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensors.digits import (
    DigitsParams,
    build_audio,
    build_vision,
    load_digits,
    saccade_films,
    saccade_path,
)

SMALL = DigitsParams(n_train=20, n_validation=10, n_test=10, voices=2)
TINY = replace(SMALL, n_train=3, n_validation=1, n_test=1)
CLEAN = replace(SMALL, n_train=40, event_drop=0.0, background_hz=0.0)


def test_sizes_groups_and_splits() -> None:
    vision, audio = build_vision(SMALL), build_audio(SMALL)
    for recordings, modality in ((vision, "vision"), (audio, "audio")):
        splits = [r.split for r in recordings]
        assert [splits.count(s) for s in ("train", "validation", "test")] == [20, 10, 10]
        assert {r.stream.modality for r in recordings} == {modality}
        assert len({r.source for r in recordings}) == 40
        groups = {s: {r.group for r in recordings if r.split == s} for s in set(splits)}
        assert not groups["train"] & groups["validation"]
        assert not groups["train"] & groups["test"]
        assert not groups["validation"] & groups["test"]
    assert vision[0].stream.sensor_size == (34, 34, 2)
    assert audio[0].stream.sensor_size == (64, 1, 1)
    assert [r.label for r in audio[:10]] == list(range(10))


def test_labels_are_those_of_the_pictures() -> None:
    from sklearn.datasets import load_digits as load_pictures

    target = load_pictures().target
    for recording in build_vision(SMALL):
        assert recording.label == target[int(recording.source.removeprefix("picture-"))]


def test_the_seed_decides_everything() -> None:
    for build in (build_vision, build_audio):
        one, same, other = (build(replace(TINY, seed=seed)) for seed in (3, 3, 4))
        assert all(
            np.array_equal(a.stream.events, b.stream.events) for a, b in zip(one, same, strict=True)
        )
        assert not np.array_equal(one[0].stream.events, other[0].stream.events)


def test_the_path_is_a_closed_triangle_of_three_sides() -> None:
    path, times_us = saccade_path()
    assert times_us[-1] == 304_000
    np.testing.assert_allclose(path[0], path[-1], atol=1e-12)
    speed = np.linalg.norm(np.diff(path, axis=0), axis=1)
    resting = speed < 1e-9
    # 20 of every 100 ms at rest: the last five steps of each side.
    for side in range(3):
        assert resting[25 * side + 20 : 25 * side + 25].all()
        assert not resting[25 * side : 25 * side + 20].any()


def test_a_film_without_jitter_starts_centred() -> None:
    picture = np.zeros((1, 8, 8))
    picture[0, 3:5, 3:5] = 16
    films, _ = saccade_films(picture, 0.0, np.random.default_rng(0))
    rows = films[0, 0].sum(axis=1)
    columns = films[0, 0].sum(axis=0)
    assert (rows * np.arange(34)).sum() / rows.sum() == pytest.approx(16.5, abs=0.05)
    assert (columns * np.arange(34)).sum() / columns.sum() == pytest.approx(16.5, abs=0.05)


def test_dropped_and_background_events_have_their_share() -> None:
    clean = sum(len(r.stream) for r in build_vision(CLEAN))
    worn = sum(len(r.stream) for r in build_vision(replace(CLEAN, event_drop=0.7)))
    assert worn / clean == pytest.approx(0.3, rel=0.03)
    noisy = sum(len(r.stream) for r in build_vision(replace(CLEAN, background_hz=2.0)))
    expected = 2.0 * 34 * 34 * 0.304 * 60
    assert noisy - clean == pytest.approx(expected, rel=0.03)


def test_spoken_digits_have_a_sensible_number_of_spikes() -> None:
    counts = [len(r.stream) for r in build_audio(SMALL)]
    assert 1500 < np.mean(counts) < 4500


def test_the_second_load_comes_from_the_cache(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    (vision, audio), hit = load_digits(TINY, tmp_path, lambda done, all_: seen.append((done, all_)))
    assert not hit
    assert seen
    assert max(done for done, _ in seen) <= 10
    (again, heard), hit = load_digits(TINY, tmp_path)
    assert hit
    assert (len(again), len(heard)) == (len(vision), len(audio)) == (5, 5)
    np.testing.assert_array_equal(again[4].stream.events, vision[4].stream.events)
    assert not load_digits(replace(TINY, snr_db=0.0), tmp_path)[1]


def test_no_more_pictures_than_there_are() -> None:
    with pytest.raises(ValueError, match="must be at most 1797, got 1820"):
        build_vision(replace(SMALL, n_train=1800))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_test": -1}, "n_test must be >= 0, got -1"),
        ({"voices": 0}, "voices must be >= 1, got 0"),
        ({"event_drop": 1.2}, r"event_drop must lie in \[0, 1\], got 1.2"),
        ({"position_jitter_px": 13.0}, r"position_jitter_px must lie in \[0, 12\], got 13.0"),
        ({"background_hz": float("nan")}, "background_hz must be >= 0, got nan"),
        ({"snr_db": float("nan")}, "snr_db must be a number, got nan"),
    ],
)
def test_impossible_parameters_are_named(changes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_the_largest_jitter_still_fits() -> None:
    assert len(build_vision(replace(TINY, n_train=30, position_jitter_px=12.0))) == 32


@pytest.mark.realdata
def test_clean_recordings_are_like_real_nmnist(data_root: Path) -> None:
    # Event drop and background are added on purpose, so the pixel model is compared without them.
    synthetic = [r.stream.events for r in build_vision(CLEAN)]
    real = []
    for path in sorted((data_root / "NMNIST" / "Train").glob("*/*.bin")):
        raw = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
        time_us = ((raw[:, 2] & 127) << 16) | (raw[:, 3] << 8) | raw[:, 4]
        real.append({"t": time_us, "p": raw[:, 2] >> 7})
    assert len(real) >= 100

    def statistics(recordings) -> tuple[float, float, np.ndarray]:
        times = np.concatenate([r["t"] for r in recordings])
        on_share = float(np.concatenate([r["p"] for r in recordings]).mean())
        thirds = np.histogram(times, [0, 100_000, 200_000, 400_000])[0] / len(times)
        return len(times) / len(recordings), on_share, thirds

    (count, on_share, thirds), (real_count, real_on, real_thirds) = map(
        statistics, (synthetic, real)
    )
    assert count == pytest.approx(real_count, rel=0.25)
    assert on_share == pytest.approx(real_on, abs=0.05)
    np.testing.assert_allclose(thirds, real_thirds, atol=0.1)
