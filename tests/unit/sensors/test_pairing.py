"""Pairing by label, manifest, splits; the recordings cache; the embedded default."""

import json
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sensors.speech
from sensors.cache import cached_recordings
from sensors.digits import DigitsParams, build_vision, load_digits, saccade_path
from sensors.paired import (
    ClockPolicy,
    assemble,
    build_manifest,
    check_disjoint,
    on_clock,
    pair_by_label,
)
from sensors.recordings import Recording
from sensors.speech import add_noise, random_voice, synthesise
from sensors.tonic_source import load_nmnist
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream


def recording(label: int, number: int, modality: str, t_us: int = 5) -> Recording:
    events = np.zeros(1, EVENT_DTYPE)
    events["t"], events["p"] = t_us, True
    stream = EventStream(events, (4, 1, 1), 100_000, modality)
    name = f"{modality}-{label}-{number}"
    return Recording(stream, label, name, name)


def parts(n_vision: int = 3, n_audio: int = 7) -> dict[str, list[Recording]]:
    return {
        "vision": [recording(c, i, "vision") for c in range(3) for i in range(n_vision)],
        "audio": [recording(c, i, "audio") for c in range(3) for i in range(n_audio)],
    }


def test_exhaustive_pairs_use_everything_and_repeat_the_scarcer_evenly() -> None:
    recordings = parts()
    pairs = pair_by_label(recordings, np.random.default_rng(0), exhaustive=True)
    assert len(pairs) == 21
    assert {a for _, a in pairs} == set(range(21))
    uses = Counter(v for v, _ in pairs)
    assert set(uses.values()) == {2, 3}
    for v, a in pairs:
        assert recordings["vision"][v].label == recordings["audio"][a].label


def test_training_pairs_use_each_first_recording_once_and_change() -> None:
    recordings = parts()
    draws = [
        pair_by_label(recordings, np.random.default_rng(seed), exhaustive=False)
        for seed in (0, 0, 1)
    ]
    assert sorted(v for v, _ in draws[0]) == list(range(9))
    assert draws[0] == draws[1] != draws[2]


def test_labels_must_agree_and_meet() -> None:
    recordings = parts()
    with pytest.raises(DataError, match="must have one label, got vision vision-0-0: 0, audio"):
        assemble(recordings, (0, 20), ClockPolicy())
    alone = {"vision": recordings["vision"], "audio": [recording(9, 0, "audio")]}
    with pytest.raises(DataError, match="must share at least one label"):
        pair_by_label(alone, np.random.default_rng(0), exhaustive=True)


def test_the_clock_shifts_one_modality_and_cuts_the_end() -> None:
    stream = recording(0, 0, "audio", t_us=90_000).stream
    late = on_clock(stream, "audio", ClockPolicy(200.0, 50.0))
    assert late.events["t"].tolist() == [140_000]
    assert late.duration_us == 200_000
    early = on_clock(stream, "audio", ClockPolicy(200.0, -50.0))
    assert early.events["t"].tolist() == [90_000]
    vision = on_clock(replace(stream, modality="vision"), "vision", ClockPolicy(200.0, -50.0))
    assert vision.events["t"].tolist() == [140_000]
    assert len(on_clock(stream, "audio", ClockPolicy(80.0))) == 0


def test_the_manifest_counts_reuse_cuts_and_hashes_itself() -> None:
    recordings = parts()
    pairs = pair_by_label(recordings, np.random.default_rng(0), exhaustive=True)
    manifest = build_manifest({"test": recordings}, {"test": pairs}, ClockPolicy(0.001), 0)
    assert manifest["reuse"]["test"]["vision"] == {
        "recordings": 9,
        "reused": 9,
        "most_uses": 3,
    }
    assert manifest["reuse"]["test"]["audio"]["reused"] == 0
    assert manifest["cut_events"]["test"] == {"vision": 9, "audio": 21}
    assert len(manifest["pairs"]["test"]) == 21
    again = build_manifest({"test": recordings}, {"test": pairs}, ClockPolicy(0.001), 0)
    other = build_manifest({"test": recordings}, {"test": pairs[::-1]}, ClockPolicy(0.001), 0)
    assert manifest["sha256"] == again["sha256"] != other["sha256"]
    json.dumps(manifest)


def test_a_group_in_two_splits_is_refused() -> None:
    recordings = parts()
    with pytest.raises(DataError, match="vision groups must not be shared between train and test"):
        check_disjoint({"train": recordings, "test": recordings})


def test_the_cache_returns_what_was_built_and_survives_damage(tmp_path: Path) -> None:
    built = []

    def build() -> list[Recording]:
        built.append(1)
        return parts()["vision"]

    first, hit = cached_recordings({"a": 1}, build, [sensors.speech], tmp_path)
    again, second_hit = cached_recordings({"a": 1}, build, [sensors.speech], tmp_path)
    assert (hit, second_hit, len(built)) == (False, True, 1)
    assert [(r.source, r.label, r.group, r.split) for r in first] == [
        (r.source, r.label, r.group, r.split) for r in again
    ]
    np.testing.assert_array_equal(first[0].stream.events, again[0].stream.events)
    assert not cached_recordings({"a": 2}, build, [sensors.speech], tmp_path)[1]
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    with pytest.warns(UserWarning, match="is damaged"):
        assert len(cached_recordings({"a": 1}, build, [sensors.speech], tmp_path)[0]) == 9
    assert not list(tmp_path.glob(".*"))


def test_utterances_are_seeded_and_differ() -> None:
    voice = random_voice("v", np.random.default_rng(1))
    waves = [synthesise(3, voice, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert np.array_equal(waves[0], waves[1])
    assert not np.array_equal(waves[0], waves[2][: len(waves[0])])
    for digit in range(10):
        wave = synthesise(digit, voice, np.random.default_rng(digit))
        assert 0.12 < len(wave) / 8000 < 1.0
        assert np.abs(wave).max() == pytest.approx(0.9, abs=1e-4)
    with pytest.raises(ValueError, match="digit must be 0 to 9, got 10"):
        synthesise(10, voice, np.random.default_rng(0))


def test_noise_has_the_stated_ratio() -> None:
    wave = np.sin(np.arange(40_000) / 5).astype(np.float32)
    noise = add_noise(wave, 6.0, np.random.default_rng(0)) - wave
    ratio_db = 10 * np.log10(np.mean(wave**2) / np.mean(noise**2))
    assert ratio_db == pytest.approx(6.0, abs=0.1)


SMALL = DigitsParams(n_train=20, n_validation=10, n_test=10, voices=2)


def test_the_embedded_default_is_deterministic_and_cached(tmp_path: Path) -> None:
    (vision, audio), hit = load_digits(SMALL, tmp_path)
    (again, _), second_hit = load_digits(SMALL, tmp_path)
    assert (hit, second_hit) == (False, True)
    assert len(vision) == len(audio) == 40
    for a, b in zip(vision, again, strict=True):
        np.testing.assert_array_equal(a.stream.events, b.stream.events)
    by_split = {s: {r.group for r in audio if r.split == s} for s in ("train", "test")}
    assert not by_split["train"] & by_split["test"]
    fresh = build_vision(SMALL)
    np.testing.assert_array_equal(fresh[0].stream.events, vision[0].stream.events)


def test_the_saccades_return_to_their_start() -> None:
    path, times_us = saccade_path()
    np.testing.assert_allclose(path[0], path[-1], atol=1e-9)
    assert times_us[-1] == pytest.approx(304_000, abs=4000)


@pytest.mark.realdata
def test_simulated_events_resemble_the_real_recordings(data_root: Path) -> None:
    clean = replace(SMALL, n_train=200, event_drop=0.0, background_hz=0.0)
    ours, real = build_vision(clean), load_nmnist(data_root)

    def figures(items: list[Recording]) -> tuple[float, float, np.ndarray]:
        counts = [len(r.stream) for r in items]
        on = np.mean([r.stream.events["p"].mean() for r in items])
        edges = [0, 100_000, 200_000, 400_000]
        share = [np.histogram(r.stream.events["t"], edges)[0] / len(r.stream) for r in items]
        return float(np.mean(counts)), float(on), np.mean(share, axis=0)

    (n, on, share), (n_real, on_real, share_real) = figures(ours), figures(real)
    assert n == pytest.approx(n_real, rel=0.25)
    assert on == pytest.approx(on_real, abs=0.05)
    np.testing.assert_allclose(share, share_real, atol=0.1)


def test_too_many_pictures_are_refused() -> None:
    with warnings.catch_warnings(), pytest.raises(ValueError, match="at most 1797, got 1820"):
        build_vision(replace(SMALL, n_train=1800))
