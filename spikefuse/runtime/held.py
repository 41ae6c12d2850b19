"""Events of one sensor that wait in order, and passes over those that come."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

import numpy as np

from spikefuse._types import BoolArray, Int64Array, StructuredArray
from spikefuse.events import EVENT_DTYPE

_CLOCK = {"newest_us": int, "offset_us": int, "former_us": int, "silent": bool, "flooded": bool}


class Held:
    """Events of one sensor that wait, in order, in one array that never grows."""

    def __init__(self, capacity: int) -> None:
        # Twice the room: what is left moves to the front at most once in `capacity` events.
        self.store = np.empty(2 * capacity, EVENT_DTYPE)
        self.start = self.end = 0
        self.newest_us = 0  # furthest time of the clock, on the stream's
        self.offset_us = 0  # added to the sensor's times since its last leap
        self.former_us = 0  # what was added before that leap
        self.silent = False
        self.flooded = False

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def events(self) -> StructuredArray:
        return self.store[self.start : self.end]

    def place_of(self, time_us: int) -> int:
        """How many are before a time; not by numpy, which would copy all the times."""
        return bisect_left(self.events["t"], time_us)

    def leap_to(self, time_us: int, present_us: int, jump_us: float) -> None:
        """Move the clock so that one of the sensor's times is the present.

        If the times are those of before the last leap, as after one stray packet, it is undone.
        """
        offset_us = self.former_us
        if abs(time_us + offset_us - present_us) > jump_us:
            offset_us = present_us - time_us
        self.former_us, self.offset_us = self.offset_us, offset_us

    def replace_from(self, k: int, tail: StructuredArray) -> None:
        """Keep the first ``k`` and put ``tail`` behind them."""
        if self.start + k + len(tail) > len(self.store):
            self.store[: len(self)] = self.events.copy()
            self.start, self.end = 0, len(self)
        at = self.start + k
        self.store[at : at + len(tail)] = tail
        self.end = at + len(tail)

    def take_before(self, time_us: int) -> StructuredArray:
        n = self.place_of(time_us)
        taken = self.events[:n].copy()
        self.start += n
        if self.start == self.end:
            self.start = self.end = 0
        return taken

    def clock(self) -> dict[str, Any]:
        """Plain values of a snapshot."""
        return {name: getattr(self, name) for name in _CLOCK}

    def restore(self, events: StructuredArray, clock: Mapping[str, Any]) -> None:
        """Put back what a snapshot holds."""
        self.start, self.end = 0, len(events)
        self.store[: self.end] = events
        for name, kind in _CLOCK.items():
            setattr(self, name, kind(clock[name]))


def in_order(times: np.ndarray[Any, Any], from_us: int) -> bool:
    """Whether no time is before the one before it, nor the first before ``from_us``."""
    return not len(times) or bool(times[0] >= from_us and (times[1:] >= times[:-1]).all())


def order_of(times: np.ndarray[Any, Any]) -> Int64Array:
    """Indices that sort the times, equal ones in the order of their arrival.

    Time and index share a word where they fit: numpy sorts words several times faster than it
    sorts indices stably.
    """
    since = times - times.min()
    bits = len(times).bit_length()
    if int(since.max()) >> (62 - bits):
        return np.asarray(np.argsort(times, kind="stable"), dtype=np.int64)
    words = (since << bits) | np.arange(len(times))
    words.sort()
    return np.asarray(words & ((1 << bits) - 1), dtype=np.int64)


def repeated(events: StructuredArray) -> BoolArray | None:
    """Which events equal an earlier one in time, address and polarity; None if none does.

    Parameters
    ----------
    events : structured array of `EVENT_DTYPE`
        In the order of time.
    """
    if len(events) < 2:
        return None
    times = events["t"].astype(np.int64)
    if (times[1:] > times[:-1]).all():
        return None
    address = (
        (events["y"].astype(np.int64) << 16) | (events["x"].astype(np.int64) << 1) | events["p"]
    )
    since = times - times[0]
    if since[-1] >= 1 << 31:  # time and address no longer fit one word: by rank instead
        since = np.cumsum(np.concatenate(([0], times[1:] > times[:-1])))
    keys = (since << 32) | address
    ordered = np.sort(keys)
    if (ordered[1:] != ordered[:-1]).all():
        return None
    order = np.argsort(keys, kind="stable")
    again = np.zeros(len(events), np.bool_)
    again[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return again
