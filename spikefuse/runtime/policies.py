"""What an always-on system does to spend less: leave early, sleep in turns, sleep until woken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from spikefuse._types import BoolArray, Int64Array, StructuredArray
from spikefuse.cost.exits import confidence
from spikefuse.runtime.admitted import Admitted
from spikefuse.runtime.decisions import Decision
from spikefuse.runtime.snapshot import State

_KEPT = 1000  # answers that are remembered


class Gate(Protocol):
    """Stands between the buffer and the network: what it holds back costs no operation."""

    def admit(self, modality: str, events: StructuredArray, now_us: int) -> StructuredArray:
        """The events that the network may see, of those before ``now_us``."""
        ...

    def awake_share(self, modality: str) -> float:
        """Share of the time so far in which the modality was let through."""
        ...


@dataclass(frozen=True)
class Answer:
    """The decision that a trial ends with.

    Parameters
    ----------
    trial : int
    time_us : int
        When it was given.
    label : int
    confidence : float
        Largest class probability.
    early : bool
        Whether it was given before the trial's end.
    """

    trial: int
    time_us: int
    label: int
    confidence: float
    early: bool


class ConfidenceExit(Admitted):
    r"""Trials of one length, each left when the answer is sure enough; a policy and a gate.

    A trial's answer is its first decision with :math:`\max_c \text{softmax}(z / T)_c \ge \theta`
    (`spikefuse.cost.exits`), or its last one. From then on the network sleeps until the trial is
    over, and the next one starts from rest.

    Parameters
    ----------
    trial_ms : float
        Whole steps of the model.
    theta : float
        1 never leaves early: then this only divides the stream.
    temperature : float
        Of the calibration, see `confidence`.
    on_answer : function, optional

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(
        self,
        trial_ms: float,
        theta: float = 1.0,
        temperature: float = 1.0,
        on_answer: Callable[[Answer], None] | None = None,
    ) -> None:
        if not trial_ms > 0 or not 0 <= theta <= 1 or not temperature > 0:
            raise ValueError(
                "trial_ms and temperature must be positive and theta in [0, 1], got "
                f"{trial_ms}, {temperature} and {theta}"
            )
        super().__init__()
        self._trial_us = round(trial_ms * 1e3)
        self.theta, self.temperature, self._on_answer = theta, temperature, on_answer
        self.answers: deque[Answer] = deque(maxlen=_KEPT)
        self.n_answers = self.n_early = 0
        self._asleep_from = -1  # within the trial that ends at `_until`
        self._until = 0

    def restart(self, decision: Decision) -> bool:
        """Whether the trial is over."""
        trial = (decision.time_us - 1) // self._trial_us
        over = decision.time_us >= (trial + 1) * self._trial_us
        if self._until != (trial + 1) * self._trial_us or self._asleep_from < 0:
            sure = float(confidence(decision.evidence[None, None], self.temperature)[0, 0])
            leaves = self.theta < 1 and sure >= self.theta
            if leaves or over:
                self._asleep_from = decision.time_us
                self._until = (trial + 1) * self._trial_us
                self._say(Answer(trial, decision.time_us, decision.label, sure, not over))
        if over:
            self._asleep_from = -1
        return over

    def admit(self, modality: str, events: StructuredArray, now_us: int) -> StructuredArray:
        """Nothing between a trial's answer and its end."""
        since = self._since(modality)
        low = max(since, self._asleep_from) if self._asleep_from >= 0 else now_us
        high = min(now_us, self._until)
        self._let_through(modality, now_us - since - max(high - low, 0), now_us)
        if high <= low:
            return events
        times = events["t"]
        return events[(times < low) | (times >= high)]

    def settings(self) -> dict[str, Any]:
        """As of `Part`."""
        return {
            "trial_us": self._trial_us,
            "theta": self.theta,
            "temperature": self.temperature,
        }

    def state(self) -> State:
        """As of `Part`; the answers that are remembered are in it."""
        tensors, plain = super().state()
        return tensors, plain | {
            "answers": [asdict(answer) for answer in self.answers],
            "n_answers": self.n_answers,
            "n_early": self.n_early,
            "asleep_from_us": self._asleep_from,
            "until_us": self._until,
        }

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Part`."""
        super().load_state(tensors, plain)
        self.answers = deque((Answer(**values) for values in plain["answers"]), maxlen=_KEPT)
        self.n_answers, self.n_early = int(plain["n_answers"]), int(plain["n_early"])
        self._asleep_from, self._until = int(plain["asleep_from_us"]), int(plain["until_us"])

    def _say(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.n_answers += 1
        self.n_early += answer.early
        if self._on_answer is not None:
            self._on_answer(answer)


class DutyCycle(Admitted):
    """On for the first part of every period, off for the rest; all modalities together.

    Parameters
    ----------
    on_ms, period_ms : float

    Raises
    ------
    ValueError
        If the times are not ``0 < on_ms <= period_ms``.
    """

    def __init__(self, on_ms: float, period_ms: float) -> None:
        if not 0 < on_ms <= period_ms:
            raise ValueError(f"on_ms must lie in (0, period_ms={period_ms}], got {on_ms}")
        super().__init__()
        self._on_us, self._period_us = round(on_ms * 1e3), round(period_ms * 1e3)

    def admit(self, modality: str, events: StructuredArray, now_us: int) -> StructuredArray:
        """Events of the on times."""
        since = self._since(modality)
        self._let_through(modality, self._on_before(now_us) - self._on_before(since), now_us)
        return events[events["t"] % self._period_us < self._on_us]

    def settings(self) -> dict[str, Any]:
        """As of `Part`."""
        return {"on_us": self._on_us, "period_us": self._period_us}

    def _on_before(self, time_us: int) -> int:
        whole, rest = divmod(time_us, self._period_us)
        return whole * self._on_us + min(rest, self._on_us)


class EnergyGate(Admitted):
    """Shed one modality while the energy spent is above a budget that grows with time.

    Parameters
    ----------
    budget_mw : float
        Mean power that may be spent.
    sheds : str
        The modality that is held back.
    spent_pj : function
        Energy so far; asked once a chunk, so it should be quick.

    Raises
    ------
    ValueError
        If the budget is not positive.
    """

    def __init__(self, budget_mw: float, sheds: str, spent_pj: Callable[[], float]) -> None:
        if not budget_mw > 0:
            raise ValueError(f"budget_mw must be positive, got {budget_mw}")
        super().__init__()
        self._pj_per_us = budget_mw * 1e3  # 1 mW = 1 nJ/us
        self._sheds, self._spent_pj = sheds, spent_pj

    def admit(self, modality: str, events: StructuredArray, now_us: int) -> StructuredArray:
        """Everything, but of the modality that is shed while too much is spent."""
        since = self._since(modality)
        shut = modality == self._sheds and self._spent_pj() > self._pj_per_us * max(since, 1)
        self._let_through(modality, 0 if shut else now_us - since, now_us)
        return events[:0] if shut else events

    def settings(self) -> dict[str, Any]:
        """As of `Part`; what was spent is the runner's."""
        return {"pj_per_us": self._pj_per_us, "sheds": self._sheds}


class WakeUp(Admitted):
    """One modality sleeps until the other has something to show.

    The leader's events are counted in windows; when one that is over holds at least ``n_wake``, the
    sleeper is let through from its end on, for ``hold_ms``. No event is looked at before it came.

    Parameters
    ----------
    leader, sleeper : str
    n_wake : int
        0 never sleeps.
    window_ms, hold_ms : float
    columns : (first, last), optional
        Only the leader's events there count, both ends with them; all by default. Where something
        that comes near is seen late, say: at the retina's edge.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    The leader must be admitted before the sleeper, for the same time.
    """

    def __init__(
        self,
        leader: str,
        sleeper: str,
        n_wake: int,
        window_ms: float = 20.0,
        hold_ms: float = 60.0,
        columns: tuple[int, int] | None = None,
    ) -> None:
        if leader == sleeper:
            raise ValueError(f"leader and sleeper must differ, got {leader!r} twice")
        if n_wake < 0 or not window_ms > 0 or not hold_ms > 0:
            raise ValueError(
                "n_wake must be >= 0, window_ms and hold_ms positive, got "
                f"{n_wake}, {window_ms} and {hold_ms}"
            )
        super().__init__()
        self.leader, self.sleeper, self.n_wake = leader, sleeper, n_wake
        self._columns = columns
        self._window_us, self._hold_us = round(window_ms * 1e3), round(hold_ms * 1e3)
        self._first = 0  # window that `_counts` begins with
        self._counts = np.zeros(1, np.int64)
        self._awake: deque[tuple[int, int]] = deque()  # spans, in order, apart

    def admit(self, modality: str, events: StructuredArray, now_us: int) -> StructuredArray:
        """The leader's events, and the sleeper's while it is awake."""
        since = self._since(modality)
        if modality == self.leader:
            seen = events
            if self._columns is not None:
                first, last = self._columns
                seen = events[(events["x"] >= first) & (events["x"] <= last)]
            self._watch(seen["t"].astype(np.int64), now_us)
        if modality != self.sleeper or self.n_wake == 0:
            self._let_through(modality, now_us - since, now_us)
            return events
        while self._awake and self._awake[0][1] <= since:
            self._awake.popleft()
        times = events["t"]
        open_: BoolArray = np.zeros(len(events), np.bool_)
        open_us = 0
        for start, end in self._awake:
            open_ |= (times >= start) & (times < end)
            open_us += max(0, min(end, now_us) - max(start, since))
        self._let_through(modality, open_us, now_us)
        return events[open_]

    def settings(self) -> dict[str, Any]:
        """As of `Part`."""
        return {
            "leader": self.leader,
            "sleeper": self.sleeper,
            "n_wake": self.n_wake,
            "columns": self._columns,
            "window_us": self._window_us,
            "hold_us": self._hold_us,
        }

    def state(self) -> State:
        """As of `Part`: the open window's count, and the spans awake."""
        tensors, plain = super().state()
        return tensors, plain | {
            "first": self._first,
            "count": int(self._counts[0]),
            "awake_us": [list(span) for span in self._awake],
        }

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Part`."""
        super().load_state(tensors, plain)
        self._first = int(plain["first"])
        self._counts = np.array([plain["count"]], np.int64)
        self._awake = deque((int(start), int(end)) for start, end in plain["awake_us"])

    def _watch(self, times: Int64Array, now_us: int) -> None:
        """Count, and close the windows that are over."""
        n_over = max(now_us // self._window_us - self._first, 0)
        at = times // self._window_us - self._first
        counts = np.bincount(at[at >= 0], minlength=n_over + 1)
        counts[0] += self._counts[0]
        for k in np.flatnonzero(counts[:n_over] >= max(self.n_wake, 1)):
            start = (self._first + int(k) + 1) * self._window_us
            if self._awake and start <= self._awake[-1][1]:
                self._awake[-1] = (self._awake[-1][0], start + self._hold_us)
            else:
                self._awake.append((start, start + self._hold_us))
        self._first += n_over
        self._counts = counts[n_over : n_over + 1]
