"""Event files: round trips, other readers, and every kind of damage."""

import os
from pathlib import Path

import numpy as np
import pytest

from sensors import files
from sensors.formats import own
from spikefuse.errors import DataError, EventError
from spikefuse.events import EVENT_DTYPE, EventStream

OWN = [".npz", ".h5"]


def same_stream(a: EventStream, b: EventStream) -> bool:
    about = [(s.sensor_size, s.duration_us, s.modality) for s in (a, b)]
    return about[0] == about[1] and a.events.tobytes() == b.events.tobytes()


@pytest.mark.parametrize("suffix", OWN)
@pytest.mark.parametrize("size", [(8, 6, 2), (700, 1, 1)])
@pytest.mark.parametrize("n_events", [0, 1, 200])
def test_own_files_lose_nothing(
    tmp_path: Path, make_stream, suffix: str, size: tuple[int, int, int], n_events: int
) -> None:
    stream = make_stream(n_events, size, 50_000, "audio")
    path = tmp_path / "deeper" / f"a{suffix}"
    files.write_events(path, stream)
    assert same_stream(files.read_events(path), stream)
    assert [f.name for f in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [*OWN, ".bin"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, make_stream, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    files.write_events(path, make_stream(20))
    before = path.read_bytes()

    def fail(_handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_events(path, make_stream(30))
    assert path.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", OWN)
def test_every_cut_of_an_own_file_is_one_error(tmp_path: Path, make_stream, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    files.write_events(path, make_stream(50))
    content = path.read_bytes()
    cuts = {0, 1, 100, 511, 512, 513, len(content) - 1, *range(0, len(content), 97)}
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match=f"{path.name} must be"):
            files.read_events(path)


def outcome(path: Path) -> EventStream | str:
    """The stream, or the one error; any other exception fails the test."""
    try:
        return files.read_events(path)
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("suffix", OWN)
def test_a_changed_byte_is_an_error_or_changes_nothing(
    tmp_path: Path, make_stream, rng: np.random.Generator, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    stream = make_stream(40)
    files.write_events(path, stream)
    content = path.read_bytes()
    n_errors = 0
    for at in rng.permutation(len(content))[:250]:
        damaged = bytearray(content)
        damaged[at] ^= rng.integers(1, 256)
        path.write_bytes(damaged)
        found = outcome(path)
        if isinstance(found, str):
            assert found.startswith(str(path))
            n_errors += 1
        else:  # bytes that mean nothing: a date in the zip format
            assert same_stream(found, stream)
    assert n_errors > 125


def test_own_files_of_another_version_or_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, meta=np.frombuffer(b'{"version": 2}', np.uint8), t=[1], x=[1], y=[1], p=[True])
    with pytest.raises(DataError, match="version must be 1, got 2"):
        files.read_events(path)
    np.savez(path, t=[1])
    with pytest.raises(DataError, match="meta is not a file in the archive"):
        files.read_events(path)
    about = b'{"version": 1, "sensor_size": [8, 6, 2], "duration_us": 9, "modality": "v"}'
    meta = np.frombuffer(about, np.uint8)
    np.savez(path, meta=meta, t=[1.5], x=[1], y=[1], p=[True])
    with pytest.raises(DataError, match="t must be int64, got float64"):
        files.read_events(path)
    np.savez(path, meta=meta, t=[1, 2], x=np.zeros(1, "i2"), y=np.zeros(1, "i2"), p=[True])
    with pytest.raises(DataError, match=r"columns must be of one length, got \[1, 2\]"):
        files.read_events(path)


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, meta=np.array([{"version": 1}], object), t=[1], x=[1], y=[1], p=[True])
    with pytest.raises(DataError, match="allow_pickle=False"):
        files.read_events(path)


def test_an_edited_h5_says_so(tmp_path: Path, make_stream) -> None:
    import h5py

    path = tmp_path / "a.h5"
    own.write_h5(path, make_stream(10))
    with h5py.File(path, "r+") as file:
        file["x"][0] += 1
    with pytest.raises(DataError, match="got another hash: truncated, damaged or edited"):
        files.read_events(path)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(DataError, match="must be an event file of spikefuse"):
        files.read_events(tmp_path / "b.h5")


def five_bytes(rows: list[tuple[int, int, int, int]]) -> bytes:
    """5-byte events (t, x, y, p) by the definition of the layout."""
    return b"".join(bytes([x, y]) + ((p << 23) | t).to_bytes(3, "big") for t, x, y, p in rows)


def test_nmnist_files_equal_tonic_and_the_layout(tmp_path: Path) -> None:
    import tonic.io

    rows = [(5, 1, 2, 1), (70_000, 33, 0, 0), (2**23 - 1, 0, 33, 1)]
    path = tmp_path / "00001.bin"
    path.write_bytes(five_bytes(rows))
    assert files.read_events(path).events.tolist() == [(t, x, y, bool(p)) for t, x, y, p in rows]
    overflows = [(5, 1, 2, 1), (0, 0, 240, 0), (9, 3, 4, 0), (0, 0, 240, 0), (9, 5, 6, 1)]
    path.write_bytes(five_bytes(overflows))
    mine = files.read_events(path).events
    assert mine["t"].tolist() == [5, 9 + 8192, 9 + 2 * 8192]
    theirs = tonic.io.read_mnist_file(str(path), np.dtype([(n, "i8") for n in "xytp"]))
    for name in "xytp":
        assert mine[name].tolist() == theirs[name].tolist()


def test_nmnist_files_are_written_as_the_layout_says(tmp_path: Path, make_stream) -> None:
    stream = make_stream(300, (34, 34, 2), 2**23)
    path = tmp_path / "a.bin"
    files.write_events(path, stream)
    assert path.read_bytes() == five_bytes(stream.events.tolist())
    again = files.read_events(path)
    assert again.events.tobytes() == stream.events.tobytes()
    assert again.duration_us == stream.events["t"][-1] + 1  # not in the file


@pytest.mark.parametrize("n_bytes", [0, 1, 4, 6, 99])
def test_cut_nmnist_files_are_refused(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(n_bytes))
    with pytest.raises(DataError, match=f"got {n_bytes} bytes: truncated"):
        files.read_events(path)


def test_any_bytes_are_events_or_one_error(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "a.bin"
    kinds = []
    for _ in range(100):
        content = rng.integers(
            0, rng.choice([34, 256]), rng.integers(1, 12) * 5, np.uint8
        ).tobytes()
        path.write_bytes(content)
        found = outcome(path)
        kinds.append(type(found))
        if isinstance(found, str):
            assert found.startswith(str(path))
        else:
            assert len(found) == len(content) // 5 - content[1::5].count(240)
    assert set(kinds) == {str, EventStream}


@pytest.mark.parametrize(
    ("row", "size", "message"),
    [
        ((2**23, 0, 0, True), (34, 34, 2), "must lie before 8388608 us, got one at 8388608 us"),
        ((0, 256, 0, True), (346, 260, 2), "addresses up to 255"),
        ((0, 0, 240, True), (346, 260, 2), "none in row 240"),
        ((0, 0, 0, True), (64, 1, 1), "must have 2 polarities, got 1"),
        (None, (34, 34, 2), "must hold at least one, got none"),
    ],
)
def test_what_nmnist_files_cannot_hold(tmp_path: Path, row, size, message: str) -> None:
    events = np.array([row] if row else [], EVENT_DTYPE)
    stream = EventStream(events, size, 2**24, "vision")
    with pytest.raises(DataError, match=message):
        files.write_events(tmp_path / "a.bin", stream)
    assert list(tmp_path.iterdir()) == []


def test_disorder_is_an_error_unless_it_is_to_be_sorted(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(five_bytes([(5, 1, 2, 1), (3, 3, 3, 0)]))
    with pytest.raises(EventError, match=r"a\.bin: field 't' must never decrease, got 5 us then 3"):
        files.read_events(path)
    assert files.read_events(path, sort=True).events["t"].tolist() == [3, 5]


def test_a_summary_is_a_hand_count(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(
        five_bytes([(1000, 1, 2, 1), (999, 1, 2, 1), (1999, 40, 0, 0), (1999, 3, 3, 1)])
    )
    summary = files.summarise(files.read_raw(path))
    assert (summary.n_events, summary.first_us, summary.last_us) == (4, 999, 1999)
    assert summary.duration_us == 2000
    assert summary.rate_hz == pytest.approx(2000)
    assert summary.rate_per_address_hz == pytest.approx(2000 / (34 * 34 * 2))
    assert (summary.on_share, summary.n_active) == (0.75, 2)
    assert (summary.n_backward, summary.n_outside, summary.is_sound) == (1, 1, False)


def test_a_summary_of_nothing(tmp_path: Path) -> None:
    files.write_events(tmp_path / "a.npz", EventStream.empty((4, 4, 2), 0, "vision"))
    summary = files.summarise(files.read_raw(tmp_path / "a.npz"))
    assert (summary.n_events, summary.first_us, summary.rate_hz, summary.on_share) == (0,) + (
        None,
    ) * 3
    assert summary.is_sound


def test_refusals(tmp_path: Path, make_stream) -> None:
    with pytest.raises(DataError, match=r"must end in one of \['\.aedat4', .*\], got '\.csv'"):
        files.read_events(tmp_path / "a.csv")
    with pytest.raises(DataError, match="must be a file, got none there"):
        files.read_events(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"must end in one of .*'\.npz'\], got '\.es'"):
        files.write_events(tmp_path / "a.es", make_stream(3))
    files.write_events(tmp_path / "a.npz", make_stream(3))
    with pytest.raises(DataError, match=r"must be \(8, 6, 2\) as it says, got \(9, 6, 2\)"):
        files.read_events(tmp_path / "a.npz", (9, 6, 2))


@pytest.mark.realdata
def test_real_recordings_survive_every_format(data_root: Path, tmp_path: Path) -> None:
    source = sorted((data_root / "NMNIST" / "Test").rglob("*.bin"))[0]
    stream = files.read_events(source)
    for suffix in (".npz", ".h5", ".bin"):
        files.write_events(tmp_path / f"a{suffix}", stream)
        assert same_stream(files.read_events(tmp_path / f"a{suffix}"), stream)
    assert (tmp_path / "a.bin").read_bytes() == source.read_bytes()
