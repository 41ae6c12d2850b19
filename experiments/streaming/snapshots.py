"""A stream that was stopped or killed goes on: its snapshot, its recordings' places, its lines."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from experiments.files import is_leftover
from experiments.streaming.session import Session
from sensors.live.source import Epoch, Pace, Source
from spikefuse.errors import DataError
from spikefuse.runtime.buffer import Chunk
from spikefuse.runtime.snapshot import Part, State, load_parts, save_parts

_KEPT = 100  # pauses that are told one by one
_BLOCK = 1 << 16


class Continued:
    """A source from one of its chunks on; what comes before has gone through already.

    A film, or sound that is heard as it streams, is worked through again up to there: its sensor
    has a state, too.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.modality, self.live = source.modality, source.live
        self.n_heard = 0
        self.ended = False

    def chunks(self) -> Iterator[Chunk | None]:
        """The source's own, less the first ``n_heard``."""
        yield from islice(self._source.chunks(), self.n_heard, None)
        self.ended = True

    def close(self) -> None:
        """As of `Source`."""
        self._source.close()


class Keeper:
    """Writes the snapshot of a stream while it runs, and goes on from one that is there.

    By the host's clock: what is lost by a kill is then at most so much work, and what snapshots
    cost the same share of the time, however fast a recording streams.

    Parameters
    ----------
    path : Path
    every_s : float
        Of the host's time.
    session : Session
    sources : sequence of Continued
    settings : mapping
        Plain values that must be as they were, beside those of the session's parts.
    lines : str, optional
        Where decisions go as lines of JSON. A file is cut back to what the snapshot says, if every
        source is recorded: nothing in it comes twice. With a live source its lines stay.

    Raises
    ------
    ValueError
        If the time is not positive.
    """

    def __init__(
        self,
        path: Path,
        every_s: float,
        session: Session,
        sources: Sequence[Continued],
        settings: Mapping[str, Any],
        lines: str | None = None,
    ) -> None:
        if not every_s > 0:
            raise ValueError(f"--snapshot-every must be positive, got {every_s:g}")
        self.path, self._every_s = path, every_s
        self._session, self._sources, self._settings = session, sources, dict(settings)
        self._lines = Path(lines).resolve() if lines not in (None, "-") else None
        self._lines_bytes = 0
        self._host_s, self._began_s = 0.0, time.monotonic()
        self._saved_s = self._began_s
        self.n_pauses = 0
        self.away_s = 0.0
        self.pauses: list[dict[str, float]] = []

    @property
    def ended(self) -> bool:
        """Whether no source has more."""
        return all(source.ended for source in self._sources)

    @property
    def host_s(self) -> float:
        """For how long the stream has run on a host, without its pauses."""
        return self._host_s + time.monotonic() - self._began_s

    def resume(self, epoch: Epoch, pace: Pace) -> bool:
        """Go on from the snapshot, or write the first one where there is none.

        Parameters
        ----------
        epoch, pace : Epoch and Pace
            Put at the time that the stream has come to.

        Returns
        -------
        bool
            Whether there was one.

        Raises
        ------
        DataError
            If it is of another stream, or the file of decisions is not the one that goes with it.
        """
        for path in self.path.parent.glob(f".{self.path.name}.*"):
            if is_leftover(path):  # of a process that was killed while it wrote
                path.unlink(missing_ok=True)
        if not self.path.exists():
            self._began_s = time.monotonic()
            self.save()
            return False
        load_parts(self.path, self._parts())
        live = [source.modality for source in self._sources if source.live]
        self._mend_lines(bool(live))
        for source in self._sources:
            if not source.live:
                source.n_heard = self._session.tally.n_chunks.get(source.modality, 0)
        self._session.reopen(live)
        away_s = self.pauses[-1]["away_s"]
        for name in live:
            self._session.buffer.outcomes.note(name, "pause", detail=f"{away_s:.1f} s unheard")
        epoch.start_us = pace.start_us = self._session.reached_us
        self._began_s = time.monotonic()
        self.save()
        return True

    def update(self) -> None:
        """Called after every chunk; writes seldom."""
        if time.monotonic() - self._saved_s >= self._every_s:
            self.save_if_possible()

    def save(self) -> None:
        """Write it now."""
        save_parts(self.path, self._parts())
        self._saved_s = time.monotonic()

    def save_if_possible(self) -> None:
        """Write it now; a disk that is full ends no stream, and is one outcome ``unwritten``."""
        try:
            self.save()
        except OSError as error:
            self._session.buffer.outcomes.note("snapshot", "unwritten", detail=str(error))
            self._saved_s = time.monotonic()

    def told(self) -> str:
        """A line about where the stream goes on."""
        at_s, away_s = self.pauses[-1]["at_s"], self.pauses[-1]["away_s"]
        if self._session.runner.finished:
            return f"{self.path}: the stream has ended, at {at_s:.2f} s"
        live = [source.modality for source in self._sources if source.live]
        unheard = f"; {', '.join(live)} unheard for {away_s:.1f} s" if live else ""
        return f"goes on from {self.path} at {at_s:.2f} s{unheard}"

    def describe(self) -> dict[str, Any]:
        """The pauses, for a result file."""
        return {"n": self.n_pauses, "away_s": self.away_s, "last": self.pauses}

    def settings(self) -> dict[str, Any]:
        """As of `Part`."""
        return self._settings | {"lines": None if self._lines is None else str(self._lines)}

    def state(self) -> State:
        """As of `Part`; decisions that were written are on the disk before it is."""
        return {}, {
            "host_s": self.host_s,
            "at_s": time.time(),
            "lines_bytes": 0 if self._lines is None else _settled(self._lines),
            "n_pauses": self.n_pauses,
            "away_s": self.away_s,
            "pauses": self.pauses,
        }

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Part`; the time since then is a pause."""
        self._host_s, self._lines_bytes = float(plain["host_s"]), int(plain["lines_bytes"])
        away_s = max(time.time() - float(plain["at_s"]), 0.0)
        self.n_pauses, self.away_s = int(plain["n_pauses"]) + 1, float(plain["away_s"]) + away_s
        pause = {"at_s": self._session.reached_us * 1e-6, "away_s": away_s}
        self.pauses = [*plain["pauses"], pause][-_KEPT:]

    def _parts(self) -> dict[str, Part]:
        """The session's, and this last: it tells where the session has come to."""
        return self._session.parts() | {"command": self}

    def _mend_lines(self, live: bool) -> None:
        """Lines after the snapshot are written again, or kept; one that a kill cut short is not."""
        path, due = self._lines, self._lines_bytes
        if path is None or not path.is_file():
            return
        size = path.stat().st_size
        if size < due:
            raise DataError(
                f"--lines must be the file that goes with the snapshot {self.path}, of at least "
                f"{due} bytes, got {size} bytes: {path}"
            )
        os.truncate(path, _whole_lines(path, due, size) if live else due)


def mark_of(where: str) -> str:
    """What a source's word must stand for when a stream goes on: a recording by its content.

    Parameters
    ----------
    where : str
        As of `open_source`.

    Returns
    -------
    str
        SHA-256 of a file, or of the names and sizes in a folder; of a live source its kind.
    """
    path = Path(where)
    if path.is_dir():
        told = sorted((p.name, p.stat().st_size) for p in path.iterdir() if p.is_file())
        return hashlib.sha256(repr(told).encode()).hexdigest()
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return where.partition(":")[0]


@contextmanager
def stopped_gently() -> Iterator[None]:
    """SIGTERM is Ctrl-C inside the block: service managers send it, and background jobs get it.

    Nothing is changed outside the main thread, or where somebody else handles it.
    """
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _settled(path: Path) -> int:
    """Size of a file whose content is on the disk; 0 of a pipe or a device."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def _whole_lines(path: Path, first: int, size: int) -> int:
    """Where the last whole line of a file ends, not before ``first``."""
    with path.open("rb") as file:
        while size > first:
            start = max(first, size - _BLOCK)
            file.seek(start)
            found = file.read(size - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            size = start
    return first
