"""The cache of recordings: round trip, what invalidates an entry, damage, interrupted writes."""

import os
import types
from pathlib import Path

import numpy as np
import pytest

from sensors.cache import (
    cache_directory,
    cache_entries,
    cached_recordings,
    clear_cache,
    trim_cache,
)
from sensors.recordings import Recording
from spikefuse.errors import ConfigError, DataError
from spikefuse.events import EventStream


class Builder:
    """Counts how often the cache had to build."""

    def __init__(self, recordings: list[Recording]) -> None:
        self.recordings = recordings
        self.calls = 0

    def __call__(self) -> list[Recording]:
        self.calls += 1
        return self.recordings


@pytest.fixture
def builder(make_stream) -> Builder:
    return Builder(
        [
            Recording(make_stream(), 3, "a", "ann", "train"),
            Recording(EventStream.empty((64, 1, 1), 5000, "audio"), 0, "b", "bob", None),
            Recording(make_stream(17, duration_us=90_000), 9, "c", "cyd", "test"),
        ]
    )


def entries(folder: Path) -> list[Path]:
    """Everything in the folder, hidden files included."""
    return sorted(folder.iterdir())


def module_with(path: Path, text: str) -> types.ModuleType:
    path.write_text(text)
    module = types.ModuleType("generated")
    module.__file__ = str(path)
    return module


def test_the_second_call_reads_back_the_same_recordings(builder: Builder, tmp_path: Path) -> None:
    _, first = cached_recordings({"a": 1}, builder, directory=tmp_path)
    loaded, second = cached_recordings({"a": 1}, builder, directory=tmp_path)
    assert (first, second, builder.calls) == (False, True, 1)
    assert len(loaded) == 3
    for was, now in zip(builder.recordings, loaded, strict=True):
        np.testing.assert_array_equal(was.stream.events, now.stream.events)
        assert was.stream.sensor_size == now.stream.sensor_size
        assert was.stream.duration_us == now.stream.duration_us
        assert was.stream.modality == now.stream.modality
        assert (was.label, was.source, was.group, was.split) == (
            now.label,
            now.source,
            now.group,
            now.split,
        )


def test_an_empty_list_is_a_valid_entry(tmp_path: Path) -> None:
    cached_recordings({}, list, directory=tmp_path)
    assert cached_recordings({}, list, directory=tmp_path) == ([], True)


def test_the_order_of_the_keys_does_not_matter_but_their_values_do(
    builder: Builder, tmp_path: Path
) -> None:
    cached_recordings({"a": 1, "b": 2}, builder, directory=tmp_path)
    assert cached_recordings({"b": 2, "a": 1}, builder, directory=tmp_path)[1]
    assert not cached_recordings({"a": 1, "b": 3}, builder, directory=tmp_path)[1]
    assert len(entries(tmp_path)) == 2


def test_changed_source_code_invalidates(builder: Builder, tmp_path: Path) -> None:
    folder, code = tmp_path / "cache", tmp_path / "code.py"
    cached_recordings({}, builder, [module_with(code, "x = 1")], folder)
    assert cached_recordings({}, builder, [module_with(code, "x = 1")], folder)[1]
    assert not cached_recordings({}, builder, [module_with(code, "x = 2")], folder)[1]


def test_a_module_without_a_file_is_refused(builder: Builder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sources must be modules with a file, got nofile"):
        cached_recordings({}, builder, [types.ModuleType("nofile")], tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_damaged_entry_is_rebuilt_with_a_warning(
    builder: Builder, tmp_path: Path, keep: int
) -> None:
    cached_recordings({}, builder, directory=tmp_path)
    (path,) = entries(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.warns(UserWarning, match="is damaged .* rebuilt"):
        _, hit = cached_recordings({}, builder, directory=tmp_path)
    assert not hit
    assert cached_recordings({}, builder, directory=tmp_path)[1]


def test_flipped_bytes_in_the_events_are_noticed(builder: Builder, tmp_path: Path) -> None:
    cached_recordings({}, builder, directory=tmp_path)
    (path,) = entries(tmp_path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(255 - byte for byte in content[middle : middle + 8])
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged"):
        cached_recordings({}, builder, directory=tmp_path)


def test_an_interrupted_write_leaves_nothing_behind(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cached_recordings({}, builder, directory=tmp_path)
    assert entries(tmp_path) == []


def test_the_environment_names_the_folder(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKEFUSE_CACHE", str(tmp_path / "named"))
    cached_recordings({}, builder)
    assert len(entries(tmp_path / "named")) == 1
    monkeypatch.delenv("SPIKEFUSE_CACHE")
    assert cache_directory() == Path.home() / ".cache" / "spikefuse"


def files_of(folder: Path, **sizes: int) -> None:
    """Entries of given sizes, the first the one used longest ago."""
    folder.mkdir(exist_ok=True)
    for age, (name, size) in enumerate(sizes.items()):
        path = folder / f"recordings-{name}.events"
        path.write_bytes(bytes(size))
        os.utime(path, (1000 + age, 1000 + age))


def test_the_entries_that_were_not_used_for_longest_go_first(tmp_path: Path) -> None:
    files_of(tmp_path, a=300, b=400, c=500)
    (tmp_path / "mine.txt").write_text("not of the cache")
    assert [e.name for e in cache_entries(tmp_path)] == [
        f"recordings-{name}.events" for name in "cba"
    ]
    assert trim_cache(1200, tmp_path) == 0
    assert trim_cache(900, tmp_path) == 300
    assert trim_cache(100, tmp_path, keep="recordings-b.events") == 500
    assert [e.n_bytes for e in cache_entries(tmp_path)] == [400]
    assert clear_cache(directory=tmp_path) == 400
    assert entries(tmp_path) == [tmp_path / "mine.txt"]


def test_using_an_entry_makes_it_young(builder: Builder, tmp_path: Path) -> None:
    cached_recordings({"a": 1}, builder, directory=tmp_path)
    (first,) = cache_entries(tmp_path)
    os.utime(tmp_path / first.name, (1000, 1000))
    files_of(tmp_path, b=10)
    os.utime(tmp_path / "recordings-b.events", (2000, 2000))
    assert cached_recordings({"a": 1}, builder, directory=tmp_path)[1]
    assert [e.name for e in cache_entries(tmp_path)] == [first.name, "recordings-b.events"]


def test_writing_keeps_to_the_limit(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files_of(tmp_path, a=3000)
    monkeypatch.setenv("SPIKEFUSE_CACHE_GIB", str(2000 / 2**30))
    cached_recordings({"a": 1}, builder, directory=tmp_path)
    assert "recordings-a.events" not in [e.name for e in cache_entries(tmp_path)]
    assert cached_recordings({"a": 1}, builder, directory=tmp_path)[1]
    monkeypatch.setenv("SPIKEFUSE_CACHE_GIB", "much")
    with pytest.raises(ConfigError, match="SPIKEFUSE_CACHE_GIB must be a positive number, got"):
        trim_cache(directory=tmp_path)


def test_what_killed_processes_left_goes_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / ".recordings-a.events.x1", tmp_path / ".recordings-a.events.x2"
    for path in (old, new):
        path.write_bytes(bytes(10))
    os.utime(old, (1000, 1000))
    assert trim_cache(10**9, tmp_path) == 10
    assert entries(tmp_path) == [new]


def test_only_entries_can_be_cleared(tmp_path: Path) -> None:
    files_of(tmp_path, a=3, b=4)
    assert clear_cache(["recordings-a.events"], tmp_path) == 3
    with pytest.raises(DataError, match=r"entry must be one of the cache in .*, got '\.\./b'"):
        clear_cache(["../b"], tmp_path)
    assert cache_entries(tmp_path / "nowhere") == []
