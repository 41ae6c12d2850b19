"""``spikefuse data``: what info, convert and play print, write and refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.loading.datafiles import data, pictures
from sensors.files import read_events, write_events
from spikefuse.errors import ConfigError, DataError, EventError
from spikefuse.events import EVENT_DTYPE, EventStream

SIZE = (4, 2, 2)
ROWS = [(1000, 0, 0, True), (1500, 3, 1, False), (2500, 0, 0, True), (2600, 0, 0, False)]


def run(*arguments: object, code: int = 0) -> str:
    """Output of the command; what it raises is raised."""
    result = CliRunner().invoke(data, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.npz"
    write_events(path, EventStream(np.array(ROWS, EVENT_DTYPE), SIZE, 4000, "vision"))
    return path


def test_info_prints_what_is_there(file: Path, tmp_path: Path) -> None:
    printed = {
        line[:18].strip(): line[19:]
        for line in run("info", file, "--json", tmp_path / "i.json").splitlines()
    }
    assert printed == {
        "events": "4",
        "modality": "vision",
        "sensor (W, H, P)": "4 x 2 x 2",
        "duration": "4000 us",
        "event times": "1000 to 2600 us",
        "rate": "1000 events/s, 62.5 Hz per address",
        "ON share": "0.500",
        "active pixels": "2 of 8",
        "order": "ok",
        "range": "ok",
    }
    written = json.loads((tmp_path / "i.json").read_text())
    assert (written["n_events"], written["sensor_size"], written["n_backward"]) == (4, [4, 2, 2], 0)


def test_info_tells_disorder_by_its_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([1, 2, 128, 0, 9, 3, 3, 0, 0, 5, 40, 3, 0, 0, 9]))
    printed = run("info", path, code=1)
    assert "BAD: 1 events before the one they follow" in printed
    assert "BAD: 1 events outside the sensor" in printed
    assert "BAD: 1 events outside" not in run("info", path, "--size", "50x34x2", code=1)


def test_convert_keeps_every_event(file: Path, tmp_path: Path) -> None:
    assert run("convert", file, tmp_path / "b.h5") == f"4 events: {file} -> {tmp_path / 'b.h5'}\n"
    printed = run("convert", tmp_path / "b.h5", tmp_path / "c.bin")
    assert "the format holds no duration: 4000 us became 2601 us" in printed
    assert read_events(tmp_path / "c.bin", SIZE).events.tolist() == ROWS
    run("convert", file, tmp_path / "d.npz", "--rebase")
    moved = read_events(tmp_path / "d.npz")
    assert moved.events["t"].tolist() == [0, 500, 1500, 1600]
    assert moved.duration_us == 3000


def test_convert_sorts_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([1, 2, 128, 0, 9, 3, 3, 0, 0, 5]))
    with pytest.raises(EventError, match="must never decrease"):
        run("convert", path, tmp_path / "b.npz")
    assert not (tmp_path / "b.npz").exists()
    run("convert", path, tmp_path / "b.npz", "--sort")
    assert read_events(tmp_path / "b.npz").events["t"].tolist() == [5, 9]


def test_convert_overwrites_only_when_told(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.npz"
    other.write_bytes(b"precious")
    with pytest.raises(ConfigError, match="must not exist, got a file; --force overwrites it"):
        run("convert", file, other)
    assert other.read_bytes() == b"precious"
    run("convert", file, other, "--force")
    assert len(read_events(other)) == 4


def test_convert_of_a_damaged_file_writes_nothing(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"a\.npz must be a whole \.npz event file"):
        run("convert", file, tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


def test_play_shows_each_frame(file: Path) -> None:
    printed = run("play", file, "--speed", "0", "--frame-ms", "1", "--columns", "4")
    # Four columns of two rows are one row of characters: rows are joined.
    assert printed == "1.0 ms\n+  -\n2.0 ms\n#   \n3.0 ms\n    \n"


def test_pictures_of_channels_and_of_silence() -> None:
    sound = EventStream(np.array([(5, 1, 0, True)], EVENT_DTYPE), (3, 1, 1), 20, "audio")
    assert list(pictures(sound, 10, 3, 1)) == [(0, " + "), (10, "   ")]
    assert list(pictures(EventStream.empty((3, 1, 1), 0, "audio"), 10, 3, 1)) == [(0, "   ")]


def test_pictures_begin_with_the_first_event() -> None:
    late = EventStream(
        np.array([(10**15 + 5, 1, 0, True)], EVENT_DTYPE), (3, 1, 1), 10**15 + 6, "audio"
    )
    assert list(pictures(late, 10, 3, 1)) == [(10**15, " + ")]


def test_play_keeps_real_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    run("play", file, "--frame-ms", "1", "--speed", "0.5")
    assert waits == pytest.approx([0.0, 0.002, 0.004])


@pytest.mark.parametrize("size", ["34x34", "axbxc", "0x4x2", "4x4x3", "40000x1x1", "-1x2x2"])
def test_sizes_that_are_none(file: Path, size: str) -> None:
    with pytest.raises(ConfigError, match="--size must be"):
        run("info", file, f"--size={size}")


@pytest.mark.parametrize("option", ["--frame-ms=0", "--speed=-1", "--columns=0"])
def test_play_refuses(file: Path, option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option.split('=')[0]} must be positive"):
        run("play", file, option)
