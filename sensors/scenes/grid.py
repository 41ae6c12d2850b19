"""Scenes on a grid of 1 ms: one generator serves single samples and batches alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sensors.scenes.base import (
    INSERTED,
    STEP_US,
    Params,
    Scene,
    SceneBatch,
    SceneSample,
    SceneTruth,
    SourceEvents,
    bare_order,
    bare_stream,
    time_major,
)
from spikefuse._types import BoolArray, FloatArray, Int64Array
from spikefuse.events import MultiStream

if TYPE_CHECKING:
    from sensors.scenes.rendering import Rendered

Trains = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a scene draws for ``B`` samples.

    Parameters
    ----------
    labels : int64 array [B]
    conditions : float array [B]
    evoked : mapping of modality to int16 array [B, T, N]
        1 + the index of the source event whose spike this is, 0 where none is.
    noise : mapping of modality to bool array [B, T, N]
        Inserted spikes. Where one falls on an evoked spike, the two are one evoked spike.
    latent : mapping of name to array [B, ...]
        Whatever else truth needs.
    """

    labels: Int64Array
    conditions: FloatArray
    evoked: Trains
    noise: Mapping[str, BoolArray]
    latent: Mapping[str, np.ndarray[Any, Any]]

    def trains(self) -> dict[str, BoolArray]:
        """Where a channel fires, bool [B, T, N] of each modality."""
        return {name: (self.evoked[name] > 0) | self.noise[name] for name in self.evoked}


class GridScene(Scene[Params]):
    """A scene whose bare trains are Bernoulli in steps of 1 ms.

    A subclass says how many uniform numbers a sample takes, what it makes of them, the class
    likelihoods, and how it is shown (see `sensors.scenes.rendering.render_patches`). By default
    the additive observer knows nothing, which is exact where each modality has the same law in
    every class.
    """

    jump: bool = False
    ball: bool = False

    @property
    @abstractmethod
    def n_uniforms(self) -> int:
        """Uniform numbers that one sample takes."""

    @abstractmethod
    def generate(self, uniforms: FloatArray) -> Drawn:
        """Samples from uniform numbers ``[B, n_uniforms]``; row ``i`` makes sample ``i``."""

    @abstractmethod
    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        """Log-likelihood of each class up to a constant per sample, ``[B, C]``."""

    def additive_log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        """Sum of what each modality tells alone, ``[B, C]``: nothing, unless overridden."""
        return np.zeros((len(conditions), self.n_classes))

    @abstractmethod
    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        """Step and object of each source event of one sample, by modality, in order of time."""

    def offset_us(self, drawn: Drawn, row: int) -> dict[str, int]:
        """See `SceneTruth`; none unless overridden."""
        return {}

    def values(self, drawn: Drawn, row: int) -> dict[str, Any]:
        """See `SceneTruth`; nothing unless overridden."""
        return {}

    def draw(self, seed: int, index: int) -> SceneSample:
        drawn = self.generate(self.uniforms(seed, [index], self.n_uniforms))
        streams, causes = {}, {}
        for name, trains in drawn.trains().items():
            train, evoked = trains[0], drawn.evoked[name][0]
            within = self.generator(seed, index, f"within {name}")
            within_us = within.integers(0, STEP_US, int(train.sum()), dtype=np.int64)
            streams[name] = bare_stream(train, within_us, name)
            # INSERTED is -1: one less than "no source".
            cause = evoked[train].astype(np.int64) + INSERTED
            causes[name] = cause[bare_order(train, within_us)]
        sources = {
            name: SourceEvents(steps * STEP_US + STEP_US // 2, objects)
            for name, (steps, objects) in self.sources(drawn, 0).items()
        }
        truth = SceneTruth(sources, causes, self.offset_us(drawn, 0), self.values(drawn, 0))
        label = int(drawn.labels[0])
        origin = {"scene": self.name, "seed": seed, "index": index}
        stream = MultiStream(streams, label, origin)
        return SceneSample(stream, label, float(drawn.conditions[0]), truth, seed, index)

    def batch(self, seed: int, indices: Sequence[int] | Int64Array) -> SceneBatch:
        drawn = self.generate(self.uniforms(seed, indices, self.n_uniforms))
        trains = drawn.trains()
        nothing = torch.zeros(len(indices), self.n_classes)
        batch = SceneBatch(
            {name: time_major(train) for name, train in trains.items()},
            torch.from_numpy(drawn.labels),
            torch.from_numpy(drawn.conditions.astype(np.float32)),
            nothing,
            nothing,
        )
        return replace(batch, ideal=self.ideal(batch), additive=self.additive(batch))

    def render(self, sample: SceneSample) -> MultiStream:
        return self.render_with_truth(sample).stream

    def render_with_truth(self, sample: SceneSample) -> Rendered:
        """The same sample through the sensors, with what each stimulus evoked."""
        from sensors.scenes.rendering import render_patches

        return render_patches(self, sample, self.jump, self.ball)

    def shown(self, sample: SceneSample) -> tuple[FloatArray, Int64Array, MultiStream]:
        """Frames ``[F, H, W]``, their times in microseconds, and what the sensors make of all."""
        rendered = self.render_with_truth(sample)
        return rendered.film, rendered.film_us, rendered.stream

    def ideal(self, batch: SceneBatch) -> Tensor:
        return _scored(self.log_likelihood(*_arrays(batch)))

    def additive(self, batch: SceneBatch) -> Tensor:
        return _scored(self.additive_log_likelihood(*_arrays(batch)))


class Slices:
    """Cuts a row of uniform numbers into named pieces, in the order of asking."""

    def __init__(self, uniforms: FloatArray) -> None:
        self._uniforms, self._at = uniforms, 0

    def take(self, *shape: int) -> FloatArray:
        """The next numbers as ``[B, *shape]``."""
        start, self._at = self._at, self._at + int(np.prod(shape, dtype=np.int64))
        return self._uniforms[:, start : self._at].reshape(len(self._uniforms), *shape)

    def choose(self, n: int) -> Int64Array:
        """The next number of each sample as a whole number below ``n``, ``[B]``."""
        chosen: Int64Array = (self.take(1)[:, 0] * n).astype(np.int64)
        return chosen


def _arrays(batch: SceneBatch) -> tuple[dict[str, np.ndarray[Any, Any]], FloatArray]:
    """Trains as ``[B, T, N]`` and conditions, as numpy arrays."""
    trains = {name: spikes.numpy().transpose(1, 0, 2) for name, spikes in batch.spikes.items()}
    return trains, batch.conditions.numpy().astype(np.float64)


def _scored(log_likelihood: FloatArray) -> Tensor:
    return torch.from_numpy(log_likelihood.astype(np.float32))
