"""A jitter buffer: what sensors deliver becomes events in order, with a watermark each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from spikefuse._types import BoolArray, Int64Array, StructuredArray
from spikefuse.errors import EventError
from spikefuse.events import EVENT_DTYPE, EventStream, SensorSize
from spikefuse.runtime.buffer_params import BufferParams as BufferParams
from spikefuse.runtime.held import Held, in_order, order_of, repeated
from spikefuse.runtime.outcomes import Outcomes
from spikefuse.runtime.snapshot import State, packed, unpacked

# More jumps of the clock than this in one push: the times mean nothing, and a loop over them is
# what a flood of them would want.
_MAX_JUMPS = 16
_NO_TIME = 1 << 61  # sums of two such times still fit 64 bits


@dataclass(frozen=True, eq=False)
class Chunk:
    """Events of one sensor in order, and how far its clock has come.

    Parameters
    ----------
    modality : str
    events : structured array of `EVENT_DTYPE`
        Of a source, as they come; of a buffer, in order.
    now_us : int
        The sensor's clock after the chunk. Of a buffer it is a watermark: no event before it comes.
    """

    modality: str
    events: StructuredArray
    now_us: int


class JitterBuffer:
    """Put the events of several sensors in order, within a stated latency, in bounded memory.

    The common watermark is the time before which every sensor that is not silent is complete: the
    slowest one's clock less the budget. `pop` hands on what lies before it. Times are microseconds
    on the stream's clock, which begins at 0. Everything that is not as it should be is one count in
    ``outcomes``:

    ================ ==========================================================================
    ``late``         behind the watermark
    ``out of order`` before an event that came earlier, and put in its place
    ``repeated``     equal to an event that is held
    ``clock jump``   leaps of a clock, forth or back; ``beyond a jump``: events dropped for it
    ``unusable``     events of a push with more leaps than a clock makes, dropped
    ``outside``      no such address, or before the stream's zero, dropped
    ``flood``        once for each time that a full buffer dropped; ``flooded``: the events
    ``silent``       once for each time that a sensor fell silent; ``back`` when it speaks again
    ================ ==========================================================================

    A buffer that is full hands on the older half of what it holds, whatever the budget and the
    other sensors' clocks: what comes for that time later is late.

    Parameters
    ----------
    sizes : mapping of modality to sensor size (W, H, P)
    params : BufferParams, optional
    outcomes : Outcomes, optional
        Where to count; its own by default.

    Raises
    ------
    ValueError
        If no modality is given.
    """

    def __init__(
        self,
        sizes: Mapping[str, SensorSize],
        params: BufferParams | None = None,
        outcomes: Outcomes | None = None,
    ) -> None:
        if not sizes:
            raise ValueError("sizes must name at least one modality, got none")
        self.params = params if params is not None else BufferParams()
        self.outcomes = outcomes if outcomes is not None else Outcomes()
        self.sizes = dict(sizes)
        self.watermark_us = 0
        self._held = {name: Held(self.params.capacity) for name in self.sizes}
        self._latency_us = round(self.params.latency_ms * 1e3)
        self._jump_us = self.params.jump_ms * 1e3
        self._silent_us = self.params.silent_ms * 1e3

    @property
    def absent(self) -> frozenset[str]:
        """Sensors that are silent now."""
        return frozenset(name for name, held in self._held.items() if held.silent)

    def pending(self, modality: str) -> int:
        """Events held of a sensor."""
        return len(self._of(modality))

    def clock_us(self, modality: str) -> int:
        """How far a sensor's clock has come, on the stream's."""
        return self._of(modality).newest_us

    def push(self, modality: str, events: StructuredArray) -> int:
        """Take events in the order of their arrival.

        Parameters
        ----------
        modality : str
        events : structured array of `EVENT_DTYPE`

        Returns
        -------
        int
            How many were dealt with, from the first on; the rest is the caller's to push again
            after `pop`. With ``overflow="drop"``, all of them.

        Raises
        ------
        ValueError
            If the modality is unknown or the dtype another.
        EventError
            If something is wrong that the parameters call an error.
        """
        held = self._of(modality)
        if events.dtype != EVENT_DTYPE or events.ndim != 1:
            raise ValueError(f"events must be 1-d of {EVENT_DTYPE}, got {events.dtype}")
        room = self.params.capacity - len(held)
        taken, beyond = events[:room], len(events) - room
        self._watch_flood(modality, held, beyond)
        if len(taken):
            self._take(modality, held, taken)
        return len(events) if self.params.overflow == "drop" else len(taken)

    def advance(self, modality: str, now_us: int) -> None:
        """The sensor's clock has come to ``now_us`` though nothing may have happened."""
        held = self._of(modality)
        held.newest_us = max(held.newest_us, now_us + held.offset_us)

    def pop(self) -> list[Chunk]:
        """Hand on what is before the watermark: a chunk of each sensor, or none if it stands."""
        return self._release(self._complete_us())

    def flush(self) -> list[Chunk]:
        """Hand on everything: the stream has ended."""
        held = self._held.values()
        last = [1 + int(one.events["t"][-1]) for one in held if len(one)]
        return self._release(max([one.newest_us for one in held] + last))

    def reopen(self, modality: str) -> None:
        """Another source takes over whose times are on the stream's clock: no leap is made up for.

        What is held, and how far the clock has come, stays.
        """
        held = self._of(modality)
        held.offset_us = held.former_us = 0

    def settings(self) -> dict[str, Any]:
        """As of `Part`."""
        return {"sizes": self.sizes} | asdict(self.params)

    def state(self) -> State:
        """As of `Part`: events held, clocks, watermark and outcomes."""
        return {name: packed(held.events) for name, held in self._held.items()}, {
            "watermark_us": self.watermark_us,
            "clocks": {name: held.clock() for name, held in self._held.items()},
            "outcomes": self.outcomes.by_modality(),
        }

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Part`."""
        for name, held in self._held.items():
            events = unpacked(tensors[name], self.sizes[name], self.params.capacity)
            held.restore(events, plain["clocks"][name])
        self.watermark_us = int(plain["watermark_us"])
        self.outcomes.load(plain["outcomes"])

    def _of(self, modality: str) -> Held:
        if modality not in self._held:
            raise ValueError(f"modality must be one of {sorted(self._held)}, got {modality!r}")
        return self._held[modality]

    def _watch_flood(self, modality: str, held: Held, beyond: int) -> None:
        """A flood is counted once, until the buffer has been half empty."""
        if 2 * len(held) < self.params.capacity:
            held.flooded = False
        if beyond <= 0 or self.params.overflow == "wait":
            return
        if not held.flooded:
            held.flooded = True
            self.outcomes.note(modality, "flood", detail=f"{self.params.capacity} events are held")
        self.outcomes.note(modality, "flooded", beyond)

    def _take(self, modality: str, held: Held, events: StructuredArray) -> None:
        kept = self._inside(modality, events)
        kept, times = self._on_clock(modality, held, kept)
        if not len(times):
            return
        before_us = held.newest_us
        # Late events, too, tell that the sensor is there and how far it is: it is waited for again.
        held.newest_us = max(before_us, int(times.max()))
        if held.silent:
            held.silent = False
            self.outcomes.note(modality, "back")
        kept, times = self._not_late(modality, kept, times)
        if not len(times):
            return
        if not in_order(times, before_us):
            before = np.maximum.accumulate(np.concatenate(([before_us], times[:-1])))
            self.outcomes.note(modality, "out of order", int((times < before).sum()))
        self._insert(modality, held, kept, times)

    def _inside(self, modality: str, events: StructuredArray) -> StructuredArray:
        """Events at addresses that the sensor has, and at times that can be reckoned with."""
        width, height, _ = self.sizes[modality]
        # A negative address is a huge one without its sign: one comparison each.
        x, y, t = events["x"].astype(np.uint16), events["y"].astype(np.uint16), events["t"]
        if x.max() < width and y.max() < height and t.max() < _NO_TIME and t.min() > -_NO_TIME:
            return events
        inside = (x < width) & (y < height) & (t < _NO_TIME) & (t > -_NO_TIME)
        self.outcomes.note(modality, "outside", int((~inside).sum()))
        return events[inside]

    def _on_clock(
        self, modality: str, held: Held, events: StructuredArray
    ) -> tuple[StructuredArray, Int64Array]:
        """Events and their times on the stream's clock, leaps treated."""
        times = events["t"].astype(np.int64)
        if not len(times):
            return events, times
        foremost = max(other.newest_us for other in self._held.values())
        low, high = int(times.min()) + held.offset_us, int(times.max()) + held.offset_us
        if low < held.newest_us - self._jump_us or high > foremost + self._jump_us:
            cuts = np.flatnonzero(np.abs(np.diff(times)) > self._jump_us) + 1
            if len(cuts) > _MAX_JUMPS:
                self.outcomes.note(modality, "unusable", len(times), "times without any order")
                return events[:0], times[:0]
            usable, times = self._leapt(modality, held, np.split(times, cuts), foremost)
            events, times = events[usable], times[usable]
        elif held.offset_us:
            times = times + held.offset_us
        if len(times) and times.min() < 0:
            usable = times >= 0
            self.outcomes.note(modality, "outside", int((~usable).sum()))
            events, times = events[usable], times[usable]
        return events, times

    def _leapt(
        self, modality: str, held: Held, pieces: list[Int64Array], foremost: int
    ) -> tuple[BoolArray, Int64Array]:
        """Which events to keep, and times: each piece as it is, moved, dropped or refused."""
        kept: list[BoolArray] = []
        placed: list[Int64Array] = []
        newest = held.newest_us
        for piece in pieces:
            moved = piece + held.offset_us
            first = int(moved[0])
            leap = first - newest
            usable = True
            if first > max(foremost, newest) + self._jump_us or leap < -self._jump_us:
                detail = f"from {newest} us to {first} us"
                if self.params.jump == "raise":
                    raise EventError(f"the clock of {modality} must not leap, got it {detail}")
                self.outcomes.note(modality, "clock jump", detail=detail)
                if self.params.jump == "drop":
                    usable = False
                    self.outcomes.note(modality, "beyond a jump", len(piece))
                else:
                    held.leap_to(int(piece[0]), max(foremost, newest), self._jump_us)
                    moved = piece + held.offset_us
            if usable:
                newest = max(newest, int(moved.max()))
            kept.append(np.full(len(piece), usable))
            placed.append(moved)
        return np.concatenate(kept), np.concatenate(placed)

    def _not_late(
        self, modality: str, events: StructuredArray, times: Int64Array
    ) -> tuple[StructuredArray, Int64Array]:
        late: BoolArray = times < self.watermark_us
        n_late = int(np.count_nonzero(late))
        if not n_late:
            return events, times
        if self.params.late == "raise":
            raise EventError(
                f"events of {modality} must come within latency_ms={self.params.latency_ms:g}, got "
                f"{n_late} before {self.watermark_us} us, the first at {times[late][0]} us"
            )
        self.outcomes.note(modality, "late", n_late)
        if self.params.late == "clamp":
            return events, np.maximum(times, self.watermark_us)
        return events[~late], times[~late]

    def _insert(
        self, modality: str, held: Held, events: StructuredArray, times: Int64Array
    ) -> None:
        """Sort them in among those held from the earliest on, and look for repetitions there."""
        tail = events.copy()
        tail["t"] = times
        k = held.place_of(int(times.min()))
        if k < len(held):
            tail = np.concatenate([held.events[k:], tail])
        if not in_order(tail["t"], 0):
            tail = tail[order_of(tail["t"])]
        again = None if self.params.repeated == "keep" else repeated(tail)
        if again is not None:
            n = int(again.sum())
            if self.params.repeated == "raise":
                raise EventError(f"events of {modality} must differ, got {n} repeated")
            self.outcomes.note(modality, "repeated", n)
            tail = tail[~again]
        held.replace_from(k, tail)

    def _complete_us(self) -> int:
        """Before it every sensor is complete, is silent, or has flooded its buffer."""
        foremost = max(held.newest_us for held in self._held.values())
        slowest = foremost
        for name, held in self._held.items():
            if foremost - held.newest_us <= self._silent_us:
                slowest = min(slowest, held.newest_us)
            elif not held.silent:
                held.silent = True
                self.outcomes.note(name, "silent", detail=f"since {held.newest_us} us")
        complete = slowest - self._latency_us
        for held in self._held.values():
            if len(held) >= self.params.capacity:
                complete = max(complete, 1 + int(held.events["t"][len(held) // 2]))
        return complete

    def _release(self, watermark_us: int) -> list[Chunk]:
        if watermark_us <= self.watermark_us:
            return []
        self.watermark_us = watermark_us
        return [
            Chunk(name, held.take_before(watermark_us), watermark_us)
            for name, held in self._held.items()
        ]


def as_stream(chunk: Chunk, size: SensorSize) -> EventStream:
    """A buffer's chunk as a stream on the absolute clock; its duration is the watermark."""
    return EventStream.trusted(chunk.events, size, chunk.now_us, chunk.modality)
