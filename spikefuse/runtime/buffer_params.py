"""What a jitter buffer is told: how long it waits, and what it does with what is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class BufferParams:
    """How long a jitter buffer waits, how much it holds, and what it does with what is wrong.

    Parameters
    ----------
    latency_ms : float
        Budget: an event is held until its sensor's clock is this much further, so one that comes
        at most this late is put in its place.
    late : "drop", "clamp" or "raise"
        An event behind what was already handed on is dropped, moved to the watermark, or an error.
    repeated : "drop", "keep" or "raise"
        An event equal to one that is still held in time, address and polarity.
    jump : "rebase", "drop" or "raise"
        A clock that leaps by more than ``jump_ms``: from there on the sensor's times are moved so
        that they go on at the foremost clock, or what lies beyond it is dropped, or it is an error.
    jump_ms : float
        Smallest leap; ``math.inf`` believes every time.
    silent_ms : float
        A sensor whose clock is further than this behind the foremost one is silent: it no longer
        holds the others up, and counts as absent until it speaks again.
    capacity : int
        Events held of a sensor.
    overflow : "wait" or "drop"
        A full buffer takes no more (`JitterBuffer.push` says how many), or drops what is too much.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    latency_ms: float = 10.0
    late: Literal["drop", "clamp", "raise"] = "drop"
    repeated: Literal["drop", "keep", "raise"] = "drop"
    jump: Literal["rebase", "drop", "raise"] = "rebase"
    jump_ms: float = 2000.0
    silent_ms: float = 500.0
    capacity: int = 1_000_000
    overflow: Literal["wait", "drop"] = "wait"

    def __post_init__(self) -> None:
        if not 0 <= self.latency_ms < math.inf:
            raise ValueError(f"latency_ms must be finite and >= 0, got {self.latency_ms}")
        if not self.jump_ms > self.latency_ms:
            raise ValueError(
                f"jump_ms must be above latency_ms={self.latency_ms:g}, got {self.jump_ms}"
            )
        if not self.silent_ms > 0:
            raise ValueError(f"silent_ms must be positive, got {self.silent_ms}")
        if self.capacity < 1:
            raise ValueError(f"capacity must be >= 1, got {self.capacity}")
        for name, choices in (
            ("late", ("drop", "clamp", "raise")),
            ("repeated", ("drop", "keep", "raise")),
            ("jump", ("rebase", "drop", "raise")),
            ("overflow", ("wait", "drop")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}")
