"""N-MNIST through Tonic and wav folders: exact layouts, no network, damaged files."""

import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sensors.audio_source import load_spoken_digits, read_wav
from sensors.cochlea import CochleaParams
from sensors.tonic_source import load_nmnist
from spikefuse.errors import DataError, EventError


def pack_nmnist(t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> bytes:
    """The 40-bit event format: x, y, polarity and 23 bits of microseconds."""
    rows = np.stack([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255], axis=1)
    return rows.astype(np.uint8).tobytes()


@pytest.fixture
def nmnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for part, digit, name in (("Train", 5, "00001"), ("Train", 0, "00002"), ("Test", 7, "00001")):
        folder = tmp_path / "NMNIST" / part / str(digit)
        folder.mkdir(parents=True)
        t = np.array([10, 70_000, 300_000])
        content = pack_nmnist(t, np.array([1, 2, 33]), np.array([0, 33, 5]), np.array([1, 0, 1]))
        (folder / f"{name}.bin").write_bytes(content + b"" * digit)
    return tmp_path


def test_a_subset_loads_without_network(nmnist: Path) -> None:
    recordings = load_nmnist(nmnist)
    assert [(r.label, r.source) for r in recordings] == [
        (0, "Train/0/00002.bin"),
        (5, "Train/5/00001.bin"),
        (7, "Test/7/00001.bin"),
    ]
    events = recordings[0].stream.events
    assert events["t"].tolist() == [10, 70_000, 300_000]
    assert events["x"].tolist() == [1, 2, 33]
    assert events["y"].tolist() == [0, 33, 5]
    assert events["p"].tolist() == [True, False, True]


def test_same_content_is_one_group(nmnist: Path) -> None:
    assert len({r.group for r in load_nmnist(nmnist)}) == 1


@pytest.mark.parametrize("size", [0, 7])
def test_a_truncated_recording_is_named(nmnist: Path, size: int) -> None:
    path = nmnist / "NMNIST" / "Train" / "5" / "00001.bin"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"00001.bin must hold a whole number of 5-byte events"):
        load_nmnist(nmnist)


def test_bad_addresses_and_times_are_named(nmnist: Path) -> None:
    path = nmnist / "NMNIST" / "Train" / "5" / "00001.bin"
    one = np.array([1])
    path.write_bytes(pack_nmnist(one, np.array([34]), one, one))
    with pytest.raises(EventError, match=r"00001.bin: field 'x' must lie in \[0, 34\), got 34"):
        load_nmnist(nmnist)
    two = np.array([1, 1])
    path.write_bytes(pack_nmnist(np.array([9, 3]), two, two, two))
    with pytest.raises(EventError, match="must never decrease"):
        load_nmnist(nmnist)


def test_a_missing_data_set_says_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"download the data set of tonic.datasets.NMNIST"):
        load_nmnist(tmp_path)
    with pytest.raises(DataError, match="got no wav file"):
        load_spoken_digits(tmp_path, CochleaParams())


def test_wav_folders_of_any_rate(tmp_path: Path, rng: np.random.Generator) -> None:
    folder = tmp_path / "FSDD" / "recordings"
    folder.mkdir(parents=True)
    for name, rate in (("3_ann_0.wav", 8000), ("7_bob_12.wav", 22050)):
        soundfile.write(folder / name, 0.1 * rng.standard_normal((rate // 4, 2)), rate)
    recordings = load_spoken_digits(tmp_path, CochleaParams(n_channels=16))
    assert [(r.label, r.group) for r in recordings] == [(3, "ann"), (7, "bob")]
    assert recordings[0].stream.sensor_size == (16, 1, 1)
    assert recordings[1].stream.duration_us == pytest.approx(250_000, abs=50)


def test_damaged_wav_files_are_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "1_ann_0.wav", np.zeros(0), 8000)
    with pytest.raises(DataError, match=r"1_ann_0.wav must hold at least one sample, got none"):
        load_spoken_digits(tmp_path, CochleaParams())
    (tmp_path / "1_ann_0.wav").write_bytes(b"RIFFnonsense")
    with pytest.raises(DataError, match="must be a readable sound file"):
        read_wav(tmp_path / "1_ann_0.wav")
    soundfile.write(tmp_path / "1_ann_0.wav", np.zeros(100), 4000)
    with pytest.raises(DataError, match=r"1_ann_0.wav: f_max_hz must be at most"):
        load_spoken_digits(tmp_path, CochleaParams())
    (tmp_path / "1_ann_0.wav").rename(tmp_path / "hello.wav")
    with pytest.raises(DataError, match=r"must be named <digit>_<speaker>_<index>.wav"):
        load_spoken_digits(tmp_path, CochleaParams())


@pytest.mark.realdata
def test_the_real_recordings_load(data_root: Path) -> None:
    recordings = load_nmnist(data_root)
    assert len(recordings) >= 500
    assert {r.label for r in recordings} == set(range(10))
    assert np.mean([len(r.stream) for r in recordings]) == pytest.approx(4100, rel=0.1)
