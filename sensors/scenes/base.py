"""Timed scenes: what every scene offers, and the values that it gives."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from spikefuse._types import BoolArray, FloatArray, Int64Array
from spikefuse.events import EVENT_DTYPE, EventStream, MultiStream

INSERTED = -1
STEP_US = 1000

Params = TypeVar("Params")


@dataclass(frozen=True, eq=False)
class SourceEvents:
    """What happened in the world, as one modality would tell it without noise.

    Parameters
    ----------
    time_us : int64 array [n]
        On the sample's clock, never decreasing.
    object_id : int64 array [n]
        Which object it happened to; an object has the same number in every modality.
    """

    time_us: Int64Array
    object_id: Int64Array


@dataclass(frozen=True, eq=False)
class SceneTruth:
    """Ground truth of one sample.

    Parameters
    ----------
    sources : mapping of modality to SourceEvents
    cause : mapping of modality to int64 array [n_events]
        For each bare spike of the modality, in the stream's order: the index of the source event
        that evoked it, or `INSERTED` for noise.
    offset_us : mapping of modality to int
        How much later the modality's sources are than the first modality's; 0 where it is in time.
    values : mapping
        What else a scene knows (an angle, its variances, the sounding object); numbers and strings.
    """

    sources: Mapping[str, SourceEvents]
    cause: Mapping[str, Int64Array]
    offset_us: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def dropped(self, modality: str) -> BoolArray:
        """Source events of the modality that evoked no bare spike, bool [n_sources]."""
        seen = np.zeros(len(self.sources[modality].time_us), dtype=np.bool_)
        cause = self.cause[modality]
        seen[cause[cause >= 0]] = True
        return ~seen

    def displacement_us(self, modality: str, stream: EventStream) -> Int64Array:
        """Each evoked bare spike's time minus its source's, in the order of the evoked spikes."""
        cause = self.cause[modality]
        evoked = cause >= 0
        late: Int64Array = (
            stream.events["t"][evoked] - self.sources[modality].time_us[cause[evoked]]
        )
        return late


@dataclass(frozen=True, eq=False)
class SceneSample:
    """One sample at the bare level: one address per channel, no sensor between.

    Parameters
    ----------
    stream : MultiStream
        Bare spike trains of every modality on one clock; its label is the class.
    label : int
    condition : float
        One of the scene's `Scene.conditions`.
    truth : SceneTruth
    seed, index : int
        What it was drawn from, beside the scene's parameters.
    """

    stream: MultiStream
    label: int
    condition: float
    truth: SceneTruth
    seed: int
    index: int


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """Many samples as dense bare trains, with what the observers make of them.

    Parameters
    ----------
    spikes : mapping of modality to float32 Tensor [T, B, N]
        0 or 1 in steps of ``dt_ms``.
    labels : int64 Tensor [B]
    conditions : float32 Tensor [B]
    ideal, additive : float32 Tensor [B, C]
        Log-likelihood of each class for the ideal observer and for the additive one (the sum over
        modalities of what each tells alone), up to a constant per sample.
    dt_ms : float
    """

    spikes: Mapping[str, Tensor]
    labels: Tensor
    conditions: Tensor
    ideal: Tensor
    additive: Tensor
    dt_ms: float = 1.0


class Scene(ABC, Generic[Params]):
    """A generative model of samples in which timing across modalities matters.

    Everything follows from (parameters, seed, index): `draw` and `batch` agree sample by sample,
    in any order and any grouping. A split is a seed.

    Parameters
    ----------
    params : frozen dataclass
    """

    name: str
    unimodal_at_chance: bool = True  # each modality has the same law in every class
    collapsed_at_chance: bool = True  # and so have the counts of all addresses together

    def __init__(self, params: Params) -> None:
        self.params = params

    @property
    @abstractmethod
    def n_classes(self) -> int:
        """Number of classes."""

    @property
    @abstractmethod
    def modalities(self) -> dict[str, int]:
        """Bare addresses of each modality."""

    @property
    @abstractmethod
    def conditions(self) -> tuple[float, ...]:
        """Values of what varies between samples beside the class (offsets in ms, say)."""

    @property
    @abstractmethod
    def duration_ms(self) -> int:
        """Length of a sample."""

    @abstractmethod
    def draw(self, seed: int, index: int) -> SceneSample:
        """One sample with its truth."""

    @abstractmethod
    def batch(self, seed: int, indices: Sequence[int] | Int64Array) -> SceneBatch:
        """Many samples at once; ``batch(seed, [i])`` holds the spikes of ``draw(seed, i)``."""

    @abstractmethod
    def ideal(self, batch: SceneBatch) -> Tensor:
        """Log-likelihood of each class given every modality together, ``[B, C]``."""

    @abstractmethod
    def additive(self, batch: SceneBatch) -> Tensor:
        """Sum over modalities of the log-likelihood of each class given one alone, ``[B, C]``."""

    @abstractmethod
    def render(self, sample: SceneSample) -> MultiStream:
        """The same sample through the retina and the cochlea, on the same clock."""

    def key(self, seed: int, purpose: str = "") -> Int64Array:
        """A 128-bit key of (class, parameters, seed, purpose) as two uint64, for `uniforms`."""
        text = f"{type(self).__name__}|{self.params!r}|{seed}|{purpose}"
        digest = hashlib.sha256(text.encode()).digest()
        return np.frombuffer(digest[:16], np.uint64)

    def generator(self, seed: int, index: int, purpose: str) -> np.random.Generator:
        """A generator of its own for one sample and purpose (sensor noise, say)."""
        counter = np.array([0, 0, 0, index], np.uint64)
        return np.random.Generator(np.random.Philox(counter=counter, key=self.key(seed, purpose)))

    def uniforms(
        self, seed: int, indices: Sequence[int] | Int64Array, n: int, purpose: str = ""
    ) -> FloatArray:
        """Uniform numbers in [0, 1), ``[B, n]``: row ``i`` depends on ``indices[i]`` alone.

        Counter-based (Philox): no sample has to be drawn before another.
        """
        philox = np.random.Philox(key=self.key(seed, purpose))
        generator, state = np.random.Generator(philox), philox.state
        out = np.empty((len(indices), n))
        for row, index in zip(out, indices, strict=True):
            if index < 0:
                raise ValueError(f"indices must be >= 0, got {index}")
            # Setting the counter costs a quarter of making a generator.
            state["state"]["counter"][:] = (0, 0, 0, index)
            state["buffer_pos"], state["has_uint32"] = 4, 0
            philox.state = state
            generator.random(out=row)
        return out


def bare_stream(
    train: np.ndarray[Any, Any],
    within_us: Int64Array,
    modality: str,
) -> EventStream:
    """Event stream of a bare train.

    Parameters
    ----------
    train : array [T, N]
        Non-zero where a channel fires in a step of 1 ms.
    within_us : int64 array [n_events]
        Time of each event within its step, in [0, 1000), in the order of ``train.nonzero()``.
    modality : str

    Returns
    -------
    EventStream
        Sensor size ``(N, 1, 1)``, by time, then by channel. Use `bare_order` for what belongs to
        its events.
    """
    step, channel = np.nonzero(train)
    order = bare_order(train, within_us)
    events = np.zeros(len(step), EVENT_DTYPE)
    events["t"] = (step * STEP_US + within_us)[order]
    events["x"] = channel[order]
    events["p"] = True
    return EventStream(events, (train.shape[1], 1, 1), len(train) * STEP_US, modality)


def bare_order(train: np.ndarray[Any, Any], within_us: Int64Array) -> Int64Array:
    """Order that sorts ``train.nonzero()`` by time, then by channel."""
    step, channel = np.nonzero(train)
    order: Int64Array = np.lexsort((channel, step * STEP_US + within_us))
    return order


def time_major(trains: np.ndarray[Any, Any]) -> Tensor:
    """float32 Tensor ``[T, B, N]`` of an array ``[B, T, N]``."""
    return torch.from_numpy(np.ascontiguousarray(trains.transpose(1, 0, 2), dtype=np.float32))
