"""Sets of files for each class: exact layouts that are written here, no network."""

import gzip
import operator
import pickle
import re
import socket
import struct
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from sensors.data_sets import DATA_SETS, open_set
from sensors.recorded import RecordedSet
from spikefuse.errors import DataError, EventError

T = np.array([0, 1000, 1000, 250_000])
X = np.array([0, 5, 33, 2])
Y = np.array([33, 0, 6, 1])
P = np.array([1, 0, 1, 1])


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def write_nmnist(root: Path, part: str, digit: int, name: str) -> Path:
    """5 bytes an event: x, y, then polarity and 23 bits of microseconds."""
    path = root / "NMNIST" / part / str(digit) / f"{name}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.stack([X, Y, (P << 7) | (T >> 16), (T >> 8) & 255, T & 255], axis=1)
    path.write_bytes(rows.astype(np.uint8).tobytes())
    return path


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def write_gesture(root: Path, take: str, label: int, shift_ms: int = 0) -> Path:
    """(N, 4) of x, y, p and milliseconds."""
    path = root / "DVSGesture" / "ibmGestureTrain" / take / f"{label}.npy"
    return save(path, np.stack([X, Y, P, T / 1000 + shift_ms], axis=1))


def write_poker(root: Path, suit: str, name: str) -> Path:
    """(N, 4) of t, x, y, p."""
    return save(root / "POKERDVS/pips_train" / suit / f"{name}.npy", np.stack([T, X, Y, P], axis=1))


def write_lip(root: Path, word: str, name: str) -> Path:
    """Structured arrays of t, x, y, p."""
    events = np.zeros(4, [("t", "<i4"), ("x", "i1"), ("y", "i1"), ("p", "i1")])
    events["t"], events["x"], events["y"], events["p"] = T, X, Y, P
    return save(root / "DVSLip/DVS-Lip/train" / word / f"{name}.npy", events)


def write_mnist(root: Path, images: np.ndarray, labels: list[int]) -> None:
    folder = root / "smnist"
    folder.mkdir(parents=True)
    head = struct.pack(">IIII", 2051, len(images), 28, 28)
    (folder / "train-images-idx3-ubyte").write_bytes(head + images.astype(np.uint8).tobytes())
    head = struct.pack(">II", 2049, len(labels))
    (folder / "train-labels-idx1-ubyte").write_bytes(head + bytes(labels))


def check_events(recorded: RecordedSet, index: int = 0) -> None:
    """The events that every writer writes."""
    events = recorded[index].stream.events
    for name, expected in (("t", T), ("x", X), ("y", Y), ("p", P)):
        assert events[name].tolist() == expected.tolist(), name
    assert recorded[index].stream.duration_us == 250_001


def test_nmnist(tmp_path: Path) -> None:
    for digit, name in ((7, "00002"), (0, "00003"), (7, "00001")):
        write_nmnist(tmp_path, "Train", digit, name)
    recorded = open_set("NMNIST", tmp_path)
    assert [(e.label, e.source) for e in recorded.entries] == [
        (0, "Train/0/00003.bin"),
        (7, "Train/7/00001.bin"),
        (7, "Train/7/00002.bin"),
    ]
    check_events(recorded, 2)
    assert recorded[1].split == "train"
    first = open_set("NMNIST", tmp_path, first_saccade_only=True)[0]
    assert first.stream.events["t"].tolist() == [0, 1000, 1000]
    late = open_set("NMNIST", tmp_path, transform=lambda events: events[3:])[0]
    assert late.stream.events["t"].tolist() == [250_000]


def test_dvs_gesture(tmp_path: Path) -> None:
    for take, label in (("user10_led", 3), ("user02_natural", 10), ("user02_led", 1)):
        write_gesture(tmp_path, take, label)
    recorded = open_set("DVSGesture", tmp_path)
    assert [(e.label, e.group) for e in recorded.entries] == [
        (1, "user02"),
        (10, "user02"),
        (3, "user10"),
    ]
    assert recorded.class_names[10] == "Other gestures"
    check_events(recorded)
    assert [e.label for e in recorded.without_groups(["user02"]).entries] == [3]
    assert [e.label for e in recorded.with_groups(["user02"]).entries] == [1, 10]


def test_order_does_not_depend_on_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    for user in (3, 1, 2):
        write_gesture(tmp_path, f"user{user:02d}_led", user, shift_ms=user)
        write_lip(tmp_path, ("action", "young", "house")[user - 1], "0")
    walk, listdir = os.walk, os.listdir

    def backwards(*args: object, **kwargs: object) -> object:
        return sorted(walk(*args, **kwargs), reverse=True)  # type: ignore[call-overload]

    def read() -> list[tuple[str, int, int]]:
        found = [open_set("DVSGesture", tmp_path), open_set("DVSLip", tmp_path)]
        return [(r.source, r.label, int(r.stream.events["t"][0])) for s in found for r in s]

    expected = read()
    assert [row[1:] for row in expected[:3]] == [(1, 1000), (2, 2000), (3, 3000)]
    monkeypatch.setattr(os, "walk", backwards)
    monkeypatch.setattr(os, "listdir", lambda *args: sorted(listdir(*args))[::-1])
    assert read() == expected


def test_poker_dvs(tmp_path: Path) -> None:
    for suit, name in (("sp", "0"), ("cl", "1"), ("he", "0"), ("cl", "0")):
        write_poker(tmp_path, suit, name)
    recorded = open_set("POKERDVS", tmp_path)
    assert [(e.label, e.source) for e in recorded.entries] == [
        (0, "pips_train/cl/0.npy"),
        (0, "pips_train/cl/1.npy"),
        (1, "pips_train/he/0.npy"),
        (3, "pips_train/sp/0.npy"),
    ]
    check_events(recorded, 3)
    save(tmp_path / "POKERDVS/pips_train/joker/0.npy", np.zeros((1, 4)))
    with pytest.raises(DataError, match=r"folders named \['cl', .*\], got 'joker'"):
        open_set("POKERDVS", tmp_path)


def test_dvs_lip(tmp_path: Path) -> None:
    write_lip(tmp_path, "young", "12")
    write_lip(tmp_path, "accused", "3")
    recorded = open_set("DVSLip", tmp_path)
    assert [(e.label, e.source) for e in recorded.entries] == [
        (0, "DVS-Lip/train/accused/3.npy"),
        (99, "DVS-Lip/train/young/12.npy"),
    ]
    check_events(recorded)


@pytest.mark.skipif(find_spec("faery") is None, reason="faery is not installed")
def test_cifar10_dvs(tmp_path: Path) -> None:
    import faery

    events = np.zeros(4, faery.EVENTS_DTYPE)
    events["t"], events["x"], events["y"], events["on"] = T, X, Y, P.astype(bool)
    for name in ("truck", "airplane"):
        path = tmp_path / "CIFAR10DVS" / name / f"cifar10_{name}_0.aedat4"
        path.parent.mkdir(parents=True)
        faery.events_stream_from_array(events, (128, 128)).to_file(path)
    recorded = open_set("CIFAR10DVS", tmp_path, "all")
    assert [e.label for e in recorded.entries] == [0, 9]
    check_events(recorded)
    assert recorded[0].split is None


def test_smnist_against_a_walk_over_pixels(tmp_path: Path, rng: np.random.Generator) -> None:
    images = rng.choice([0, 60, 130, 255], (2, 28, 28))
    write_mnist(tmp_path, images, [4, 9])
    recorded = open_set("SMNIST", tmp_path, num_neurons=9, duplicate=False, dt=500.0)
    assert [e.label for e in recorded.entries] == [4, 9]
    item = recorded[1]
    assert (item.stream.sensor_size, item.stream.duration_us) == ((9, 1, 1), 784 * 500)
    levels = np.linspace(0, 254, 4).astype(np.uint8)
    flat = images[1].ravel()
    expected = []
    for step in range(784):
        expected += [(step * 500, 0)] * int(flat[step] == 255)
        for k, level in enumerate(levels):
            if step < 783 and flat[step] < level <= flat[step + 1]:
                expected.append((step * 500, 9 - k))
            if step < 783 and flat[step + 1] < level <= flat[step]:
                expected.append((step * 500, 9 - 4 - k))
    events = item.stream.events
    assert list(zip(events["t"].tolist(), events["x"].tolist(), strict=True)) == sorted(expected)
    # Twice each: one step later the second time.
    twice = open_set("SMNIST", tmp_path, num_neurons=9, dt=500.0)[1].stream
    assert twice.duration_us == 2 * 784 * 500
    rows = sorted((2 * t + later, x) for t, x in expected for later in (0, 500))
    found = zip(twice.events["t"].tolist(), twice.events["x"].tolist(), strict=True)
    assert sorted(found) == rows


def test_a_missing_set_says_what_to_get_and_where(tmp_path: Path) -> None:
    for name, data_set in DATA_SETS.items():
        for part, place in data_set.parts.items():
            with pytest.raises(DataError, match=re.escape(str(tmp_path / place))) as caught:
                open_set(name, tmp_path, part)
            how = "source repository" if name == "POKERDVS" else f"tonic.datasets.{name}"
            assert how in str(caught.value)
    for name in ("POKERDVS", "DVSLip"):
        with pytest.raises(DataError, match=f"{name} must be downloaded by hand"):
            open_set(name, tmp_path, download_missing=True)
    (tmp_path / "NMNIST" / "Train" / "3").mkdir(parents=True)
    with pytest.raises(DataError, match="got no recording; "):
        open_set("NMNIST", tmp_path)


def test_only_a_request_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tonic

    calls = []

    def fetch(dataset: object) -> None:
        calls.append(type(dataset).__name__)
        write_nmnist(tmp_path, "Train", 5, "00001")

    monkeypatch.setattr(tonic.datasets.NMNIST, "download", fetch)
    with pytest.raises(DataError, match="download_missing=True"):
        open_set("NMNIST", tmp_path)
    assert not calls
    assert len(open_set("NMNIST", tmp_path, download_missing=True)) == 1
    assert calls == ["NMNIST"]
    monkeypatch.undo()
    monkeypatch.setattr(
        tonic.datasets.NMNIST, "download", lambda _: (_ for _ in ()).throw(OSError("no route"))
    )
    with pytest.raises(DataError, match="NMNIST must be able to download, got: no route"):
        open_set("NMNIST", tmp_path, "test", download_missing=True)


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"name must be one of \['CIFAR10DVS', .*, got 'MNIST'"):
        open_set("MNIST", tmp_path)
    with pytest.raises(DataError, match=r"part of SHD must be one of \['train', 'test'\], got 'x'"):
        open_set("SHD", tmp_path, "x")
    with pytest.raises(DataError, match=r"options of SSC must be of \[\], got \['digits'\]"):
        open_set("SSC", tmp_path, digits=True)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = write_nmnist(tmp_path, "Train", 5, "00001")
    path.write_bytes(path.read_bytes()[:-1])
    recorded = open_set("NMNIST", tmp_path)
    with pytest.raises(DataError, match=r"00001.bin must hold a whole number of 5-byte events"):
        recorded[0]
    for write, name in ((write_gesture, "DVSGesture"), (write_poker, "POKERDVS")):
        where = "user01_led" if name == "DVSGesture" else "cl"
        path = write(tmp_path, where, 0)  # type: ignore[operator]
        content = path.read_bytes()
        path.write_bytes(content[:-9])
        with pytest.raises(DataError, match=rf"{name} .*0.npy must be readable, got ValueError"):
            open_set(name, tmp_path)[0]
        np.save(path, np.zeros((3, 3)))
        with pytest.raises(DataError, match=rf"{name} .*0.npy"):
            open_set(name, tmp_path)[0]
    (tmp_path / "DVSGesture/ibmGestureTrain/user01_led/hello.npy").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"as tonic.datasets.DVSGesture expects them, got ValueError"
    ):
        open_set("DVSGesture", tmp_path)
    images = np.zeros((2, 28, 28))
    write_mnist(tmp_path, images, [1, 2, 3])
    with pytest.raises(DataError, match=r"as tonic.datasets.SMNIST expects them, got Assertion"):
        open_set("SMNIST", tmp_path)


def test_events_out_of_order_or_range_are_refused_or_sorted(tmp_path: Path) -> None:
    path = tmp_path / "POKERDVS" / "pips_train" / "cl" / "0.npy"
    save(path, np.array([[9, 1, 1, 1], [3, 2, 2, 0], [9, 3, 3, 0]]))
    with pytest.raises(EventError, match=r"POKERDVS pips_train/cl/0.npy: field 't' must never"):
        open_set("POKERDVS", tmp_path)[0]
    events = open_set("POKERDVS", tmp_path, sort_times=True)[0].stream.events
    assert events["x"].tolist() == [2, 1, 3]
    save(path, np.array([[9, 35, 1, 1]]))
    with pytest.raises(EventError, match=r"field 'x' must lie in \[0, 35\), got 35"):
        open_set("POKERDVS", tmp_path)[0]
    save(path, np.zeros((0, 4)))
    assert len(open_set("POKERDVS", tmp_path)[0].stream) == 0


def test_a_set_describes_and_selects_without_reading(tmp_path: Path) -> None:
    for digit, name in ((0, "00001"), (0, "00002"), (3, "00003")):
        write_nmnist(tmp_path, "Train", digit, name).write_bytes(b"damaged")
    recorded = open_set("NMNIST", tmp_path)
    assert recorded.describe() == (
        "NMNIST train: 3 recordings, 2 of 10 classes, 0 to 2 each, 3 groups"
    )
    assert recorded.class_counts()["three"] == 1
    assert [e.source[-7:] for e in recorded.select([2, 0]).entries] == ["003.bin", "001.bin"]
    assert [e.label for e in recorded[1:].entries] == [0, 3]


def test_a_set_goes_into_a_spawned_worker(tmp_path: Path) -> None:
    write_nmnist(tmp_path, "Train", 2, "00001")
    write_gesture(tmp_path, "user04_led", 4)
    for name, label in (("NMNIST", 2), ("DVSGesture", 4)):
        recorded = open_set(name, tmp_path)
        assert pickle.loads(pickle.dumps(recorded))[0].label == label
    with get_context("spawn").Pool(1) as pool:
        item = pool.apply(operator.getitem, (recorded, 0))
    assert item.stream.events["t"].tolist() == T.tolist()
    packed = pickle.dumps(recorded)
    write_gesture(tmp_path, "user05_led", 4)
    with pytest.raises(DataError, match=r"must not change while it is read, got 2 recordings .* 1"):
        pickle.loads(packed)[0]


def test_gzipped_mnist_is_no_mnist(tmp_path: Path) -> None:
    write_mnist(tmp_path, np.zeros((1, 28, 28)), [1])
    path = tmp_path / "smnist" / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match=r"as tonic.datasets.SMNIST expects them"):
        open_set("SMNIST", tmp_path)
