"""Public sets at the command line: listing, refusals of downloads, splits, the level study."""

import json
from pathlib import Path

import numpy as np
import pytest
import stand_ins
from command_line import spikefuse

from experiments.config import load_config
from experiments.loading.sets import download_sets, present_sets
from experiments.loading.splits import split_parts
from experiments.studies.level import Sounds, embedded, running_level, study
from sensors.data_sets import DIGITS
from sensors.digits import DigitsParams, build_audio
from sensors.recorded import Entry, RecordedSet
from spikefuse._types import StructuredArray
from spikefuse.errors import ConfigError, DataError


class Nothing:
    def __call__(self, position: int) -> tuple[StructuredArray, int | None]:
        return np.zeros(0, [("t", int), ("x", int)]), 1000


def made(groups: list[str], part: str = "train", name: str = "SHD") -> RecordedSet:
    """One recording for each group, digits in turn."""
    entries = tuple(Entry(i % 10, f"{part}/{i}", group, part, i) for i, group in enumerate(groups))
    return RecordedSet(name, part, "audio", (4, 1, 1), "digits", DIGITS, entries, Nothing())


def test_the_list_tells_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stand_ins.write_shd(tmp_path)
    (tmp_path / "POKERDVS" / "pips_train").mkdir(parents=True)  # there, but empty
    assert spikefuse("data", "list", "--root", tmp_path, "--json", tmp_path / "sets.json") == 0
    out = capsys.readouterr().out
    assert "SHD train: 60 recordings, 20 of 20 classes, 3 to 3 each, 3 groups" in out
    assert f"NMNIST train: not there ({tmp_path / 'NMNIST/Train'})" in out
    rows = {(r["name"], r["part"]): r for r in json.loads((tmp_path / "sets.json").read_text())}
    assert len(rows) == 9 * 2 - 1 + 1  # CIFAR10DVS has one part, SSC three
    assert rows["SHD", "test"]["recordings"] == 40
    assert rows["SHD", "test"]["class_counts"]["drei"] == 2
    assert "no recording" in rows["POKERDVS", "train"]["error"]
    assert rows == {(r["name"], r["part"]): r for r in present_sets(tmp_path)}


def test_downloads_happen_on_request_alone_and_through_tonic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sensors.data_sets

    asked: list[tuple[str, Path]] = []

    def pretend(name: str, root: Path, options: dict[str, object]) -> None:
        asked.append((name, root))
        if not (root / "NMNIST").exists():
            stand_ins.write_nmnist(root)

    monkeypatch.setattr(sensors.data_sets, "download", pretend)
    assert spikefuse("train", "--config", "nmnist", "--set", f"data.root={tmp_path}",
                     "--out", tmp_path / "run") == 1  # fmt: skip
    assert not asked
    assert "tonic.datasets.NMNIST(save_to=" in capsys.readouterr().err
    assert spikefuse("data", "download", "NMNIST", "--root", tmp_path) == 0
    assert asked == [("NMNIST", tmp_path)] * 2
    assert "NMNIST train: 50 recordings" in capsys.readouterr().out
    lines = download_sets(load_config("nmnist_wav", [f"data.root={tmp_path}"]).data)
    assert len(lines) == 2  # wavs are nobody's to download
    assert asked == [("NMNIST", tmp_path)] * 4
    assert spikefuse("data", "download", "nmnist") == 2
    assert spikefuse("data", "download", "POKERDVS", "--root", tmp_path) == 1
    assert "must be downloaded by hand" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="nothing to download"):
        download_sets(load_config("demo").data)


def test_speakers_validate_where_they_are_known() -> None:
    speakers = [f"speaker{i % 7}" for i in range(70)]
    for fold in range(5):
        splits, said, notes = split_parts(
            {"train": made(speakers), "test": made(["new"] * 5, "test")}, fold, "disjoint"
        )
        held, kept = ({r.group for r in splits[n].entries} for n in ("validation", "train"))  # type: ignore[attr-defined]
        assert not held & kept
        assert held | kept == set(speakers)
        assert len(held) == (2 if fold < 2 else 1)
        assert f"{len(held)} of 7 speakers" in said
        assert not notes
    for fold in range(5):  # with three speakers every fold still has one
        parts = {"train": made(["a", "b", "c"] * 10), "test": made(["d"] * 5, "test")}
        assert len(split_parts(parts, fold, "disjoint")[0]["validation"]) == 10


def test_test_speakers_that_trained_stay_out_unless_published() -> None:
    parts = {
        "train": made(["a", "b", "c"] * 10),
        "test": made(["a", "d", "d", "b"], "test"),
    }
    splits, _, notes = split_parts(parts, 0, "disjoint")
    assert len(splits["test"]) == 2
    assert notes[0].startswith("test: 2 of 4 SHD recordings are of speakers")
    splits, protocol, notes = split_parts(parts, 0, "published")
    assert len(splits["test"]) == 4
    assert not notes
    assert "without" not in protocol
    parts["test"] = made(["a", "b"], "test")
    with pytest.raises(DataError, match=r"test of SHD must hold a recording.*test_part=published"):
        split_parts(parts, 0, "disjoint")
    parts["train"] = made(["a"] * 20)
    with pytest.raises(DataError, match="must hold at least 2 speakers"):
        split_parts(parts, 0, "published")


def test_a_set_in_one_part_is_dealt_into_folds() -> None:
    whole = made([f"file{i}" for i in range(100)], "all", "CIFAR10DVS")
    tests = []
    for fold in range(5):
        splits, _, _ = split_parts({"all": whole}, fold, "disjoint")
        assert [len(splits[n]) for n in ("train", "validation", "test")] == [60, 20, 20]
        tests += [r.source for r in splits["test"].entries]  # type: ignore[attr-defined]
    assert len(set(tests)) == 100


def test_the_level_study_hears_what_the_embedded_default_hears() -> None:
    params = DigitsParams(n_train=6, n_validation=3, n_test=0, voices=2)
    sounds = embedded(params)
    from sensors.cochlea import Cochlea

    streams = [Cochlea(params.cochlea).encode(wave, 8000) for wave in sounds.waves]
    for stream, recording in zip(streams, build_audio(params), strict=True):
        np.testing.assert_array_equal(stream.events, recording.stream.events)


def test_a_running_level_is_causal_and_reaches_the_level() -> None:
    rng = np.random.default_rng(1)
    wave = 0.3 * rng.standard_normal(8000)
    levelled = running_level(wave, 0.05, 0.1, start=0.01)
    assert np.sqrt(np.mean(levelled[4000:] ** 2)) == pytest.approx(0.1, rel=0.05)
    cut = running_level(wave[:3000], 0.05, 0.1, start=0.01)
    np.testing.assert_allclose(cut, levelled[:3000])


def test_the_study_tells_loud_classes_by_loudness_alone() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(40) % 2
    waves = [(0.05 + 0.3 * k) * rng.standard_normal(1600) for k in labels]
    groups = np.array(["train"] * 20 + ["validation"] * 20)
    found = study(Sounds(waves, labels, groups, 10))
    assert found["loudness alone"] == [1.0]
    assert found["fixed gain"] == [1.0]
    assert found["whole utterance"][0] < 0.9
