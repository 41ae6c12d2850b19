"""Front: each modality's events and clock, and which steps are complete."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikefuse._types import StructuredArray
from spikefuse.errors import EventError
from spikefuse.events import EVENT_DTYPE, EventStream, SensorSize
from spikefuse.kernels.binning import step_length_us
from spikefuse.kernels.intake import intake

_NOTHING = np.zeros(0, EVENT_DTYPE)


class Front:
    """Events that wait until every modality's clock has passed their step.

    Parameters
    ----------
    sizes : mapping of modality to sensor size (W, H, P)
    dt_ms : float
        Step length.
    capacity : int
        Events that one modality may have waiting.
    jump_ms : float
        Largest step of a clock that is believed.

    Raises
    ------
    ValueError
        If there is no modality or a number is out of range.
    """

    def __init__(
        self, sizes: Mapping[str, SensorSize], dt_ms: float, capacity: int, jump_ms: float
    ) -> None:
        if not sizes:
            raise ValueError("sizes must name at least one modality, got none")
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        if not 1e-3 <= dt_ms < np.inf:
            raise ValueError(f"dt_ms must be at least 0.001 and finite, got {dt_ms}")
        if not jump_ms > 0:
            raise ValueError(f"jump_ms must be positive, got {jump_ms}")
        self._jump_us = jump_ms * 1e3
        self.sizes, self.dt_ms, self.capacity = dict(sizes), dt_ms, capacity
        self.watermark_us = dict.fromkeys(self.sizes, 0)
        self.n_events = dict.fromkeys(self.sizes, 0)
        self.last_step = dict.fromkeys(self.sizes, -1)
        self._step_us = step_length_us(dt_ms)
        # Their `t` is a step already.
        self._waiting: dict[str, list[StructuredArray]] = {name: [] for name in self.sizes}
        self._n_waiting = dict.fromkeys(self.sizes, 0)

    def push(self, modality: str, events: EventStream | StructuredArray) -> None:
        """Take events in order of time; the modality's clock is then that of the last one.

        Raises
        ------
        ValueError
            If the modality or the dtype is another.
        EventError
            If an event is before the modality's clock, too far after it or outside its sensor, or
            too many wait. Nothing of the push is taken then.
        """
        self._check_known(modality)
        records = self._records(modality, events)
        if not len(records):
            return
        first_us, last_us = int(records["t"][0]), int(records["t"][-1])
        if first_us < self.watermark_us[modality]:
            raise EventError(
                f"events of {modality!r} must not be before its clock, which stands at "
                f"{self.watermark_us[modality]} us, got one at {first_us} us; a JitterBuffer puts "
                "late ones in order"
            )
        self._check_jump(modality, last_us)
        stepped = intake(records, self.sizes[modality], self.dt_ms, modality)
        if self._n_waiting[modality] + len(records) > self.capacity:
            raise EventError(
                f"at most {self.capacity} events of {modality!r} can wait, got "
                f"{self._n_waiting[modality] + len(records)}; the slowest clock is that of "
                f"{self.slowest!r}, at {self.watermark_us[self.slowest]} us: advance it"
            )
        self._waiting[modality].append(stepped)
        self._n_waiting[modality] += len(stepped)
        self.n_events[modality] += len(stepped)
        self.watermark_us[modality] = last_us
        self.last_step[modality] = int(stepped["t"][-1])

    def advance(self, modality: str, now_us: int) -> None:
        """No event of a modality will come from before ``now_us``; an earlier time is ignored.

        Raises
        ------
        EventError
            If the clock would jump.
        """
        self._check_known(modality)
        self._check_jump(modality, int(now_us))
        self.watermark_us[modality] = max(self.watermark_us[modality], int(now_us))

    @property
    def slowest(self) -> str:
        """The modality whose clock is furthest behind."""
        return min(self.watermark_us, key=lambda name: self.watermark_us[name])

    @property
    def n_waiting(self) -> int:
        """Events of all modalities that wait."""
        return sum(self._n_waiting.values())

    def n_complete(self) -> int:
        """Steps from the stream's start on that every clock has passed."""
        slowest_us = min(self.watermark_us.values())
        if self._step_us.is_integer():
            return slowest_us // int(self._step_us)
        return int(np.floor(slowest_us / self._step_us))

    def n_begun(self) -> int:
        """Steps from the start on that any clock has reached; the last event's is among them."""
        reached = (int(np.ceil(us / self._step_us)) for us in self.watermark_us.values())
        return max(*reached, *(step + 1 for step in self.last_step.values()))

    def take(self, until: int) -> dict[str, StructuredArray]:
        """Waiting events of steps before ``until``; their ``t`` is the step."""
        return {name: self._take(name, until) for name in self.sizes}

    def waiting(self, modality: str) -> StructuredArray:
        """Events that wait; their ``t`` is the step."""
        parts = self._waiting[modality]
        if len(parts) > 1:
            parts[:] = [_joined(parts)]
        return parts[0] if parts else _NOTHING

    def clock(self, modality: str) -> dict[str, int]:
        """Plain values of a snapshot."""
        return {
            "watermark_us": self.watermark_us[modality],
            "n_events": self.n_events[modality],
            "last_step": self.last_step[modality],
        }

    def restore(self, modality: str, waiting: StructuredArray, clock: Mapping[str, int]) -> None:
        """Put back what a snapshot holds."""
        self._waiting[modality] = [waiting] if len(waiting) else []
        self._n_waiting[modality] = len(waiting)
        self.watermark_us[modality] = int(clock["watermark_us"])
        self.n_events[modality] = int(clock["n_events"])
        self.last_step[modality] = int(clock["last_step"])

    def _take(self, modality: str, until: int) -> StructuredArray:
        parts = self._waiting[modality]
        if not parts or parts[0]["t"][0] >= until:
            return _NOTHING
        waiting = self.waiting(modality)
        n = len(waiting)
        if waiting["t"][-1] >= until:
            n = int(np.searchsorted(waiting["t"], until, side="left"))
        rest = waiting[n:]
        if rest.base is not None and rest.base.nbytes > 2 * rest.nbytes:
            rest = rest.copy()  # or a few events would keep all of a large push alive
        self._waiting[modality] = [rest] if len(rest) else []
        self._n_waiting[modality] = len(rest)
        return waiting[:n]

    def _records(self, modality: str, events: EventStream | StructuredArray) -> StructuredArray:
        """Records of a stream of this sensor, or an array that holds some."""
        if isinstance(events, EventStream):
            if events.sensor_size != self.sizes[modality]:
                raise EventError(
                    f"sensor_size of {modality!r} must be {self.sizes[modality]}, got "
                    f"{events.sensor_size}"
                )
            return events.events
        if not isinstance(events, np.ndarray) or events.dtype != EVENT_DTYPE or events.ndim != 1:
            found = getattr(events, "dtype", type(events).__name__)
            raise ValueError(f"events must be an EventStream or 1-d {EVENT_DTYPE}, got {found}")
        return events

    def _check_jump(self, modality: str, now_us: int) -> None:
        foremost_us = max(self.watermark_us.values())
        if now_us - foremost_us > self._jump_us:
            raise EventError(
                f"the clock of {modality!r} must not jump by more than {self._jump_us / 1e3:g} ms "
                f"(jump_ms) beyond {foremost_us} us, got {now_us} us; a stream begins at 0"
            )

    def _check_known(self, modality: str) -> None:
        if modality not in self.sizes:
            raise ValueError(f"modality must be one of {sorted(self.sizes)}, got {modality!r}")


def _joined(parts: list[StructuredArray]) -> StructuredArray:
    """Arrays end to end; as bytes, because NumPy joins records field by field."""
    return np.concatenate([np.ascontiguousarray(p).view(np.uint8) for p in parts]).view(EVENT_DTYPE)
