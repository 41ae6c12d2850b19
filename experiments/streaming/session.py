"""From sources to decisions: one loop, counted and timed."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.training.interrupts import Interrupts
from sensors.live.sinks import Sink
from spikefuse._types import FloatArray
from spikefuse.cost.exits import confidence
from spikefuse.events import EVENT_DTYPE, EventStream
from spikefuse.models import FusionSNN
from spikefuse.runtime import Decision, StreamRunner
from spikefuse.runtime.buffer import Chunk, JitterBuffer
from spikefuse.runtime.clocks import ClockEstimate, ClockEstimator
from spikefuse.runtime.policies import Gate
from spikefuse.runtime.runner import EngineName
from spikefuse.runtime.snapshot import Part, State

_KEPT = 100_000  # latencies of which percentiles are taken, the newest
_LATENCIES = ("host_ms", "behind_ms")  # of a `Tally`, kept as tensors
_CORRECT_EVERY_US = 1_000_000  # of the stream, so that a recording is corrected alike on any host
_NEAR_US = 5_000_000  # further from the foremost clock than this is a leap, no drift
OnUpdate = Callable[["Session"], None]


@dataclass
class Tally:
    """What has gone through so far.

    Parameters
    ----------
    n_chunks : dict of int
        Of each modality, gone through: where a recording has come to.
    host_ms : deque of float
        Of each decision: from the arrival of the chunk that completed it until it was there.
    behind_ms : deque of float
        How far the foremost clock was past the decision's time: buffer, step and other sensors.
    """

    n_chunks: dict[str, int] = field(default_factory=dict)
    n_events: dict[str, int] = field(default_factory=dict)
    n_admitted: dict[str, int] = field(default_factory=dict)
    n_decisions: int = 0
    host_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    behind_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))


class Session:
    """Sources through the jitter buffer into the runner, decisions into sinks.

    Parameters
    ----------
    runner : StreamRunner
    buffer : JitterBuffer
        Of the runner's modalities.
    classes : sequence of str
        Names of the labels.
    sinks : sequence of Sink
    gate : Gate, optional
        Between buffer and runner.
    clocks : ClockEstimator, optional
        Watches the second modality against the first; once it is locked, the second one's times
        are put on the first one's clock.
    temperature : float
        Of the probabilities that go to the sinks.
    """

    def __init__(
        self,
        runner: StreamRunner,
        buffer: JitterBuffer,
        classes: Sequence[str],
        sinks: Sequence[Sink] = (),
        gate: Gate | None = None,
        clocks: ClockEstimator | None = None,
        temperature: float = 1.0,
    ) -> None:
        self.runner, self.buffer, self.classes = runner, buffer, tuple(classes)
        self.gate, self.clocks, self.temperature = gate, clocks, temperature
        self.tally = Tally()
        self.last: Decision | None = None
        self.estimate: ClockEstimate | None = None
        self.began_s = time.monotonic()
        self._sinks = sinks
        self._arrived_s = 0.0
        self._estimated_us = 0
        # A gate acts between decisions, so chunks are cut where a step ends.
        self._cut_us = round(runner.model.spec.dt_ms * 1e3)

    def run(self, chunks: Iterable[Chunk], on_update: OnUpdate | None = None) -> None:
        """Take every chunk; `finish` is the caller's.

        Ctrl-C waits until the chunk under way is through, so that a snapshot then is whole.
        """
        for chunk in chunks:
            self._arrived_s = time.monotonic()
            with Interrupts():
                self._take(chunk)
            if on_update is not None:
                on_update(self)

    def finish(self, until_us: int | None = None) -> None:
        """The sources have ended: what is held goes through, up to a time if given."""
        self._arrived_s = time.monotonic()
        self._hand_on(self.buffer.flush())
        end = max(self.runner.clocks_us.values()) if until_us is None else until_us
        self._tell(self.runner.finish(end))

    def probabilities(self, decision: Decision) -> FloatArray:
        """Of the classes, calibrated."""
        scaled = (decision.evidence - decision.evidence.max()) / self.temperature
        p = np.exp(scaled)
        return np.asarray(p / p.sum())

    def describe(self, decision: Decision) -> dict[str, Any]:
        """A decision as sinks get it."""
        sure = float(confidence(decision.evidence[None, None], self.temperature)[0, 0])
        return {
            "time_us": decision.time_us,
            "step": decision.step,
            "label": decision.label,
            "class": self.classes[decision.label],
            "confidence": sure,
            "host_ms": self.tally.host_ms[-1],
            "absent": sorted(self.buffer.absent),
        }

    @property
    def reached_us(self) -> int:
        """The foremost sensor's clock."""
        return max(self.buffer.clock_us(name) for name in self.buffer.sizes)

    def reopen(self, modalities: Iterable[str]) -> None:
        """Live sources are heard again after a pause: what is known of their clocks is void."""
        live = set(modalities)
        for name in live:
            self.buffer.reopen(name)
        if self.clocks is not None and live & set(self.runner.model.modalities[:2]):
            self.clocks, self.estimate = ClockEstimator(self.clocks.params), None

    def parts(self) -> dict[str, Part]:
        """What a snapshot of the whole stream holds, by name."""
        found = self.runner.parts() | {"session": self, "buffer": self.buffer}
        gate: object = self.gate
        if gate is not self.runner.policy and isinstance(gate, Part):
            found["gate"] = gate
        if self.clocks is not None:
            found["clocks"] = self.clocks
        return found

    def settings(self) -> dict[str, Any]:
        """As of `Part`."""
        return {"classes": self.classes, "temperature": self.temperature}

    def state(self) -> State:
        """As of `Part`: the tally, the last decision and what is thought of the clocks."""
        tally = vars(self.tally)
        held = {n: torch.from_numpy(np.fromiter(tally[n], np.float64)) for n in _LATENCIES}
        plain = {name: value for name, value in tally.items() if name not in _LATENCIES}
        last = None
        if self.last is not None:
            last = {name: value for name, value in vars(self.last).items() if name != "evidence"}
            held["evidence"] = torch.from_numpy(self.last.evidence.copy())
        return held, {
            "tally": plain,
            "last": last,
            "estimate": None if self.estimate is None else vars(self.estimate),
            "estimated_us": self._estimated_us,
        }

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Part`."""
        self.tally = Tally(**plain["tally"])
        for name in _LATENCIES:
            setattr(self.tally, name, deque(tensors[name].tolist(), maxlen=_KEPT))
        last, estimate = plain["last"], plain["estimate"]
        self.last = None
        if last is not None:
            self.last = Decision(**last, evidence=tensors["evidence"].numpy())
        self.estimate = None if estimate is None else ClockEstimate(**estimate)
        self._estimated_us = int(plain["estimated_us"])

    def _take(self, chunk: Chunk) -> None:
        name, events = chunk.modality, chunk.events
        self.tally.n_events[name] = self.tally.n_events.get(name, 0) + len(events)
        events, now_us = self._on_one_clock(name, events, chunk.now_us)
        while len(events):
            n = self.buffer.push(name, events)
            events = events[n:]
            if len(events):
                self._hand_on(self.buffer.pop())
        # A clock that is only its last event's may have leapt; the buffer has dealt with that.
        if not len(chunk.events) or chunk.now_us > int(chunk.events["t"].max()):
            self.buffer.advance(name, now_us)
        self._hand_on(self.buffer.pop())
        self.tally.n_chunks[name] = self.tally.n_chunks.get(name, 0) + 1

    def _on_one_clock(self, name: str, events: Any, now_us: int) -> tuple[Any, int]:
        """The second sensor's events on the first one's clock, as far as it is known."""
        if self.clocks is None:
            return events, now_us
        first, second = self.runner.model.modalities[:2]
        if name not in (first, second):
            return events, now_us
        times = events["t"].astype(np.int64)
        self._watch("reference" if name == first else "other", name, events, now_us)
        here_us = self.reached_us
        if here_us - self._estimated_us >= _CORRECT_EVERY_US:
            self._estimated_us = here_us
            self.estimate = self.clocks.estimate()
        if name == second and self.estimate is not None and self.estimate.locked:
            events = events.copy()
            events["t"] = self.estimate.to_reference(times)
            now_us = int(self.estimate.to_reference(np.array([now_us]))[0])
        return events, now_us

    def _watch(self, sensor: str, name: str, events: Any, now_us: int) -> None:
        """Show the estimator what is sound: it must not follow a clock that leaps."""
        width, height, _ = self.buffer.sizes[name]
        here = self.reached_us
        times, x, y = events["t"], events["x"], events["y"]
        sound = (np.abs(times - here) < _NEAR_US) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        kept = events[sound]
        kept = kept[np.argsort(kept["t"], kind="stable")]
        at = (kept["p"].astype(np.int64) * height + kept["y"]) * width + kept["x"]
        clock_us = now_us if abs(now_us - here) < _NEAR_US else None
        if self.clocks is not None:
            self.clocks.push(sensor, kept["t"].astype(np.int64), clock_us, at)

    def _hand_on(self, chunks: Sequence[Chunk]) -> None:
        """Chunks of one watermark through the gate into the runner."""
        if not chunks:
            return
        end_us = chunks[0].now_us
        if self.gate is None:
            for chunk in chunks:
                self._feed(chunk.modality, chunk.events, end_us)
            return
        start = min(self.runner.clocks_us.values())
        cuts = range((start // self._cut_us + 1) * self._cut_us, end_us, self._cut_us)
        for until_us in (*cuts, end_us):
            for chunk in chunks:
                times = chunk.events["t"]
                low, high = np.searchsorted(times, [start, until_us])
                part = self.gate.admit(chunk.modality, chunk.events[low:high], until_us)
                self._feed(chunk.modality, part, until_us)
            start = until_us

    def _feed(self, name: str, events: Any, until_us: int) -> None:
        self.tally.n_admitted[name] = self.tally.n_admitted.get(name, 0) + len(events)
        stream = EventStream.trusted(events, self.buffer.sizes[name], until_us, name)
        self._tell(self.runner.push(name, stream, until_us))

    def _tell(self, decisions: Sequence[Decision]) -> None:
        foremost = self.reached_us
        for decision in decisions:
            self.tally.n_decisions += 1
            self.tally.host_ms.append((time.monotonic() - self._arrived_s) * 1e3)
            self.tally.behind_ms.append(max(foremost - decision.time_us, 0) / 1e3)
            self.last = decision
            record = self.describe(decision) if self._sinks else {}
            for sink in self._sinks:
                sink.write(record)


def warm_up(model: FusionSNN, engine: EngineName) -> None:
    """Run two steps and throw them away: the first ones load compiled code and pack weights."""
    runner = StreamRunner(model, engine, count=engine == "stepped")
    step_us = round(model.spec.dt_ms * 1e3)
    events = np.zeros(2, EVENT_DTYPE)
    events["t"], events["p"] = [0, step_us], True
    for name in model.modalities:
        runner.push(name, events, 2 * step_us)


@contextmanager
def steady() -> Iterator[None]:
    """Keep what is there already out of the garbage collector's full passes.

    With torch loaded one takes a third of a second, and would fall between two decisions.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def percentiles(values: Iterable[float]) -> dict[str, float] | None:
    """Median, 95th and 99th percentile and maximum; None of nothing."""
    found = np.fromiter(values, np.float64)
    if not len(found):
        return None
    p50, p95, p99 = np.percentile(found, [50, 95, 99])
    return {
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "max_ms": float(found.max()),
    }


def rates_hz(session: Session) -> Mapping[str, float]:
    """Events a second of stream time, that of a sensor which is silent, too."""
    names = session.buffer.sizes
    stream_s = max(session.reached_us * 1e-6, 1e-6)
    return {name: session.tally.n_events.get(name, 0) / stream_s for name in names}
