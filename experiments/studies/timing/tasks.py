"""The timing study's tasks: which timed scene each one is, and its samples as events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sensors.scenes.base import time_major
from sensors.scenes.catalogue import scene_by_name
from sensors.scenes.grid import GridScene
from sensors.scenes.observers import accuracy, d_prime
from sensors.scenes.onset import OnsetParams, OnsetScene
from spikefuse.kernels.compaction import compact
from spikefuse.spikes import SpikeBatch

OFFSETS_MS = (8, 16, 32, 64)
TASKS = (*(f"s1_{offset}" for offset in OFFSETS_MS), "s2", "s3", "xor", "redundant")

Events = dict[str, SpikeBatch]

# Splits are seeds of a scene.
_VALIDATION_SEED, _TEST_SEED, _TRAINING_SEED = 71, 72, 1000
_N_VALIDATION, _N_TEST = 4000, 10_000
# Samples that a net sees at once when it is only asked.
_CHUNK = 250


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Samples of a task, in chunks, with what its observers reach on these very samples.

    Parameters
    ----------
    chunks : tuple of (events, labels)
        ``{modality: SpikeBatch of shape (T, B, N)}`` and int64 ``[B]``.
    ideal, additive : float
        Accuracy of the ideal and of the additive observer.
    """

    chunks: tuple[tuple[Events, Tensor], ...]
    ideal: float
    additive: float

    @property
    def n(self) -> int:
        """Number of samples."""
        return sum(len(labels) for _, labels in self.chunks)


class TimingTask:
    """A timed scene at the bare level, in steps of 1 ms.

    Parameters
    ----------
    name : str
        One of `TASKS`: S1 with one offset each (``"s1_8"``), else the name of a scene.

    Raises
    ------
    ValueError
        If there is no such task.
    """

    def __init__(self, name: str) -> None:
        if name not in TASKS:
            raise ValueError(f"name must be one of {list(TASKS)}, got {name!r}")
        self.name = name
        self.scene: GridScene[Any]
        if name.startswith("s1_"):
            offset = int(name.removeprefix("s1_"))
            self.scene = OnsetScene(OnsetParams(offsets_ms=(offset,)))
        else:
            self.scene = scene_by_name(name)

    @cached_property
    def validation(self) -> HeldOut:
        """What a trial is chosen by."""
        return self.held_out(_VALIDATION_SEED, _N_VALIDATION)

    @cached_property
    def test(self) -> HeldOut:
        """What is reported."""
        return self.held_out(_TEST_SEED, _N_TEST)

    def held_out(self, seed: int, n: int) -> HeldOut:
        """The first ``n`` samples of a seed."""
        batches = [
            self.scene.batch(seed, range(at, min(at + _CHUNK, n))) for at in range(0, n, _CHUNK)
        ]
        labels = torch.cat([b.labels for b in batches]).numpy()
        return HeldOut(
            tuple(({k: compact(x) for k, x in b.spikes.items()}, b.labels) for b in batches),
            accuracy(torch.cat([b.ideal for b in batches]).numpy(), labels),
            accuracy(torch.cat([b.additive for b in batches]).numpy(), labels),
        )

    def training(self, seed: int, step: int, n: int) -> tuple[Events, Tensor]:
        """Fresh samples for one step and their labels: the same ones for every operator."""
        at = range(step * n, (step + 1) * n)
        # Without the observers, which cost more than the samples.
        uniforms = self.scene.uniforms(_TRAINING_SEED + seed, at, self.scene.n_uniforms)
        drawn = self.scene.generate(uniforms)
        events = {name: compact(time_major(train)) for name, train in drawn.trains().items()}
        return events, torch.from_numpy(drawn.labels)

    def sensitivity(self, share_right: float, n: int) -> float:
        """d' of an accuracy over ``n`` samples; a perfect score counts as half an error."""
        return d_prime(min(share_right, 1 - 0.5 / n), self.scene.n_classes)
