"""A data set that keeps what it has read: streams in mapped files, ready in microseconds."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import sensors
from sensors.cache import cache_directory, trim_cache
from sensors.file_identity import files_digest
from sensors.recorded import Entry, RecordedSet
from sensors.recordings import Recording
from sensors.shards import Shard, touch, write_shard
from spikefuse import events as events_module
from spikefuse.atomic import write_bytes
from spikefuse.errors import DataError, EventError
from spikefuse.events import EventStream

Step = Callable[[EventStream], EventStream]

# Libraries whose code shapes what is read.
_LIBRARIES = ("numpy", "h5py", "tonic")


@dataclass(frozen=True, eq=False)
class CachedSet(RecordedSet):
    """A `RecordedSet` whose streams come from the cache; everything else is the same.

    Parameters
    ----------
    name, part, modality, sensor_size, label_space, class_names, entries, reader, sort_times
        As of `RecordedSet`.
    store : Store
    """

    store: Store | None = None

    def _read(self, entry: Entry) -> Recording:
        stream = cast(Store, self.store).stream(entry)
        return Recording(stream, entry.label, entry.source, entry.group, entry.split)


def cached_set(
    recorded: RecordedSet,
    chain: Sequence[Step] = (),
    directory: Path | None = None,
    shard_size: int = 256,
) -> CachedSet:
    """The same set, with each stream read, normalised and sent through ``chain`` only once.

    The entry's name is a hash of the contents of the set's files, of every parameter of the set,
    its reader and the chain, and of the code of `sensors` and of the chain's modules: a change in
    any of them is another entry. Streams are kept in shards, each written whole and then renamed,
    so that a reader never sees a part, whoever writes and whoever is killed.

    Parameters
    ----------
    recorded : RecordedSet
        From `open_set` or `open_lip_audio`.
    chain : sequence of functions of an EventStream
        Functions of a module, or ``functools.partial`` of them with plain arguments, such as
        ``partial(denoise, filter_us=10_000)``. They must be deterministic.
    directory : Path, optional
        Defaults to the environment's ``SPIKEFUSE_CACHE``, else ``~/.cache/spikefuse``.
    shard_size : int
        Recordings in a file: asking for one that is not there reads all of its shard.

    Returns
    -------
    CachedSet
        Picklable; each process maps the files for itself. Events are views of the files.

    Raises
    ------
    DataError
        If a parameter cannot be named by content (a lambda, say), or a file cannot be read.
    """
    if shard_size != int(shard_size) or shard_size < 1:
        raise ValueError(f"shard_size must be a whole number >= 1, got {shard_size}")
    folder = directory if directory is not None else cache_directory()
    key = set_key(recorded, chain, folder)
    text = json.dumps({**key, "shard_size": shard_size}, sort_keys=True)
    what = f"{recorded.name} {recorded.part}".strip()
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    store = Store(recorded, tuple(chain), folder / f"set-{digest}", int(shard_size), what)
    touch(store.folder)
    kept = {f.name: getattr(recorded, f.name) for f in fields(RecordedSet)}
    return CachedSet(**kept, store=store)


def set_key(recorded: RecordedSet, chain: Sequence[Step], directory: Path) -> dict[str, Any]:
    """Everything that shapes the streams of a set, as plain values.

    Raises
    ------
    DataError
        If a part of it has no content to be named by, or a file cannot be read.
    """
    reader = recorded.reader
    files, parameters = (getattr(reader, name, None) for name in ("files", "parameters"))
    if files is None or parameters is None:
        raise DataError(
            f"the reader of {recorded.name} must name its files to be cached, "
            f"got {type(reader).__name__} without `files` and `parameters`"
        )
    modules = [type(reader).__module__, *(_function(step).__module__ for step in chain)]
    return {
        "files": files_digest(files, directory),
        "set": [recorded.name, recorded.part, recorded.modality, list(recorded.sensor_size)],
        "sort_times": recorded.sort_times,
        "positions": [entry.position for entry in recorded.entries],
        "reader": [type(reader).__qualname__, _plain(parameters, recorded.name)],
        "chain": [_step(step) for step in chain],
        "code": _code(modules),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


class Store:
    """Shards of one set, built when they are first asked for.

    Parameters
    ----------
    recorded : RecordedSet
        Where streams come from; its order is that of the shards.
    chain : tuple of functions of an EventStream
    folder : Path
    shard_size : int
    what : str
        Name for people.
    """

    def __init__(
        self,
        recorded: RecordedSet,
        chain: tuple[Step, ...],
        folder: Path,
        shard_size: int,
        what: str,
    ) -> None:
        self.recorded, self.chain, self.folder = recorded, chain, folder
        self.shard_size, self.what = shard_size, what
        self._place = {entry.position: i for i, entry in enumerate(recorded.entries)}
        self._shards: dict[int, Shard] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shards": {}}

    def stream(self, entry: Entry) -> EventStream:
        """The stream of a recording.

        Raises
        ------
        DataError
            If its source is damaged.
        """
        number, index = divmod(self._place[entry.position], self.shard_size)
        shard = self._shards.get(number) or self._opened(number)
        try:
            stream = shard.stream(index)
        except DataError as error:
            stream = self._rebuilt(number, error).stream(index)
        return self._made(entry) if stream is None else stream

    def build_all(self) -> None:
        """Build every shard that is not there: the first pass over a set, without the training."""
        for number in range(-(-len(self.recorded) // self.shard_size)):
            self._opened(number)

    def _opened(self, number: int) -> Shard:
        """A shard of this process, built if need be."""
        path = self._path(number)
        if not path.is_file():
            self._build(number)
        try:
            self._shards[number] = Shard(path)
        except DataError as error:
            return self._rebuilt(number, error)
        return self._shards[number]

    def _rebuilt(self, number: int, error: DataError) -> Shard:
        """A damaged shard anew."""
        warnings.warn(f"cache entry is damaged ({error}): rebuilt", stacklevel=2)
        self._path(number).unlink(missing_ok=True)
        self._build(number)
        self._shards[number] = Shard(self._path(number))
        return self._shards[number]

    def _build(self, number: int) -> None:
        """Write one shard, unless another process has just done so."""
        path = self._path(number)
        with _alone(self.folder, number):
            if path.is_file():
                return
            first = number * self.shard_size
            entries = self.recorded.entries[first : first + self.shard_size]
            write_shard(path, [self._tried(entry) for entry in entries])
            about = self.folder / "about.json"
            if not about.is_file():
                text = {"what": self.what, "recordings": len(self.recorded)}
                write_bytes(about, json.dumps(text).encode())
        trim_cache(directory=self.folder.parent, keep=self.folder.name)

    def _tried(self, entry: Entry) -> EventStream | None:
        """A stream, or None: one damaged file must not take its neighbours with it."""
        try:
            return self._made(entry)
        except (DataError, EventError):
            return None

    def _made(self, entry: Entry) -> EventStream:
        """A stream from its source."""
        stream = self.recorded._read(entry).stream
        for step in self.chain:
            stream = step(stream)
        return stream

    def _path(self, number: int) -> Path:
        """Where a shard lies."""
        return self.folder / f"{number:06d}.events"


@contextmanager
def _alone(folder: Path, number: int) -> Iterator[None]:
    """Wait for another process that builds the same shard; the system frees a dead one's lock.

    Where there are no such locks two processes may both do the work: the result is the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    import fcntl

    # One byte of one file for each shard.
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX, 1, number)
        yield
    finally:
        os.close(handle)


def _step(step: Step) -> list[Any]:
    """A step of the chain by name and arguments."""
    function = _function(step)
    name = f"{function.__module__}.{function.__qualname__}"
    if "<" in name:
        raise DataError(f"a step of the chain must be a function of a module, got {name}")
    if not isinstance(step, functools.partial):
        return [name, [], {}]
    return [name, _plain(list(step.args), name), _plain(step.keywords, name)]


def _function(step: Step) -> Any:
    """What a step calls."""
    function = step.func if isinstance(step, functools.partial) else step
    if not hasattr(function, "__qualname__"):
        raise DataError(
            f"a step of the chain must be a function of a module, got {type(step).__name__}"
        )
    return function


def _plain(value: Any, where: str) -> Any:
    """A value as JSON knows it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v, where) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, where) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__qualname__, _plain(asdict(value), where)]
    raise DataError(
        f"parameters of {where} must be numbers, text or data classes to be cached, "
        f"got {type(value).__name__}; cached_set(..., chain=[...]) takes functions"
    )


def _code(modules: Sequence[str]) -> str:
    """Hash of the code of `sensors`, of event streams and of some more modules."""
    files = sorted(Path(sensors.__path__[0]).rglob("*.py"))
    files.append(Path(events_module.__file__))
    for name in modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None:
            files.append(Path(file))
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
