"""AEDAT 4 and Event Stream files against encoders written from their definitions."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from sensors import files
from sensors.formats import foreign
from spikefuse.errors import DataError

needs_faery = pytest.mark.skipif(
    find_spec("faery") is None, reason="faery is not installed: pip install 'spikefuse[io]'"
)
Row = tuple[int, int, int, bool]
ROWS: list[Row] = [
    (30, 5, 7, True),
    (30, 6, 7, False),
    (4095, 639, 479, True),
    (4096, 0, 0, False),
    (20_000, 12, 13, True),
    (5_000_000, 100, 200, False),
]


def es(rows: list[Row], width: int = 640, height: int = 480) -> bytes:
    """DVS events: 7 bits of time step and polarity, x, y from below; 255 adds 127 to the time."""
    head = b"Event Stream\x02\x00\x00\x01" + np.array([width, height], "<u2").tobytes()
    body, now = [], 0
    for t, x, y, p in rows:
        n_overflows, step = divmod(t - now, 127)
        position = np.array([x, height - 1 - y], "<u2").tobytes()
        body.append(b"\xff" * n_overflows + bytes([step << 1 | int(p)]) + position)
        now = t
    return head + b"".join(body)


def assert_stream_or_one_line(path: Path) -> None:
    """Reading works or ends in one line that names the file; all else fails the test."""
    try:
        n_events = len(files.read_events(path))
    except DataError as caught:
        text = str(caught)
    else:
        text = path.name
        assert n_events <= path.stat().st_size
    assert path.name in text
    assert "\n" not in text


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@needs_faery
def test_event_stream_files_are_read_right(tmp_path: Path) -> None:
    path = written(tmp_path / "a.es", es(ROWS[:5]))
    assert files.read_events(path).events.tolist() == ROWS[:5]
    assert len(files.read_events(written(path, es([])))) == 0


@needs_faery
def test_aedat4_files_are_read_right(tmp_path: Path) -> None:
    import faery

    events = np.array(ROWS, faery.EVENTS_DTYPE)
    path = tmp_path / "a.aedat4"
    faery.events_stream_from_array(events.copy(), (640, 480)).to_file(path)
    stream = files.read_events(path)
    assert stream.events.tolist() == ROWS
    assert stream.sensor_size == (640, 480, 2)
    content = path.read_bytes()
    for cut in (10, 100, len(content) // 2, len(content) - 20):
        with pytest.raises(DataError, match=r"a\.aedat4 must be a whole aedat file, got"):
            files.read_events(written(path, content[:cut]))


def test_every_cut_inside_an_event_of_an_event_stream_is_an_error(tmp_path: Path) -> None:
    content = es([(0, 1, 1, True), (300, 2, 2, False)])
    assert len(content) == 20 + 5 + 2 + 5
    inside = [*range(21, 25), *range(28, 32)]
    for cut in inside:
        with pytest.raises(DataError, match=r"must end with a whole event, got \d bytes of one"):
            files.read_events(written(tmp_path / "a.es", content[:cut]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.es", b"Event Strean" + bytes(20), "must begin with an Event Stream header"),
        ("a.es", b"Event Stream", "must begin with an Event Stream header"),
        (
            "a.es",
            b"Event Stream\x02\x00\x00\x04" + bytes(4),
            "must hold DVS or ATIS events, got type 4",
        ),
    ],
)
def test_headers_of_something_else(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        files.read_events(written(tmp_path / name, content))


@needs_faery
def test_damaged_headers_that_abort_the_decoder_are_one_error(tmp_path: Path) -> None:
    import faery

    path = tmp_path / "a.aedat4"
    events = np.array(ROWS, faery.EVENTS_DTYPE)
    faery.events_stream_from_array(events, (640, 480)).to_file(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"<dv")
    content[at + 5] = 0x9C  # not UTF-8
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.aedat4 must be a whole aedat file, got"):
        files.read_events(path)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import os; os.abort()", "got a decoder that died of signal 6: damaged"),
        ("raise RuntimeError('bad byte')", "got RuntimeError: bad byte"),
        ("import sys; sys.exit(3)", "got exit code 3"),
        ("import time; time.sleep(60)", "must be decoded within 0 s, got no end"),
    ],
)
def test_a_decoder_that_dies_or_hangs_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    program = written(tmp_path / "script.py", script.encode())
    monkeypatch.setattr(foreign.faery_script, "__file__", str(program))
    monkeypatch.setattr(foreign, "find_spec", lambda _name: True)
    if "sleep" in script:
        monkeypatch.setattr(foreign, "_LEAST_SECONDS", 0.3)
    path = written(tmp_path / "a.es", es(ROWS[:2]))
    with pytest.raises(DataError, match=message):
        files.read_events(path)


def test_without_faery_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "find_spec", lambda _name: None)
    path = written(tmp_path / "a.es", es(ROWS[:2]))
    with pytest.raises(DataError, match=r"need faery, .* pip install 'spikefuse\[io\]'"):
        files.read_events(path)


@needs_faery
@pytest.mark.parametrize("seed", range(3))
def test_fuzzed_files_are_events_or_one_error(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    damaged = bytearray(es(ROWS[:5]))
    for at in rng.integers(0, len(damaged), 4):
        damaged[at] = rng.integers(256)
    assert_stream_or_one_line(written(tmp_path / "c.es", bytes(damaged)))
