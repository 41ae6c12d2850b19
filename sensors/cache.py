"""Encoded recordings, built once and kept by the hash of all that shaped them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from sensors.recordings import Recording
from sensors.shards import Shard, touch, write_shard
from spikefuse.errors import ConfigError, DataError

# What the cache may hold before the entries that were not used for longest are removed.
_DEFAULT_GIB = 32.0
# A file that is still being written is younger; an older one was left by a killed process.
_ABANDONED_S = 3600.0


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the cache.

    Parameters
    ----------
    name : str
        Of its file or folder.
    what : str
        Such as "SHD train"; empty where the entry does not say.
    n_bytes : int
    used_s : float
        When it was last opened or written, in seconds since 1970.
    """

    name: str
    what: str
    n_bytes: int
    used_s: float


def cached_recordings(
    key: Mapping[str, object],
    build: Callable[[], list[Recording]],
    sources: Sequence[ModuleType] = (),
    directory: Path | None = None,
) -> tuple[list[Recording], bool]:
    """Recordings from the cache, or built and put there.

    Parameters
    ----------
    key : mapping
        Every parameter that shapes the recordings; must be JSON.
    build : callable
    sources : sequence of modules
        Code whose change must invalidate the entry.
    directory : Path, optional
        Defaults to the environment's ``SPIKEFUSE_CACHE``, else ``~/.cache/spikefuse``.

    Returns
    -------
    recordings : list of Recording
        Those from the cache are views of a mapped file.
    hit : bool
        Whether they came from the cache. A damaged entry is rebuilt with a warning.
    """
    folder = directory if directory is not None else cache_directory()
    path = folder / f"recordings-{digest_of(key, sources)}.events"
    if path.is_file():
        try:
            found = _read(path)
        except (DataError, ValueError, KeyError) as error:
            warnings.warn(f"cache entry {path} is damaged ({error}): rebuilt", stacklevel=2)
        else:
            touch(path)
            return found, True
    recordings = build()
    write_shard(
        path,
        [r.stream for r in recordings],
        [
            {"label": r.label, "source": r.source, "group": r.group, "split": r.split}
            for r in recordings
        ],
    )
    trim_cache(directory=folder, keep=path.name)
    return recordings, False


def cache_directory() -> Path:
    """Where cached recordings live."""
    named = os.environ.get("SPIKEFUSE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "spikefuse"


def cache_limit_bytes() -> int:
    """What the cache may hold: the environment's ``SPIKEFUSE_CACHE_GIB``, else 32 GiB.

    Raises
    ------
    ConfigError
        If it is no positive number.
    """
    text = os.environ.get("SPIKEFUSE_CACHE_GIB", str(_DEFAULT_GIB))
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 < limit < float("inf"):
        raise ConfigError(f"SPIKEFUSE_CACHE_GIB must be a positive number, got {text!r}")
    return int(limit * 2**30)


def cache_entries(directory: Path | None = None) -> list[CacheEntry]:
    """What is in the cache, the entry used last first."""
    folder = directory if directory is not None else cache_directory()
    if not folder.is_dir():
        return []
    entries = [_entry(path) for path in folder.iterdir() if _is_ours(path)]
    return sorted(entries, key=lambda e: (-e.used_s, e.name))


def clear_cache(names: Sequence[str] | None = None, directory: Path | None = None) -> int:
    """Remove entries by name, by default all; returns the bytes set free.

    Files of the folder that the cache did not write are left alone.

    Raises
    ------
    DataError
        If there is no such entry.
    """
    folder = directory if directory is not None else cache_directory()
    found = {entry.name: entry for entry in cache_entries(folder)}
    wanted = list(found) if names is None else list(names)
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise DataError(f"entry must be one of the cache in {folder}, got {missing[0]!r}")
    return sum(found[name].n_bytes for name in wanted if _removed(folder / name))


def trim_cache(
    limit_bytes: int | None = None, directory: Path | None = None, keep: str | None = None
) -> int:
    """Remove the entries that were not used for longest until the rest fits; returns bytes freed.

    What a killed process left half written goes too, once it is an hour old.

    Parameters
    ----------
    limit_bytes : int, optional
        `cache_limit_bytes` by default.
    directory : Path, optional
    keep : str, optional
        Entry that is in use and stays, whatever its size.
    """
    folder = directory if directory is not None else cache_directory()
    limit = cache_limit_bytes() if limit_bytes is None else limit_bytes
    freed = sum(_abandoned(path) for path in [*folder.glob(".*"), *folder.glob("set-*/.*")])
    entries = cache_entries(folder)
    total = sum(entry.n_bytes for entry in entries)
    for entry in reversed(entries):
        if total <= limit:
            break
        if entry.name != keep and _removed(folder / entry.name):
            total, freed = total - entry.n_bytes, freed + entry.n_bytes
    return freed


def digest_of(key: Mapping[str, object], sources: Sequence[ModuleType]) -> str:
    """Hash of the parameters and of the code."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
    for module in sources:
        file = getattr(module, "__file__", None)  # built-in modules lack the attribute
        if file is None:
            raise ValueError(f"sources must be modules with a file, got {module.__name__}")
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:32]


def _read(path: Path) -> list[Recording]:
    """Recordings of one entry, every checksum compared."""
    shard = Shard(path)
    recordings: list[Recording] = []
    for index, item in enumerate(shard.items):
        stream = shard.stream(index)
        if item is None or stream is None:
            raise DataError(f"{path} must hold every recording, got none at {index}")
        recordings.append(
            Recording(stream, item["label"], item["source"], item["group"], item["split"])
        )
    return recordings


def _is_ours(path: Path) -> bool:
    """Whether the cache wrote it; ``.npz`` is what an earlier version wrote."""
    if path.is_dir():
        return path.name.startswith("set-")
    return path.name.startswith(("recordings-", "identity-")) and path.suffix in (
        ".events",
        ".npz",
        ".json",
    )


def _entry(path: Path) -> CacheEntry:
    """Size and age of one entry; a file may go while it is looked at."""
    n_bytes, used_s, what = 0, 0.0, ""
    for file in [path, *path.glob("*")] if path.is_dir() else [path]:
        try:
            found = file.stat()
        except OSError:
            continue
        used_s = max(used_s, found.st_mtime)
        n_bytes += 0 if file is path and path.is_dir() else found.st_size
    if path.is_dir():
        try:
            what = str(json.loads((path / "about.json").read_bytes())["what"])
        except (OSError, ValueError, KeyError):
            what = ""
    return CacheEntry(path.name, what, n_bytes, used_s)


def _removed(path: Path) -> bool:
    """Whether an entry could be removed; one that is mapped cannot on some systems."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return not path.exists()
    return True


def _abandoned(path: Path) -> int:
    """Bytes of an abandoned temporary file, which is removed; 0 for any other."""
    try:
        found = path.stat()
        if not path.is_file() or time.time() - found.st_mtime < _ABANDONED_S:
            return 0
        path.unlink()
    except OSError:
        return 0
    return found.st_size
