"""StreamRunner: events in as they come, decisions out, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from torch import Tensor

from spikefuse._types import StructuredArray
from spikefuse.cost.energy import EnergyEstimate, energy
from spikefuse.cost.profile import HardwareProfile
from spikefuse.errors import DataError
from spikefuse.events import EventStream
from spikefuse.kernels.binning import Counts, step_length_us
from spikefuse.models import FusionSNN
from spikefuse.opcounts import OpCounts
from spikefuse.runtime.decisions import Decision, Evidence, EvidenceSum, Policy
from spikefuse.runtime.engine import Engine
from spikefuse.runtime.event_engine import EventEngine
from spikefuse.runtime.front import Front
from spikefuse.runtime.snapshot import (
    Part,
    State,
    fingerprint,
    load_parts,
    packed,
    read_snapshot,
    save_parts,
    unpacked,
)
from spikefuse.runtime.stepped import SteppedEngine

EngineName = Literal["stepped", "event"]
OnDecision = Callable[[Decision], None]


class StreamRunner:
    """A trained model on a stream that does not end.

    Each modality has a clock. What is pushed is in order of time, and moves the clock of its
    modality to its last event; `advance` moves it where nothing happens. A step of the model is
    complete once every clock has passed its end: it is run then, and only then are there decisions
    on it. So how the stream is cut into pushes changes no spike.

    Parameters
    ----------
    model : FusionSNN
        On the host and in evaluation mode. It must not change while it streams.
    engine : "stepped" or "event"
        `SteppedEngine` runs every model; `EventEngine` works on every event when it comes.
    counts : "keep" or "clip"
        Several events of one address in a step: as the model was trained.
    every_ms : float, optional
        Time between decisions, whole steps; every step by default.
    evidence : "mean" or "score"
        Decisions by the mean of the scores since the start, as `running_mean` in the batch path, or
        by the latest.
    capacity : int
        Events that a modality may have waiting for the others' clocks.
    jump_ms : float
        Largest step of a clock that is believed: a time beyond it is refused, or a wrong one would
        have silence run for years.
    block_steps : int
        Most steps that are run at once: what bounds memory after a long silence.
    count : bool
        Whether the stepped engine counts operations (`counts`, `energy`); the event engine always
        does.
    on_decision : function, optional
        Called with every decision, in order, before it is returned.
    policy : Policy, optional
        Asked after every decision whether to start from rest.

    Raises
    ------
    ValueError
        If an argument is out of range.
    ConfigError
        If the engine cannot run the model; the message says why.

    Examples
    --------
    >>> runner = StreamRunner(model, engine="event")  # doctest: +SKIP
    >>> for chunk in chunks:  # doctest: +SKIP
    ...     for decision in runner.push(chunk.modality, chunk.events, chunk.now_us):
    ...         print(decision.time_us, decision.label)
    """

    def __init__(
        self,
        model: FusionSNN,
        engine: EngineName = "stepped",
        *,
        counts: Counts = "keep",
        every_ms: float | None = None,
        evidence: Evidence = "mean",
        capacity: int = 4_000_000,
        jump_ms: float = 3.6e6,
        block_steps: int = 256,
        count: bool = False,
        on_decision: OnDecision | None = None,
        policy: Policy | None = None,
    ) -> None:
        if counts not in ("keep", "clip"):
            raise ValueError(f"counts must be 'keep' or 'clip', got {counts!r}")
        if block_steps < 1:
            raise ValueError(f"block_steps must be at least 1, got {block_steps}")
        _check_ready(model)
        spec = model.spec
        every = 1 if every_ms is None else _whole_steps(every_ms, spec.dt_ms)
        self.model, self.on_decision, self.policy = model, on_decision, policy
        self._options: dict[str, Any] = {
            "engine": engine,
            "counts": counts,
            "every_ms": every_ms,
            "evidence": evidence,
            "capacity": capacity,
            "jump_ms": jump_ms,
            "block_steps": block_steps,
            "count": count,
        }
        self.engine = _engine(model, engine, counts, count)
        sizes = {part.name: part.sensor_size for part in spec.modalities}
        self._front = Front(sizes, spec.dt_ms, capacity, jump_ms)
        self._evidence = EvidenceSum(spec.n_classes, evidence, every, step_length_us(spec.dt_ms))
        self._block = block_steps
        self._step = 0
        self.n_decisions = 0
        self.finished = False

    def push(
        self,
        modality: str,
        events: EventStream | StructuredArray,
        now_us: int | None = None,
    ) -> list[Decision]:
        """Events of one modality in order of time, any number of them.

        Parameters
        ----------
        modality : str
        events : EventStream or structured array of `EVENT_DTYPE`
            On the stream's clock, in microseconds.
        now_us : int, optional
            As `advance` after it.

        Returns
        -------
        list of Decision
            Those on the steps that are now complete.

        Raises
        ------
        ValueError
            If the modality is unknown, the dtype another, or the stream is finished.
        EventError
            If an event is before its modality's clock, too far after it or outside the sensor, or
            too many wait. Nothing is taken then.
        """
        self._check_running()
        self._front.push(modality, events)
        if now_us is not None:
            self._front.advance(modality, now_us)
        return self._run(self._front.n_complete())

    def advance(self, modality: str, now_us: int) -> list[Decision]:
        """No event of a modality will come from before ``now_us``.

        Returns
        -------
        list of Decision

        Raises
        ------
        EventError
            If the clock would jump.
        """
        self._check_running()
        self._front.advance(modality, now_us)
        return self._run(self._front.n_complete())

    def finish(self, now_us: int | None = None) -> list[Decision]:
        """The stream has ended, at ``now_us`` or in the step that was reached: run what is left.

        Returns
        -------
        list of Decision
        """
        self._check_running()
        if now_us is not None:
            for modality in self.model.modalities:
                self._front.advance(modality, now_us)
        found = self._run(self._front.n_begun())
        self.finished = True
        return found

    def restart(self) -> None:
        """Model and evidence from rest; the clock goes on, and so do the counts.

        Events of the open step that the event engine has taken in are forgotten with its state.
        """
        self.engine.reset(self._step)
        self._evidence.reset()

    @property
    def n_steps(self) -> int:
        """Steps that have been run."""
        return self._step

    @property
    def n_waiting(self) -> int:
        """Events that wait for a clock."""
        return self._front.n_waiting

    @property
    def n_events(self) -> dict[str, int]:
        """Events taken of each modality, those that wait among them."""
        return dict(self._front.n_events)

    @property
    def clocks_us(self) -> dict[str, int]:
        """How far each modality's clock has come."""
        return dict(self._front.watermark_us)

    def counts(self) -> OpCounts:
        """Operations of the stream so far, as one sample.

        Raises
        ------
        ValueError
            If nobody counts or no step has been run.
        """
        found = self.engine.counts()
        if found is None:
            raise ValueError("counts need a step that has run, and count=True of a stepped engine")
        return found

    def energy(self, profile: HardwareProfile | str, **options: Any) -> EnergyEstimate:
        """Modelled energy of the stream so far, see `spikefuse.cost.energy`."""
        return energy(self.counts(), profile, **options)

    def snapshot(self, path: Path | str) -> None:
        """Write everything that is needed to go on, atomically; the model itself is not in it."""
        save_parts(path, self.parts())

    @classmethod
    def restore(
        cls,
        path: Path | str,
        model: FusionSNN,
        *,
        on_decision: OnDecision | None = None,
        policy: Policy | None = None,
    ) -> Self:
        """A runner that goes on where a snapshot was taken, with the same model.

        Parameters
        ----------
        path : Path or str
        model : FusionSNN
        on_decision : function, optional
        policy : Policy, optional
            Made as the one of then, whose state it takes over.

        Raises
        ------
        DataError
            If the file is no snapshot, or one of another model or policy.
        """
        settings = read_snapshot(Path(path))[1].get("runner", {}).get("settings", {})
        if settings.get("model") != fingerprint(model):
            raise DataError(f"snapshot must be of this model, got one of another: {path}")
        options = {name: value for name, value in settings.items() if name != "model"}
        try:
            runner = cls(model, **options, on_decision=on_decision, policy=policy)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"snapshot must hold all of a runner, got {path}: {error}") from error
        load_parts(path, runner.parts())
        return runner

    def parts(self) -> dict[str, Part]:
        """What its snapshot holds, by name: the runner, and its policy where that has a state."""
        found: dict[str, Part] = {"runner": self}
        policy: object = self.policy
        if isinstance(policy, Part):
            found["policy"] = policy
        return found

    def settings(self) -> dict[str, Any]:
        """As of `Part`: the options, and a fingerprint of the model."""
        return {"model": self._fingerprint} | self._options

    def state(self) -> State:
        """As of `Part`; the policy has its own."""
        tensors, engine = self.engine.state()
        held = {f"engine.{name}": x for name, x in tensors.items()}
        for name in self.model.modalities:
            held[f"waiting.{name}"] = packed(self._front.waiting(name))
        return held, {
            "engine": engine,
            "clocks": {name: self._front.clock(name) for name in self.model.modalities},
            "evidence": self._evidence.state(),
            "step": self._step,
            "n_decisions": self.n_decisions,
            "finished": self.finished,
        }

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """As of `Part`."""
        prefix = "engine."
        self.engine.load_state(
            {k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)},
            plain["engine"],
        )
        for name, size in self._front.sizes.items():
            waiting = unpacked(tensors[f"waiting.{name}"], size, self._front.capacity)
            self._front.restore(name, waiting, plain["clocks"][name])
        self._evidence.restore(plain["evidence"])
        self._step, self.finished = int(plain["step"]), bool(plain["finished"])
        self.n_decisions = int(plain["n_decisions"])

    @cached_property
    def _fingerprint(self) -> str:
        """Of the model, which does not change while it streams."""
        return fingerprint(self.model)

    def _run(self, until: int) -> list[Decision]:
        """Run the steps before ``until``, in blocks; hand over what belongs to the open one."""
        found: list[Decision] = []
        while self._step < until:
            last = min(until, self._step + self._block)
            if self.policy is not None:
                last = min(last, self._step + self._evidence.steps_to_next)
            # Events of the open step only where no restart can come between.
            early = self.engine.takes_open and last == until and self.policy is None
            scores = self.engine.run(self._step, last, self._front.take(last + early))
            decisions = self._evidence.add(self._step, scores)
            self._step = last
            for decision in decisions:
                self._tell(decision)
            found += decisions
        if self.engine.takes_open and self._front.n_waiting:
            events = self._front.take(self._step + 1)
            if any(len(part) for part in events.values()):
                self.engine.run(self._step, self._step, events)
        return found

    def _tell(self, decision: Decision) -> None:
        self.n_decisions += 1
        if self.on_decision is not None:
            self.on_decision(decision)
        if self.policy is not None and self.policy.restart(decision):
            self.restart()

    def _check_running(self) -> None:
        if self.finished:
            raise ValueError("the stream must not be finished to take more, got one that is")


def _check_ready(model: FusionSNN) -> None:
    """Refuse a model that would not do at a stream what it does at a test."""
    if model.training:
        raise ValueError("model must be in evaluation mode, got one that trains: model.eval()")
    device = next(model.parameters()).device
    if device.type != "cpu":
        raise ValueError(f"model must be on the host to stream, got one on {device}: model.cpu()")


def _engine(model: FusionSNN, name: str, counts: Counts, count: bool) -> Engine:
    """The engine of that name."""
    if name == "stepped":
        return SteppedEngine(model, counts, count)
    if name == "event":
        return EventEngine(model, counts)
    raise ValueError(f"engine must be 'stepped' or 'event', got {name!r}")


def _whole_steps(every_ms: float, dt_ms: float) -> int:
    """Steps between two decisions."""
    steps = round(every_ms / dt_ms)
    if steps < 1 or abs(every_ms - steps * dt_ms) > 1e-6 * dt_ms:
        raise ValueError(f"every_ms must be whole steps of {dt_ms:g} ms, got {every_ms}")
    return steps
