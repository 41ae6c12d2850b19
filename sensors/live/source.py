"""What every source offers, and several of them in turn, at the speed of a clock."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

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
    """The zero of live sources' time: when the first of them is heard."""

    def __init__(self) -> None:
        self._zero_s: float | None = None

    def now_us(self) -> int:
        """Microseconds since zero; the first call makes it."""
        now = time.monotonic()
        if self._zero_s is None:
            self._zero_s = now
        return round((now - self._zero_s) * 1e6)


class Pace:
    """Stream time against the host's clock.

    Parameters
    ----------
    speed : float
        Stream seconds a second; ``math.inf`` waits for nothing.

    Raises
    ------
    ValueError
        If the speed is not positive.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be positive, got {speed}")
        self.speed = speed
        self._began_s: float | None = None

    def wait_for(self, time_us: int) -> None:
        """Return when the stream's clock has come to a time."""
        if self.speed == math.inf:
            return
        now = time.monotonic()
        if self._began_s is None:
            self._began_s = now
        left = self._began_s + time_us * 1e-6 / self.speed - now
        if left > 0:
            time.sleep(left)


def in_turn(
    sources: Sequence[Source], pace: Pace | None = None, for_s: float = math.inf
) -> Iterator[Chunk]:
    """Chunks of several sources: recorded ones by their clocks, live ones as they come.

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
                first = min(ahead, key=lambda i: clock[i])
                pace.wait_for(clock[first])
                yield ahead.pop(first)
            for i in [i for i in waiting if sources[i].live]:
                try:
                    found = next(waiting[i])
                except StopIteration:
                    del waiting[i]
                    continue
                if found is not None:
                    yield found
    finally:
        for source in sources:
            source.close()
