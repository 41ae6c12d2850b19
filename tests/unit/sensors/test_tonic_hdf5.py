"""SHD, SSC and N-TIDIGITS18: exact layouts that are written here, Tonic as the oracle."""

import operator
import os
import pickle
import socket
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest

from sensors.data_sets import DIGITS, digit_sequence, open_set
from sensors.pairing import pair
from spikefuse.errors import DataError, EventError

GERMAN = ["null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun"]
KEYS = [*DIGITS, *GERMAN]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def write_heidelberg(
    path: Path, labels: list[int], keys: list[str], speakers: list[int], seed: int = 0
) -> Path:
    """spikes/times (float16 seconds) and units of variable length, labels, keys, speakers."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # an earlier one may be open
    with h5py.File(path, "w") as file:
        n = len(labels)
        times = file.create_dataset("spikes/times", (n,), h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (n,), h5py.vlen_dtype(np.uint16))
        for i in range(n):
            times[i] = np.sort(rng.uniform(0, 1.2, 50 * i)).astype(np.float16)
            units[i] = rng.integers(0, 700, 50 * i).astype(np.uint16)
        file["labels"] = np.array(labels, np.uint16)
        file["extra/keys"] = np.array([k.encode() for k in keys])
        file["extra/speaker"] = np.array(speakers, np.uint16)
    path.with_name(path.name + ".zip").touch()  # Tonic asks for the archive too
    return path


def write_shd(root: Path, keys: list[str] = KEYS) -> Path:
    return write_heidelberg(root / "SHD" / "shd_train.h5", [3, 13, 0, 19], keys, [1, 4, 1, 0])


def write_tidigits(root: Path, names: list[str]) -> Path:
    path = root / "NTIDIGITS18" / "n-tidigits.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # an earlier one may be open
    rng = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        for part in ("train", "test"):
            file[f"{part}_labels"] = np.array([name.encode() for name in names])
            for name in names:
                file[f"{part}_timestamps/{name}"] = np.sort(rng.uniform(0, 0.8, 30))
                file[f"{part}_addresses/{name}"] = rng.integers(0, 64, 30)
    return path


def test_shd_equals_tonic(tmp_path: Path) -> None:
    import tonic

    write_shd(tmp_path)
    ours, theirs = open_set("SHD", tmp_path), tonic.datasets.SHD(str(tmp_path))
    assert len(ours) == len(theirs) == 4
    for item, (events, label) in zip(ours, theirs, strict=True):
        assert item.label == label
        for name in ("t", "x", "p"):
            np.testing.assert_array_equal(item.stream.events[name], events[name])
    assert [e.group for e in ours.entries] == ["speaker1", "speaker4", "speaker1", "speaker0"]
    assert ours.class_names[13] == "drei"
    assert len(ours[0].stream) == 0  # an empty recording is legal
    assert ours.describe() == "SHD train: 4 recordings, 4 of 20 classes, 0 to 1 each, 3 groups"


def test_shd_digits_are_asserted_against_the_key_list(tmp_path: Path) -> None:
    write_shd(tmp_path)
    digits = open_set("SHD", tmp_path, digits=True)
    assert [e.label for e in digits.entries] == [3, 3, 0, 9]
    assert (digits.label_space, digits.class_names) == ("digits", DIGITS)
    write_shd(tmp_path, [k.replace("fuenf", "fünf") for k in KEYS])
    assert len(open_set("SHD", tmp_path, digits=True)) == 4
    write_shd(tmp_path, KEYS[10:] + KEYS[:10])
    assert open_set("SHD", tmp_path).class_names[3] == "drei"
    with pytest.raises(DataError, match=r"extra/keys of SHD train must be \['zero'"):
        open_set("SHD", tmp_path, digits=True)


def test_ssc_has_three_parts(tmp_path: Path) -> None:
    import tonic

    keys = [f"word{i}" for i in range(35)]
    for seed, part in enumerate(("train", "valid", "test")):
        path = tmp_path / "SSC" / f"ssc_{part}.h5"
        write_heidelberg(path, [34, seed], keys, [5, 6], seed)
    for seed, part in enumerate(("train", "validation", "test")):
        recorded = open_set("SSC", tmp_path, part)
        assert [e.label for e in recorded.entries] == [34, seed]
        assert (recorded[1].split, len(recorded.class_names)) == (part, 35)
    theirs = tonic.datasets.SSC(str(tmp_path), split="valid")
    events = open_set("SSC", tmp_path, "validation")[1].stream.events
    np.testing.assert_array_equal(events["t"], theirs[1][0]["t"])


def test_tidigits_equals_tonic_and_merges_oh_and_zero(tmp_path: Path) -> None:
    import tonic

    names = ["ae-a-0-z", "ae-a-1-o", "bk-a-2-12o", "bk-b-3-7"]
    write_tidigits(tmp_path, names)
    ours = open_set("NTIDIGITS18", tmp_path, "test")
    theirs = tonic.datasets.NTIDIGITS18(str(tmp_path), train=False, single_digits=True)
    assert [e.label for e in ours.entries] == [10, 0, 7]
    for item, (events, label) in zip(ours, [theirs[i] for i in range(3)], strict=True):
        assert item.label == label
        np.testing.assert_array_equal(item.stream.events["t"], events["t"])
        np.testing.assert_array_equal(item.stream.events["x"], events["x"])
    assert [e.group for e in ours.entries] == ["ae", "ae", "bk"]
    digits = open_set("NTIDIGITS18", tmp_path, digits=True)
    assert [e.label for e in digits.entries] == [0, 0, 7]
    assert digits.class_counts()["zero"] == 2
    write_tidigits(tmp_path, ["ae-a-0-x"])
    with pytest.raises(DataError, match=r"must end in one of \['o', .*\], got 'x'"):
        open_set("NTIDIGITS18", tmp_path)


def test_a_process_opens_the_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shd(tmp_path)
    opened = []
    real = h5py.File

    def counted(*args: object, **kwargs: object) -> object:
        opened.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(h5py, "File", counted)
    recorded = open_set("SHD", tmp_path)
    for _ in range(3):
        list(recorded)
    assert len(opened) == 1
    copy = pickle.loads(pickle.dumps(recorded))
    np.testing.assert_array_equal(copy[3].stream.events, recorded[3].stream.events)
    assert len(opened) == 2
    # A forked child must not read through its parent's handle.
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    recorded[3]
    assert len(opened) == 3


def test_a_closed_file_opens_again(tmp_path: Path) -> None:
    recorded = open_set("SHD", write_shd(tmp_path).parents[1])
    before = recorded[2].stream.events
    recorded.reader.file.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(recorded[2].stream.events, before)


def test_a_spawned_worker_reads_the_same(tmp_path: Path) -> None:
    recorded = open_set("SHD", write_shd(tmp_path).parents[1])
    list(recorded)  # with an open handle
    with get_context("spawn").Pool(1) as pool:
        item = pool.apply(operator.getitem, (recorded, 3))
    np.testing.assert_array_equal(item.stream.events, recorded[3].stream.events)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "extra/speaker",
            [1, 2],
            r"must hold one label, speaker, times and units .* \[4, 2, 4, 4\]",
        ),
        ("labels", [0, 1, 2, 20], r"labels of .*shd_train.h5 must lie in \[0, 20\), got 0 to 20"),
        ("extra/keys", None, "must hold 'extra/keys', got"),
        ("spikes/units", None, "must hold 'spikes/units', got"),
    ],
)
def test_a_wrong_layout_is_refused(
    tmp_path: Path, name: str, content: list[int] | None, message: str
) -> None:
    with h5py.File(write_shd(tmp_path), "a") as file:
        del file[name]
        if content is not None:
            file[name] = np.array(content, np.uint16)
    with pytest.raises(DataError, match=message):
        open_set("SHD", tmp_path)


def test_wrong_events_are_named(tmp_path: Path) -> None:
    path = write_shd(tmp_path)
    with h5py.File(path, "a") as file:
        file["spikes/units"][1] = np.full(50, 700, np.uint16)
        file["spikes/units"][2] = np.zeros(3, np.uint16)
        times = file["spikes/times"][3]
        file["spikes/times"][3] = times[::-1]
    recorded = open_set("SHD", tmp_path)
    with pytest.raises(EventError, match=r"SHD shd_train/000001: field 'x' must lie in \[0, 700\)"):
        recorded[1]
    with pytest.raises(DataError, match=r"one channel for each time, got .3,. channels and .100,."):
        recorded[2]
    with pytest.raises(EventError, match="000003: field 't' must never decrease"):
        recorded[3]
    ordered = open_set("SHD", tmp_path, sort_times=True)[3].stream.events["t"]
    np.testing.assert_array_equal(ordered, np.floor(times.astype(np.float64) * 1e6))


def test_a_truncated_file_is_one_clear_error(tmp_path: Path) -> None:
    path = write_shd(tmp_path)
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"shd_train.h5 must be a whole HDF5 file, got"):
            open_set("SHD", tmp_path)


def test_missing_recordings_of_tidigits_are_named(tmp_path: Path) -> None:
    with h5py.File(write_tidigits(tmp_path, ["ae-a-0-3"]), "a") as file:
        del file["train_timestamps/ae-a-0-3"]
    recorded = open_set("NTIDIGITS18", tmp_path)
    with pytest.raises(DataError, match=r"NTIDIGITS18 train/ae-a-0-3 must be readable, got KeyErr"):
        recorded[0]


def test_pairs_with_vision_sets(tmp_path: Path) -> None:
    """N-MNIST with both digit sets by label, DVS Gesture with SSC by assignment."""
    write_shd(tmp_path)
    write_tidigits(tmp_path, ["ae-a-0-z", "ae-a-1-o", "bk-b-3-3"])
    keys = [f"word{i}" for i in range(35)]
    write_heidelberg(tmp_path / "SSC" / "ssc_train.h5", [30, 2, 2], keys, [5, 6, 7])
    for digit in (0, 3, 9):
        path = tmp_path / "NMNIST" / "Train" / str(digit) / "00001.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes([1, 2, 128, 0, 9]))
    for label in (0, 10):
        path = tmp_path / "DVSGesture" / "ibmGestureTrain" / "user01_led" / f"{label}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.array([[1.0, 2, 1, 7]]))
    digits, gestures = open_set("NMNIST", tmp_path), open_set("DVSGesture", tmp_path)
    shd, ssc = open_set("SHD", tmp_path, digits=True), open_set("SSC", tmp_path)
    spoken = open_set("NTIDIGITS18", tmp_path, digits=True)
    assert sorted(pair({"vision": digits, "audio": shd}).labels) == [0, 3, 3, 9]
    three = pair({"vision": digits, "audio": spoken, "cochlea2": replace(shd, modality="cochlea2")})
    assert sorted(three.labels) == [0, 0, 3, 3]
    sample = three[three.labels.index(3)]
    assert sorted(sample.streams) == ["audio", "cochlea2", "vision"]
    assert sample["cochlea2"].sensor_size == (700, 1, 1)
    for other in (open_set("SHD", tmp_path), open_set("NTIDIGITS18", tmp_path), gestures):
        with pytest.raises(DataError, match="labels paired by label must mean the same, got"):
            pair({"vision": digits, "audio": other})
    assigned = pair({"vision": gestures, "audio": ssc}, by="assigned")
    assert sorted(assigned.labels) == [0, 0, 1]
    assert assigned.manifest()["assignment"] == {
        "0": {"vision": "Hand clapping", "audio": "word2"},
        "1": {"vision": "Other gestures", "audio": "word30"},
    }


def test_strings_of_digits_are_listed_on_request(tmp_path: Path) -> None:
    names = ["ab-0-a-7", "ab-0-a-o1z", "cd-0-b-42", "cd-0-b-z"]
    write_tidigits(tmp_path, names)
    assert [e.source for e in open_set("NTIDIGITS18", tmp_path).entries] == [
        "train/ab-0-a-7",
        "train/cd-0-b-z",
    ]
    strings = open_set("NTIDIGITS18", tmp_path, sequences=True)
    assert strings.class_names == ("7", "z", "42", "o1z")
    assert [strings.class_names[e.label] for e in strings.entries] == ["7", "o1z", "42", "z"]
    assert [digit_sequence(strings.class_names[e.label]) for e in strings.entries] == [
        (7,),
        (0, 1, 0),
        (4, 2),
        (0,),
    ]
    merged = open_set("NTIDIGITS18", tmp_path, sequences=True, digits=True)
    assert merged.class_names == ("0", "7", "42", "010")
    assert merged.label_space != strings.label_space
    single = open_set("NTIDIGITS18", tmp_path, digits=True)
    with pytest.raises(DataError, match="must mean the same"):
        pair({"audio": merged, "other": single})
    np.testing.assert_array_equal(strings[3].stream.events, single[1].stream.events)
    with pytest.raises(DataError, match="class_name must be a string of"):
        digit_sequence("4x")
