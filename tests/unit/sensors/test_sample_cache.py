"""Sets that keep what they have read: same streams, names by content, processes that die."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sensors.data_sets import open_set
from sensors.recorded import RecordedSet
from sensors.sample_cache import CachedSet, cached_set
from sensors.shards import Shard
from sensors.transforms import crop_time, denoise, refractory
from spikefuse.errors import DataError

N_EACH = 5


def array(seed: int, n: int = 300) -> np.ndarray:
    """A recording as POKER-DVS has it: t, x, y, p."""
    rng = np.random.default_rng(seed)
    columns = [np.sort(rng.integers(0, 90_000, n)), *rng.integers(0, 35, (2, n))]
    return np.stack([*columns, rng.integers(0, 2, n)], axis=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty recordings of four classes."""
    for i, suit in enumerate(("cl", "he", "di", "sp")):
        folder = tmp_path / "POKERDVS" / "pips_train" / suit
        folder.mkdir(parents=True)
        for k in range(N_EACH):
            np.save(folder / f"{k}.npy", array(10 * i + k))
    return tmp_path


def poker(root: Path, **options) -> RecordedSet:
    return open_set("POKERDVS", root, **options)


def cached(root: Path, chain=(), shard_size: int = 6, **options) -> CachedSet:
    return cached_set(poker(root, **options), chain, root / "cache", shard_size)


def shards(root: Path) -> list[Path]:
    return sorted((root / "cache").glob("set-*/*.events"))


def assert_equal(got: RecordedSet, expected: RecordedSet) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.stream.events.tobytes() == b.stream.events.tobytes()
        assert (a.label, a.source, a.group, a.split) == (b.label, b.source, b.group, b.split)
        assert a.stream.duration_us == b.stream.duration_us
        assert (a.stream.sensor_size, a.stream.modality) == (
            b.stream.sensor_size,
            b.stream.modality,
        )


def forget_reader(recorded: CachedSet) -> CachedSet:
    """The set with a source that fails: whatever comes now comes from the cache."""

    def fail(position: int):
        raise AssertionError(f"recording {position} was read again")

    assert recorded.store is not None
    object.__setattr__(recorded.store.recorded, "reader", fail)
    return recorded


def test_the_second_pass_and_the_next_process_read_no_source(root: Path) -> None:
    expected = poker(root)
    first = cached(root)
    assert_equal(first, expected)
    assert len(shards(root)) == 4  # 6, 6, 6, 2
    assert_equal(forget_reader(first), expected)
    assert_equal(forget_reader(cached(root)), expected)
    copied = pickle.loads(pickle.dumps(cached(root)))
    assert_equal(forget_reader(copied), expected)


def test_a_shard_is_built_when_it_is_asked_for(root: Path) -> None:
    recorded = cached(root)
    assert shards(root) == []
    assert recorded[13].source == poker(root)[13].source
    assert [path.name for path in shards(root)] == ["000002.events"]
    assert recorded.store is not None
    recorded.store.build_all()
    assert len(shards(root)) == 4


def test_a_part_of_the_set_uses_the_same_shards(root: Path) -> None:
    whole = cached(root)
    part = whole.select([19, 0, 7])
    assert_equal(part, poker(root).select([19, 0, 7]))
    assert_equal(
        whole.without_groups(whole.groups[:3]), poker(root).without_groups(whole.groups[:3])
    )
    assert len({path.parent for path in shards(root)}) == 1


def test_the_chain_is_applied_once_and_kept(root: Path) -> None:
    chain = (partial(denoise, filter_us=20_000), partial(crop_time, start_us=0, end_us=50_000))
    expected = [crop_time(denoise(r.stream, 20_000), 0, 50_000) for r in poker(root)]
    for recorded in (cached(root, chain), forget_reader(cached(root, chain))):
        for got, wanted in zip(recorded, expected, strict=True):
            assert got.stream.events.tobytes() == wanted.events.tobytes()
            assert got.stream.duration_us == 50_000


def test_every_parameter_and_every_byte_is_part_of_the_name(root: Path) -> None:
    def name(chain=(), **options) -> str:
        store = cached(root, chain, **options).store
        assert store is not None
        return store.folder.name

    names = [
        name(),
        name(sort_times=True),
        name(shard_size=7),
        name([partial(denoise, filter_us=10)]),
        name([partial(denoise, filter_us=11)]),
        name([partial(refractory, dead_us=10)]),
        name([partial(refractory, dead_us=10, extend=False)]),
    ]
    path = root / "POKERDVS" / "pips_train" / "he" / "3.npy"
    np.save(path, array(99))  # the same size, another content
    os.utime(path, ns=(1, 1))
    names.append(name())
    path.with_name("4.npy").unlink()
    names.append(name())
    assert len(set(names)) == len(names)
    assert name() == names[-1]


def test_files_that_were_only_touched_keep_their_name(root: Path) -> None:
    was = cached(root).store
    for path in (root / "POKERDVS").rglob("*.npy"):
        os.utime(path, ns=(5, 5))
    now = cached(root).store
    assert was is not None
    assert now is not None
    assert was.folder == now.folder


def test_changed_code_is_another_entry(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = root / "step_of_a_test.py"
    code.write_text("def keep(stream):\n    return stream\n")
    monkeypatch.syspath_prepend(str(root))
    from importlib import import_module

    keep = import_module("step_of_a_test").keep
    first = cached(root, [keep]).store
    code.write_text("def keep(stream):\n    return stream  # faster\n")
    second = cached(root, [keep]).store
    assert first is not None
    assert second is not None
    assert first.folder != second.folder


@pytest.mark.parametrize("place", ["events", "head", "end"])
def test_a_damaged_shard_is_rebuilt_with_a_warning(root: Path, place: str) -> None:
    assert_equal(cached(root), poker(root))
    path = shards(root)[1]
    content = bytearray(path.read_bytes())
    if place == "end":
        content = content[:-20]
    else:
        content[-100 if place == "events" else 40] ^= 0x55
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"cache entry is damaged \(.*\): rebuilt"):
        assert_equal(cached(root), poker(root))
    assert_equal(forget_reader(cached(root)), poker(root))


def test_a_damaged_recording_does_not_take_its_neighbours_with_it(root: Path) -> None:
    path = root / "POKERDVS" / "pips_train" / "cl" / "2.npy"
    path.write_bytes(path.read_bytes()[:-7])
    recorded = cached(root)
    with pytest.raises(DataError, match=r"pips_train/cl/2\.npy must be readable, got ValueError"):
        recorded[2]
    assert recorded.store is not None
    recorded.store.build_all()
    others = [i for i in range(len(recorded)) if i != 2]
    assert_equal(forget_reader(recorded).select(others), poker(root).select(others))


class Step:
    """A step whose state nobody can name."""

    def __call__(self, stream):
        return stream


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda stream: stream, "must be a function of a module, got .*<lambda>"),
        (partial(denoise, filter_us=object()), "must be numbers, text or data classes"),
        (Step(), "must be a function of a module, got Step"),
    ],
)
def test_what_has_no_name_is_refused(root: Path, step, message: str) -> None:
    with pytest.raises(DataError, match=message):
        cached(root, [step])


def test_a_reader_that_names_no_files_is_refused(root: Path) -> None:
    recorded = poker(root)
    object.__setattr__(recorded, "reader", lambda position: None)
    with pytest.raises(DataError, match="must name its files to be cached, got function"):
        cached_set(recorded, directory=root / "cache")
    with pytest.raises(ValueError, match="shard_size must be a whole number >= 1, got 0"):
        cached(root, shard_size=0)


# Reads the whole set in a process of its own; says how many shards it wrote, and a hash.
READER = """
import hashlib, os, signal, sys
from pathlib import Path
import sensors.sample_cache as cache
import spikefuse.atomic as atomic
from sensors.data_sets import open_set

root, mode = Path(sys.argv[1]), sys.argv[2]
written, write = [], cache.write_shard
def counted(*arguments):
    written.append(1)
    if mode == "die" and len(written) == 3:
        # The bytes are in the temporary file, which has no name of its own yet.
        atomic.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments)
cache.write_shard = counted
recorded = cache.cached_set(open_set("POKERDVS", root), (), root / "cache", 2)
print("ready", flush=True)
digest = hashlib.sha256()
for recording in recorded:
    digest.update(recording.stream.events.tobytes())
print(len(written), digest.hexdigest())
"""


def started(root: Path, mode: str = "read") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", READER, str(root), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def expected_digest(root: Path) -> str:
    import hashlib

    return hashlib.sha256(b"".join(r.stream.events.tobytes() for r in poker(root))).hexdigest()


def test_processes_that_start_together_build_each_shard_once(root: Path) -> None:
    workers = [started(root) for _ in range(3)]
    told = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], told
    counts, digests = zip(*(out.splitlines()[-1].split() for out, _ in told), strict=True)
    assert set(digests) == {expected_digest(root)}
    if sys.platform != "win32":
        assert sum(map(int, counts)) == 10


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_killed_in_the_middle_of_a_write_leaves_no_part(root: Path) -> None:
    worker = started(root, "die")
    worker.communicate(timeout=120)
    assert worker.returncode == -signal.SIGKILL
    assert [path.name for path in shards(root)] == ["000000.events", "000001.events"]
    (left,) = (root / "cache").glob("set-*/.*")  # what it was writing, under no name of a shard
    assert left.stat().st_size > 0
    out, errors = started(root).communicate(timeout=120)
    assert errors == ""
    assert out.split() == ["ready", "8", expected_digest(root)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_processes_killed_at_any_time_leave_only_whole_shards(root: Path) -> None:
    for folder in (root / "POKERDVS" / "pips_train").iterdir():
        for k in range(N_EACH, 40):
            np.save(folder / f"{k}.npy", array(1000 + k, n=5000))
    rng = random.Random(3)
    for _ in range(8):
        workers = [started(root), started(root)]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.03))
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.communicate()
        for path in shards(root):
            shard = Shard(path)
            assert all(shard.stream(i) is not None for i in range(len(shard)))
    out, _ = started(root).communicate(timeout=120)
    assert out.split()[-1] == expected_digest(root)
