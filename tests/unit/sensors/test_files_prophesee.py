"""Prophesee files: against words made by hand, an encoder from the definition, and faery."""

import warnings
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
# Times cross several steps of 4096 us, where another decoder adds 4096 us too many each.
ROWS: list[Row] = [
    (30, 5, 7, True),
    (30, 6, 7, False),
    (4095, 639, 479, True),
    (4096, 0, 0, False),
    (20_000, 12, 13, True),
    (5_000_000, 100, 200, False),
]
HEADER = b"% evt {}.0\n% format EVT{};width=640;height=480\n% geometry 640x480\n% end\n"
Y, X, BASE, V12, V8, LOW, MORE, HIGH, TRIGGER, OTHER = 0, 2, 3, 4, 5, 6, 7, 8, 10, 14
ON = 1 << 11


def evt_header(version: int) -> bytes:
    return HEADER.replace(b"{}", str(version).encode())


def evt2(rows: list[Row], triggers: bool = False) -> bytes:
    """Words of 32 bits: 0 OFF, 1 ON (6 bits of time, x, y), 8 upper time, 10 trigger."""
    words, high = [], None
    for t, x, y, p in rows:
        if t >> 6 != high:
            high = t >> 6
            words.append(0x8 << 28 | high & 0xFFFFFFF)
        words.append(int(p) << 28 | (t & 63) << 22 | x << 11 | y)
        if triggers:
            words.append(0xA << 28 | (t & 63) << 22 | 1)
    return np.array(words, "<u4").tobytes()


def evt3(rows: list[Row], triggers: bool = False) -> bytes:
    """Words of 16 bits: 0 y, 2 x and polarity, 6 lower 12 bits of time, 8 upper 12, 10 trigger."""
    words, high = [], None
    for t, x, y, p in rows:
        if t >> 12 != high:
            high = t >> 12
            words.append(HIGH << 12 | high & 0xFFF)
        words += [LOW << 12 | t & 0xFFF, y, X << 12 | int(p) << 11 | x]
        if triggers:
            words += [TRIGGER << 12 | 1, OTHER << 12 | 5]
    return np.array(words, "<u2").tobytes()


def words3(*pairs: tuple[int, int]) -> bytes:
    """EVT 3 words from type and value."""
    return evt_header(3) + np.array([kind << 12 | value for kind, value in pairs], "<u2").tobytes()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def rows_of(path: Path) -> list[Row]:
    return files.read_raw(path).events.tolist()


def assert_stream_or_one_line(path: Path) -> None:
    """Reading works or ends in one line that names the file; all else fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            n_events = len(files.read_events(path))
        except DataError as caught:
            text = str(caught)
        else:
            text = path.name
            assert n_events <= 12 * path.stat().st_size
    assert path.name in text
    assert "\n" not in text


BOTH = pytest.mark.parametrize(("version", "encode"), [(2, evt2), (3, evt3)])


@pytest.mark.parametrize("triggers", [False, True])
@BOTH
def test_files_are_read_right(tmp_path: Path, version: int, encode, triggers: bool) -> None:
    path = written(tmp_path / "a.raw", evt_header(version) + encode(ROWS, triggers))
    stream = files.read_events(path)
    assert stream.events.tolist() == ROWS
    assert stream.sensor_size == (640, 480, 2)
    skipped = files.read_raw(path).skipped
    assert skipped.get("external triggers", 0) == (len(ROWS) if triggers else 0)
    assert skipped.get("words of the vendor", 0) == (len(ROWS) if triggers and version == 3 else 0)
    assert files.summarise(files.read_raw(path)).skipped == skipped


@BOTH
def test_a_file_without_events_is_an_empty_stream(tmp_path: Path, version: int, encode) -> None:
    assert len(files.read_events(written(tmp_path / "a.raw", evt_header(version)))) == 0
    assert encode([]) == b""


def test_vectors_by_hand(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.raw",
        words3(
            *[(HIGH, 1), (LOW, 5), (Y, 40), (BASE, ON | 100)],
            *[(V12, 0b1000_0000_0001), (V12, 0), (V8, 0b1000_0010)],  # 100, 111; none; 125, 131
            *[(X, 7), (LOW, 6), (V8, 0b1), (BASE, 3), (V12, 0b10)],  # 7 OFF; then 132, 4 OFF
        ),
    )
    t = 4096
    assert rows_of(path) == [
        (t + 5, 100, 40, True),
        (t + 5, 111, 40, True),
        (t + 5, 125, 40, True),
        (t + 5, 131, 40, True),
        (t + 5, 7, 40, False),
        (t + 6, 132, 40, True),
        (t + 6, 4, 40, False),
    ]


def test_the_time_of_version_3_turns_over(tmp_path: Path) -> None:
    turn = 1 << 24
    rows: list[Row] = [(4094 * 4096 + 3, 1, 2, True), (4095 * 4096, 1, 2, False)]
    rows += [(turn * k + t, 3, 4, True) for k in (1, 2) for t in (9, 4096, 5_000_000, turn - 1)]
    assert rows_of(written(tmp_path / "a.raw", evt_header(3) + evt3(rows))) == rows


def test_the_time_of_version_2_turns_over(tmp_path: Path) -> None:
    turn = 1 << 34
    rows: list[Row] = [(turn - 1, 1, 2, True), (turn + 64, 3, 4, False), (2 * turn - 7, 3, 4, True)]
    assert rows_of(written(tmp_path / "a.raw", evt_header(2) + evt2(rows))) == rows


def test_time_that_steps_back_is_disorder_and_no_turn(tmp_path: Path) -> None:
    rows: list[Row] = [(40_000, 1, 2, True), (9_000, 3, 4, False)]
    path = written(tmp_path / "a.raw", evt_header(3) + evt3(rows))
    assert rows_of(path) == rows
    with pytest.raises(DataError, match="field 't' must never decrease"):
        files.read_events(path)
    assert files.read_events(path, sort=True).events.tolist() == rows[::-1]


def test_low_bits_from_before_do_not_join_new_high_bits(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.raw",
        words3((HIGH, 1), (LOW, 4000), (Y, 1), (X, 2), (HIGH, 1), (X, 3), (HIGH, 2), (X, 4)),
    )
    assert [t for t, *_ in rows_of(path)] == [8096, 8096, 8192]


@BOTH
def test_events_before_the_first_time_are_left_out_and_said(
    tmp_path: Path, version: int, encode
) -> None:
    word = 4 if version == 2 else 2
    live = encode(ROWS)[word:]  # without the first upper time bits
    path = written(tmp_path / "a.raw", evt_header(version) + live)
    n_timeless = 2 if version == 2 else 3  # in 6 bits of time, or 12
    with pytest.warns(UserWarning, match=rf"{n_timeless} words of events before the first time"):
        stream = files.read_events(path)
    assert stream.events.tolist() == ROWS[n_timeless:]


def test_events_without_a_row_or_a_base_are_left_out_and_said(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.raw",
        words3((HIGH, 0), (LOW, 1), (X, 5), (Y, 9), (V8, 3), (X, 6), (1, 4), (X, 7)),
    )
    with pytest.warns(UserWarning, match="are left out") as caught:
        rows = rows_of(path)
    assert rows == [(1, 6, 9, False)]
    texts = [str(w.message).split(": ", 1)[1] for w in caught]
    assert texts == [
        "3 words of events before the first row are left out",
        "1 words of a reserved type are left out",
    ]


@pytest.mark.parametrize(("version", "encode", "word"), [(2, evt2, 4), (3, evt3, 2)])
def test_a_cut_word_is_an_error(tmp_path: Path, version: int, encode, word: int) -> None:
    content = evt_header(version) + encode(ROWS)
    for n_lost in range(1, word):
        path = written(tmp_path / "a.raw", content[:-n_lost])
        with pytest.raises(DataError, match=rf"whole words of {word} bytes, got \d+: truncated"):
            files.read_events(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must have a header of EVT 2 or 3, got no version"),
        (b"% evt 4.0\n", "must have a header of EVT 2 or 3, got evt4"),
        (b"% evt 2.1\n", r"must have a header of EVT 2 or 3, got evt2\.1"),
        (b"% no line end", "got no version"),
    ],
)
def test_headers_of_something_else(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        files.read_events(written(tmp_path / "a.raw", content))


def test_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    for header, size in (
        (b"% evt 3.0\n", (1280, 720, 2)),
        (b"% format EVT3;height=720;width=960\n% end\n", (960, 720, 2)),
        (b"% Date 2024-02-01\n% geometry 320x320\n% evt 3.0\n", (320, 320, 2)),
    ):
        written(path, header + evt3([(9, 100, 200, True)]))
        stream = files.read_events(path)
        assert (stream.sensor_size, stream.events.tolist()) == (size, [(9, 100, 200, True)])
    big = np.frombuffer(evt3(ROWS), "<u2").astype(">u2").tobytes()
    written(path, b"% evt 3.0\n% endianness big\n% geometry 640x480\n% end\n" + big)
    assert files.read_events(path).events.tolist() == ROWS
    written(path, b"% evt 3.0\n% end\n" + evt3([(9, 100, 200, True)]))
    assert files.read_events(path, (640, 480, 2)).sensor_size == (640, 480, 2)


def test_addresses_outside_the_sensor_are_one_error(tmp_path: Path) -> None:
    path = written(tmp_path / "a.raw", evt_header(3) + evt3([(0, 700, 3, True)]))
    with pytest.raises(DataError, match=r"a\.raw: field 'x' must lie in \[0, 640\), got 700"):
        files.read_events(path)
    assert files.summarise(files.read_raw(path)).n_outside == 1


def random_words(rng: np.random.Generator, n: int = 4000) -> list[tuple[int, int]]:
    """Words that a sensor could send: time moves on, vectors follow their base."""
    words, high, low = [(HIGH, 5), (LOW, 0), (Y, 3)], 5, 0
    while len(words) < n:
        match int(rng.choice([Y, X, BASE, LOW, HIGH, TRIGGER, OTHER])):
            case kind if kind == Y:
                words.append((Y, int(rng.integers(480))))
            case kind if kind == X:
                words.append((X, int(rng.integers(2)) * ON + int(rng.integers(640))))
            case kind if kind == BASE:
                words.append((BASE, int(rng.integers(2)) * ON + int(rng.integers(500))))
                for vector in rng.choice([V12, V8], rng.integers(1, 5)):
                    bits = 12 if vector == V12 else 8
                    words.append((int(vector), int(rng.integers(1 << bits))))
            case kind if kind == LOW:
                low = min(4095, low + int(rng.integers(200)))
                words.append((LOW, low))
            case kind if kind == HIGH:
                high, low = high + 1, int(rng.integers(50))
                words += [(HIGH, high), (LOW, low)]  # the low bits come right after
            case kind:
                words.append((kind, int(rng.integers(4096))))
    return words


@needs_faery
@pytest.mark.parametrize("seed", range(4))
def test_faery_agrees_on_words_of_a_sensor(tmp_path: Path, seed: int) -> None:
    path = written(tmp_path / "a.raw", words3(*random_words(np.random.default_rng(seed))))
    theirs = foreign._decoded(path, "evt").events
    ours = files.read_raw(path).events
    assert len(ours) > 2000
    for name in ("t", "x", "y", "p"):
        np.testing.assert_array_equal(ours[name], theirs[name])


@needs_faery
def test_where_faery_is_wrong(tmp_path: Path) -> None:
    """Why these files are decoded here: it takes a first 4094 for the time before a turn."""
    rows: list[Row] = [(4094 * 4096 + 3, 1, 2, True), (4095 * 4096 + 5, 1, 2, False)]
    path = written(tmp_path / "a.raw", evt_header(3) + evt3(rows))
    assert rows_of(path) == rows
    assert foreign._decoded(path, "evt").events["t"].tolist() != [t for t, *_ in rows]


@needs_faery
@pytest.mark.parametrize("seed", range(2))
def test_faery_agrees_on_random_events_of_version_2(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(0, 90, 3000)).tolist()
    rows = [
        (t, int(rng.integers(640)), int(rng.integers(480)), bool(rng.integers(2))) for t in times
    ]
    path = written(tmp_path / "a.raw", evt_header(2) + evt2(rows, triggers=True))
    assert rows_of(path) == rows
    theirs = foreign._decoded(path, "evt").events
    assert [tuple(e) for e in theirs[["t", "x", "y", "p"]].tolist()] == rows


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("version", [2, 3])
def test_any_words_are_events_or_counted(tmp_path: Path, version: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 1 << 32, 500, dtype=np.uint32)
    if version == 3:
        words = words.view(np.uint16)
    path = written(tmp_path / "a.raw", evt_header(version) + words.tobytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = files.read_raw(path)
        kinds = words >> (28 if version == 2 else 12)
        # Every word that can be an event is one, or is counted; every other word is accounted for.
        if version == 2:
            silent = int((kinds == 8).sum())
            assert len(raw.events) + sum(raw.skipped.values()) + silent == len(words)
        else:
            silent = int(np.isin(kinds, [Y, BASE, LOW, HIGH]).sum())
            assert sum(raw.skipped.values()) + silent <= len(words)
            assert len(raw.events) <= 12 * len(words)
    assert_stream_or_one_line(path)


@pytest.mark.parametrize("seed", range(10))
@BOTH
def test_damaged_files_are_events_or_one_error(
    tmp_path: Path, version: int, encode, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    damaged = bytearray(evt_header(version) + encode(ROWS, True))
    for at in rng.integers(0, len(damaged), 4):
        damaged[at] = rng.integers(256)
    path = written(tmp_path / "b.raw", bytes(damaged))
    assert_stream_or_one_line(path)
