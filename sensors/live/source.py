"""What every source offers, and several of them in turn, at the speed of a clock."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from spikefuse.runtime.buffer import Chunk


class Source(Protocol):
    """Chunks of one modality as they come.

    A source with ``live=True`` gives None where nothing has come; it must not block for long.
    """

    @property
    def modality(self) -> str:
        """Under which the model knows it."""
        ...

    @property
    def live(self) -> bool:
        """Whether the world sets its pace."""
        ...

    def chunks(self) -> Iterator[Chunk | None]:
        """Chunks in the order of their arrival."""
        ...

    def close(self) -> None:
        """Give back sockets, devices and files."""
        ...


class Epoch:
    """The zero of live sources' time: when the first of them is heard.

    Parameters
    ----------
    start_us : int
        The stream's time at that moment, of one that goes on.
    """

    def __init__(self, start_us: int = 0) -> None:
        self.start_us = start_us
        self._zero_s: float | None = None

    def now_us(self, ago_s: float = 0.0) -> int:
        """The stream's time in microseconds; the first call makes its zero.

        Parameters
        ----------
        ago_s : float
            Of a moment so long ago. One before zero is zero.
        """
        then = time.monotonic() - ago_s
        if self._zero_s is None:
            self._zero_s = then
        return self.start_us + max(round((then - self._zero_s) * 1e6), 0)


class Pace:
    """Stream time against the host's clock.

    Parameters
    ----------
    speed : float
        Stream seconds a second; ``math.inf`` waits for nothing.
    start_us : int
        The stream's time at the first call, of one that goes on.

    Raises
    ------
    ValueError
        If the speed is not positive.
    """

    def __init__(self, speed: float = 1.0, start_us: int = 0) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be positive, got {speed}")
        self.speed, self.start_us = speed, start_us
        self._began_s: float | None = None

    def wait_for(self, time_us: int) -> None:
        """Return when the stream's clock has come to a time."""
        if self.speed == math.inf:
            return
        now = time.monotonic()
        if self._began_s is None:
            self._began_s = now
        left = self._began_s + (time_us - self.start_us) * 1e-6 / self.speed - now
        if left > 0:
            time.sleep(left)


class _Backlog:
    """What was read of live sources and waits for its turn: the earliest goes first.

    Chunks are cut into pieces of about 10 ms, because one that is long would set its sensor's clock
    so far ahead that the others seem silent. A clock that leaps by more than 1,024 pieces, ahead of
    all or behind itself, counts from the foremost one, or as it did before if that fits again: a
    stray time holds nobody up. A piece is overtaken 1,024 times at most.
    """

    _PIECE_US = 10_000
    _OVERTAKEN_AT_MOST = 1024
    _LEAP_US = _OVERTAKEN_AT_MOST * _PIECE_US

    def __init__(self) -> None:
        self._pieces: dict[int, deque[Chunk]] = {}
        self._overtaken: dict[int, int] = {}
        self._ahead_us: dict[int, int] = {}
        self._former_us: dict[int, int] = {}  # ahead of the others before its last leap
        self._last_us: dict[int, int] = {}
        self._newest_us: int | None = None

    def __contains__(self, source: int) -> bool:
        return source in self._pieces

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, source: int, chunk: Chunk) -> None:
        """Pieces in the order of arrival; the last one keeps the chunk's clock."""
        clock = np.maximum.accumulate(chunk.events["t"].astype(np.int64))
        cuts = np.flatnonzero(np.diff(clock // self._PIECE_US)) + 1
        parts = np.split(chunk.events, cuts)
        ends = [int(clock[cut - 1]) for cut in cuts] + [chunk.now_us]
        self._pieces[source] = deque(
            Chunk(chunk.modality, part, end) for part, end in zip(parts, ends, strict=True)
        )
        self._overtaken[source] = 0

    def take(self) -> Chunk:
        """The earliest piece, or one that has waited for too long."""
        times = {i: self._placed_us(i) for i in self._pieces}
        first = min(times, key=lambda i: times[i])
        for i in times:
            if i != first and self._overtaken[i] >= self._OVERTAKEN_AT_MOST:
                self._ahead_us[i] = self._ahead_us.get(i, 0) + times[i] - times[first]
                times[i] = times[first]
                first = i
                break
        for i in times:
            self._overtaken[i] = 0 if i == first else self._overtaken[i] + 1
        self._last_us[first] = times[first]
        newest_us = times[first] if self._newest_us is None else self._newest_us
        self._newest_us = max(newest_us, times[first])
        piece = self._pieces[first].popleft()
        if not self._pieces[first]:
            del self._pieces[first]
        return piece

    def _placed_us(self, i: int) -> int:
        """Time of a source's next piece among the others', leaps treated."""
        now_us, ahead_us = self._pieces[i][0].now_us, self._ahead_us.get(i, 0)
        if self._newest_us is None:
            return now_us - ahead_us
        low = self._last_us.get(i, self._newest_us) - self._LEAP_US
        high = self._newest_us + self._LEAP_US
        if not low <= now_us - ahead_us <= high:
            known = (self._former_us.get(i, 0), 0)
            fit = [before for before in known if low <= now_us - before <= high]
            self._former_us[i] = ahead_us
            ahead_us = self._ahead_us[i] = fit[0] if fit else now_us - self._newest_us
        return now_us - ahead_us


def in_turn(
    sources: Sequence[Source], pace: Pace | None = None, for_s: float = math.inf
) -> Iterator[Chunk]:
    """Chunks of several sources: recorded ones by their clocks, live ones as they come.

    Where several live sources have something, as after the host was busy, the earliest goes first:
    a sensor whose events still wait to be read is not overtaken by another, so it is neither taken
    for silent nor late.

    Parameters
    ----------
    sources : sequence of Source
    pace : Pace, optional
        Of the recorded ones; as fast as possible by default.
    for_s : float
        Ends after this much of the host's time, which sources that never end need.
    """
    pace = pace if pace is not None else Pace(math.inf)
    until_s = time.monotonic() + for_s
    waiting = {i: source.chunks() for i, source in enumerate(sources)}
    clock = dict.fromkeys(waiting, 0)
    ahead: dict[int, Chunk] = {}
    heard = _Backlog()
    try:
        while waiting and time.monotonic() < until_s:
            recorded = [i for i in waiting if not sources[i].live]
            for i in recorded:
                if i not in ahead:
                    found = next(waiting[i], None)
                    if found is None:
                        del waiting[i]
                    else:
                        ahead[i] = found
                        clock[i] = found.now_us
            if ahead:
                # Of equal clocks the first source: a stream that goes on takes the same turns.
                first = min(ahead, key=lambda i: (clock[i], i))
                pace.wait_for(clock[first])
                yield ahead.pop(first)
            for i in [i for i in waiting if sources[i].live and i not in heard]:
                try:
                    found = next(waiting[i])
                except StopIteration:
                    del waiting[i]
                    continue
                if found is not None:
                    heard.add(i, found)
            if heard:
                yield heard.take()
        while heard:
            yield heard.take()
    finally:
        for source in sources:
            source.close()
