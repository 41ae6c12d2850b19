"""pair(): any number of modalities, by label, by assignment, by source; splits and manifest."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sensors.audio_source import load_spoken_digits
from sensors.clock import ClockPolicy, ModalityClock
from sensors.cochlea import CochleaParams
from sensors.data_sets import DIGITS, open_set
from sensors.paired import build_manifest, check_disjoint, pair_by_label
from sensors.pairing import Pairing, assign, pair
from sensors.recorded import Entry, RecordedSet
from sensors.recordings import Recording
from sensors.sound_set import open_lip_audio
from spikefuse._types import StructuredArray
from spikefuse.errors import DataError
from spikefuse.events import EVENT_DTYPE, EventStream


class OneEvent:
    """One event, ``position`` milliseconds in; counts what it reads."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __call__(self, position: int) -> tuple[StructuredArray, int | None]:
        self.read.append(position)
        return np.array([(position * 1000, 0)], [("t", int), ("x", int)]), 100_000


def recorded(
    name: str,
    labels: list[int],
    modality: str,
    space: str = "digits",
    classes: tuple[str, ...] = DIGITS,
    groups: list[str] | None = None,
) -> RecordedSet:
    names = groups or [f"{name}{i}" for i in range(len(labels))]
    entries = tuple(
        Entry(label, f"{name}/{i}", group, "train", i)
        for i, (label, group) in enumerate(zip(labels, names, strict=True))
    )
    size = (4, 1, 1)
    return RecordedSet(name, "train", modality, size, space, classes, entries, OneEvent())


def test_three_modalities_by_label_without_reading_events() -> None:
    sets = {
        "vision": recorded("NMNIST", [0, 1, 1, 2], "vision"),
        "audio": recorded("SHD", [1, 0, 1, 0, 1, 7], "audio"),
        "touch": recorded("touch", [0, 1], "touch"),
    }
    pairs = pair(sets, clock=ClockPolicy(50.0), seed=1)
    assert all(not items.reader.read for items in sets.values())  # type: ignore[attr-defined]
    assert len(pairs) == 5
    assert Counter(pairs.labels) == {0: 2, 1: 3}
    for index, (v, a, t) in enumerate(pairs.pairs):
        sample = pairs[index]
        assert {sets[n].entries[i].label for n, i in zip(sets, (v, a, t), strict=True)} == {
            sample.label
        }
        assert sample["audio"].events["t"].tolist() == [a * 1000]
        assert sample.provenance["touch_source"] == f"touch/{t}"
    assert {a for _, a, _ in pairs.pairs} == {0, 1, 2, 3, 4}
    assert pair(sets, seed=1).pairs == pairs.pairs != pair(sets, seed=2).pairs
    assert [v for v, _, _ in sorted(pair(sets, exhaustive=False).pairs)] == [0, 1, 2]


def test_the_same_draw_as_pair_by_label() -> None:
    sets = {
        "vision": recorded("NMNIST", [0, 1, 1, 2, 0], "vision"),
        "audio": recorded("SHD", [1, 0, 1, 0], "audio"),
    }
    lists = {name: list(items) for name, items in sets.items()}
    for exhaustive in (True, False):
        drawn = pair_by_label(lists, np.random.default_rng(5), exhaustive)
        assert list(pair(sets, seed=5, exhaustive=exhaustive).pairs) == drawn


def test_equal_numbers_of_unequal_meaning_are_refused() -> None:
    gestures = recorded("DVSGesture", [0, 1], "vision", "gestures", ("clap", "wave"))
    words = recorded("SSC", [0, 1], "audio", "words", ("yes", "no"))
    with pytest.raises(DataError, match="must mean the same, got vision: gestures, audio: words"):
        pair({"vision": gestures, "audio": words})
    # A plain list has no label space to compare.
    assert len(pair({"vision": gestures, "audio": list(words)})) == 2


def test_assigned_pairing_is_declared() -> None:
    gestures = recorded("DVSGesture", [0, 2, 2, 5], "vision", "gestures", tuple("abcdef"))
    words = recorded("SSC", [9, 3, 3, 9, 7, 1], "audio", "words", tuple("0123456789"))
    sets = {"vision": gestures, "audio": words}
    pairs = pair(sets, by="assigned")
    # The sorted labels 0, 2, 5 meet 1, 3, 7; the word 9 is left over.
    assert {(gestures.entries[v].label, words.entries[a].label) for v, a in pairs.pairs} == {
        (0, 1),
        (2, 3),
        (5, 7),
    }
    assert sorted(pairs.labels) == [0, 1, 1, 2]
    assert pairs[0].label == pairs.labels[0]
    manifest = pairs.manifest()
    assert manifest["declaration"].startswith("assigned pairing: the modalities' classes have not")
    assert manifest["assignment"]["2"] == {"vision": "f", "audio": "7"}
    assert manifest["unpaired"] == {"vision": 0, "audio": 2}
    chosen = {0: {"vision": 2, "audio": 9}}
    assert len(pair(sets, by="assigned", assignment=chosen)) == 2
    with pytest.raises(DataError, match=r"class 0 must name \['audio', 'vision'\], got \['audio'"):
        pair(sets, by="assigned", assignment={0: {"audio": 1}})
    twice = {0: {"vision": 0, "audio": 9}, 1: {"vision": 2, "audio": 9}}
    with pytest.raises(DataError, match="must be one to one, got a label of audio in two classes"):
        pair(sets, by="assigned", assignment=twice)


def takes(modality: str, names: list[str], t_us: int, label: int = 4) -> list[Recording]:
    events = np.zeros(1, EVENT_DTYPE)
    events["t"], events["p"] = t_us, True
    item = EventStream(events, (4, 1, 1), 100_000, modality)
    return [Recording(item, label, name, name) for name in names]


def test_recordings_of_one_source_keep_their_own_clock() -> None:
    sets = {
        "vision": takes("vision", ["a/1.npy", "a/2.npy", "a/3.npy"], 10_000),
        "audio": takes("audio", ["a/2.wav", "a/1.wav", "b/1.wav"], 20_000),
    }
    together = pair(sets, by="source")
    assert together.pairs == ((0, 1), (1, 0))
    assert together[0]["audio"].events["t"].tolist() == [20_000]
    starts = {
        "vision": {"a/1.npy": 5_000_000, "a/2.npy": 7_000_000},
        "audio": {"a/1.wav": 5_030_000, "a/2.wav": 6_960_000},
    }
    clock = ClockPolicy(500.0, audio_offset_ms=1.0)
    timed = pair(sets, by="source", starts_us=starts, clock=clock)
    found = [[s[n].events["t"].tolist() for n in ("vision", "audio")] for s in timed]
    assert found == [[[10_000], [51_000]], [[50_000], [21_000]]]
    assert timed.placed(0).masks(500, 1.0)["audio"].nonzero()[0][[0, -1]].tolist() == [31, 130]
    assert timed.manifest()["unpaired"] == {"vision": 1, "audio": 1}
    del starts["audio"]["a/2.wav"]
    with pytest.raises(DataError, match=r"starts_us must hold audio a/2.wav, got none"):
        pair(sets, by="source", starts_us=starts)
    with pytest.raises(DataError, match=r"must be of \['audio', 'vision'\], got 'touch'"):
        pair(sets, by="source", starts_us={"touch": {}})
    sets["audio"] = takes("audio", ["c/1.wav"], 0)
    with pytest.raises(DataError, match=r"got such as vision: a/1, audio: c/1"):
        pair(sets, by="source")
    sets["audio"] = takes("audio", ["a/1.wav", "a/1.flac"], 0)
    with pytest.raises(DataError, match="audio must be unique but for the suffix, got a/1"):
        pair(sets, by="source")
    sets["audio"] = takes("audio", ["a/1.wav"], 0, label=5)
    with pytest.raises(DataError, match=r"must have one label, got vision a/1.npy: 4, audio"):
        pair(sets, by="source")


def test_wrong_arguments() -> None:
    sets = {"vision": takes("vision", ["a"], 0)}
    for arguments, message in (
        ({"by": "name"}, r"by must be one of \['assigned', 'label', 'source'\], got 'name'"),
        ({"starts_us": {}}, "starts_us must be None unless by='source', got by='label'"),
        ({"assignment": {}, "by": "source"}, "assignment must be None unless by='assigned'"),
    ):
        with pytest.raises(DataError, match=message):
            pair(sets, **arguments)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="must hold at least one modality, got none"):
        pair({})


def test_speaker_disjoint_splits() -> None:
    train = recorded("SHD", [0, 1, 2], "audio", groups=["s0", "s1", "s1"])
    test = recorded("SHD", [0, 1, 2], "audio", groups=["s1", "s4", "s5"])
    with pytest.raises(DataError, match=r"audio groups must not be shared .* got 's1' in both"):
        check_disjoint({"train": {"audio": train}, "test": {"audio": test}})
    apart = test.without_groups(train.groups)
    check_disjoint({"train": {"audio": train}, "test": {"audio": apart}})
    assert apart.groups == ["s4", "s5"]
    assert not train.reader.read  # type: ignore[attr-defined]


def small(clock: ClockPolicy, seed: int = 0) -> Pairing:
    return pair(
        {
            "vision": recorded("NMNIST", [0, 0, 0], "vision"),
            "audio": recorded("SHD", [0, 0], "audio"),
        },
        clock=clock,
        seed=seed,
    )


def test_the_manifest_states_policy_hashes_and_truncation() -> None:
    loops = {"vision": ModalityClock(loop_ms=100.0), "audio": ModalityClock(-3.0, 20.0, 1.0)}
    manifest = small(ClockPolicy(4.5, sensors=loops)).manifest()
    json.dumps(manifest)
    assert manifest["sets"] == {"vision": "NMNIST train", "audio": "SHD train"}
    assert "audio by -3 ms" in manifest["policy"]["onsets"]
    assert "vision: repeated every 100 ms" in manifest["policy"]["onsets"]
    assert manifest["policy"]["duration"].startswith("every sample lasts 4.5 ms: a shorter")
    assert manifest["policy"]["clock"]["sensors"]["audio"]["drift_ppm"] == 20.0
    # Vision starts 4 ms in (3 ms lead, 1 ms of jitter): only the event at 0 ms is before 4.5 ms.
    assert manifest["cut"]["vision"] == {"recordings_cut": 2, "events_cut": 2, "events": 3}
    assert manifest["reuse"]["audio"] == {"recordings": 2, "reused": 1, "most_uses": 2}
    assert len(manifest["recordings_sha256"]["vision"]) == 3
    assert len(set(manifest["recordings_sha256"]["vision"].values())) == 3
    assert len(manifest["pairs"]) == 3
    clock = ClockPolicy(4.5)
    digest = small(clock).manifest()["sha256"]
    assert digest == small(clock).manifest()["sha256"]
    for other in (small(clock, 1), small(ClockPolicy(4.6)), small(clock)[:2]):
        assert other.manifest()["sha256"] != digest


def test_a_changed_recording_changes_the_manifest() -> None:
    class Late(OneEvent):
        def __call__(self, position: int) -> tuple[StructuredArray, int | None]:
            events, duration_us = super().__call__(position)
            events["t"] += 1
            return events, duration_us

    before = small(ClockPolicy())
    audio = replace(before.recordings["audio"], reader=Late())  # type: ignore[type-var]
    after = replace(before, recordings={**before.recordings, "audio": audio})
    first, second = before.manifest(), after.manifest()
    assert first["recordings_sha256"]["vision"] == second["recordings_sha256"]["vision"]
    assert first["recordings_sha256"]["audio"] != second["recordings_sha256"]["audio"]
    assert first["sha256"] != second["sha256"]


def test_the_manifest_of_a_run_counts_cuts_under_any_clock() -> None:
    sets = {"vision": recorded("NMNIST", [0, 0, 0], "vision")}
    looped = ClockPolicy(1.5, sensors={"vision": ModalityClock(loop_ms=1.0)})
    manifest = build_manifest({"test": sets}, {"test": [(0,)]}, looped, 0)
    assert manifest["cut_events"] == {"test": {"vision": 2}}
    assert manifest["policy"]["onsets"] == "aligned; vision: repeated every 1 ms"
    assert "onsets" not in build_manifest({"test": sets}, {}, ClockPolicy(), 0)["policy"]


def test_nmnist_with_spoken_digit_wavs(tmp_path: Path, rng: np.random.Generator) -> None:
    for digit in (3, 7):
        folder = tmp_path / "NMNIST" / "Train" / str(digit)
        folder.mkdir(parents=True)
        (folder / "00001.bin").write_bytes(bytes([1, 2, 128, 0, 9]))
        for speaker in ("ann", "bob"):
            wave = 0.1 * rng.standard_normal(1600)
            soundfile.write(tmp_path / f"{digit}_{speaker}_0.wav", wave, 8000)
    sets = {
        "vision": open_set("NMNIST", tmp_path),
        "audio": load_spoken_digits(tmp_path, CochleaParams(n_channels=8)),
    }
    pairs = pair(sets)
    assert sorted(pairs.labels) == [3, 3, 7, 7]
    for sample in pairs:
        assert f"Train/{sample.label}/" in sample.provenance["vision_source"]
        assert sample.provenance["audio_source"].startswith(str(sample.label))
    assert pairs.manifest()["reuse"]["vision"]["most_uses"] == 2


def test_dvs_lip_with_its_own_audio(tmp_path: Path, rng: np.random.Generator) -> None:
    events = np.array([(3, 1, 2, 1)], [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])
    for word, take in (("house", 0), ("house", 1), ("right", 0)):
        folder = tmp_path / "DVSLip" / "DVS-Lip" / "train" / word
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{take}.npy", events)
        sounds = tmp_path / "sound" / "train" / word
        sounds.mkdir(parents=True, exist_ok=True)
        soundfile.write(sounds / f"{take}.wav", 0.1 * rng.standard_normal(1600), 8000)
    (tmp_path / "sound/train/house/1.wav").unlink()
    vision = open_set("DVSLip", tmp_path)
    audio = open_lip_audio(tmp_path / "sound", params=CochleaParams(n_channels=8))
    pairs = pair({"vision": vision, "audio": audio}, by="source")
    assert [vision.class_names[label] for label in pairs.labels] == ["house", "right"]
    assert pairs[0]["audio"].sensor_size == (8, 1, 1)
    assert pairs.placed(0).placed["audio"].end_us == pytest.approx(200_000, abs=200)
    assert pairs.declaration.startswith("recordings of one event")
    with pytest.raises(DataError, match=r"test must hold <word>/<take>.wav, got none; the sound"):
        open_lip_audio(tmp_path / "sound", "test")
    with pytest.raises(DataError, match="part must be 'train' or 'test', got 'all'"):
        open_lip_audio(tmp_path, "all")


def test_assigned_sets_pair_by_label_as_the_assignment_does() -> None:
    gestures = recorded("DVSGesture", [0, 2, 2, 5], "vision", "gestures", tuple("abcdef"))
    words = recorded("SSC", [9, 3, 3, 9, 7, 1], "audio", "words", tuple("0123456789"))
    sets = {"vision": gestures, "audio": words}
    joint, assignment = assign(sets)
    # Word 9 is in no class: its recordings are gone, the others keep their order.
    assert [e.source for e in joint["audio"].entries] == ["SSC/1", "SSC/2", "SSC/4", "SSC/5"]
    by_name = {
        (gestures.entries[v].source, words.entries[a].source)
        for v, a in pair(sets, by="assigned", seed=3).pairs
    }
    again = {
        (joint["vision"].entries[v].source, joint["audio"].entries[a].source)
        for v, a in pair(joint, seed=3).pairs
    }
    assert len(again) == len(by_name)
    assert {v for v, _ in again} == {v for v, _ in by_name}
    assert joint["vision"].class_names == joint["audio"].class_names == ("a + 1", "c + 3", "f + 7")
    # The same assignment for another split, in which a word is missing.
    other = {"vision": gestures, "audio": words.select([1, 2])}
    relabelled, same = assign(other, assignment)
    assert same is assignment
    assert {e.label for e in relabelled["audio"].entries} == {1}
