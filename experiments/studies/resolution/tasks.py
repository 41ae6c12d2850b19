"""The resolution study's tasks: S1 and S2 where the answer needs one known temporal resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensors.scenes.grid import Drawn, GridScene, Slices, Trains
from sensors.scenes.observers import accuracy, d_prime, displaced, evoked_ratio, jitter_law
from sensors.scenes.onset import OnsetParams, OnsetScene
from spikefuse._types import FloatArray, Int64Array
from spikefuse.kernels.compaction import compact
from spikefuse.spikes import SpikeBatch

SCENES = ("s1", "s2")
RESOLUTIONS_MS = (4, 8, 16, 32, 64, 128)
# Splits are seeds of a scene.
TRAINING_SEED, VALIDATION_SEED, TEST_SEED = 1200, 81, 82


@dataclass(frozen=True)
class ApartParams:
    """Parameters of S2 with neighbours at a set distance.

    Parameters
    ----------
    apart_ms : int
        Distance of an object's event from that of the nearest other object.
    period_ms : int
        Length of a sample; what would leave it at its end enters it at its beginning.
    n_objects, n_fibres : int
    p_evoke : float
        Probability that a fibre hears the event.
    jitter_ms : float
        Standard deviation of a fibre's spike time, cut at four of them.
    noise_hz : float
        Rate of each fibre's noise spikes.

    Raises
    ------
    ValueError
        If the objects do not fit into the period.
    """

    apart_ms: int = 16
    period_ms: int = 384
    n_objects: int = 3
    n_fibres: int = 4
    p_evoke: float = 0.6
    jitter_ms: float = 2.0
    noise_hz: float = 6.0

    def __post_init__(self) -> None:
        if not 0 < self.apart_ms * self.n_objects <= self.period_ms:
            raise ValueError(
                f"apart_ms must be positive and {self.n_objects} of them at most "
                f"period_ms={self.period_ms}, got {self.apart_ms}"
            )


class ApartScene(GridScene[ApartParams]):
    r"""S2 with one event of each object, so that neighbours are exactly ``apart_ms`` apart.

    Which of K objects sounds: objects, in an order drawn anew, have their events at
    :math:`t + k R` on a circle, t uniform; the fibres hear one of them, jittered, among noise.
    In S2 itself (`sensors.scenes.which`) objects' events are independent, so that no one distance
    says what resolution the answer needs. Vision does not depend on the class and the sound's time
    is uniform whatever it is. The ideal observer is exact:
    :math:`\log L_k = \sum_f \log r_{t_k f}`.
    """

    name = "s2_apart"
    jump = True

    def __init__(self, params: ApartParams | None = None) -> None:
        super().__init__(params if params is not None else ApartParams())
        p = self.params
        self._law = jitter_law(p.jitter_ms, int(np.ceil(4 * p.jitter_ms)))

    @property
    def n_classes(self) -> int:
        return self.params.n_objects

    @property
    def modalities(self) -> dict[str, int]:
        return {"vision": self.params.n_objects, "audio": self.params.n_fibres}

    @property
    def conditions(self) -> tuple[float, ...]:
        return (float(self.params.apart_ms),)

    @property
    def duration_ms(self) -> int:
        return self.params.period_ms

    @property
    def n_uniforms(self) -> int:
        p = self.params
        return 2 + p.n_objects + p.n_fibres * (2 + p.period_ms)

    def generate(self, uniforms: FloatArray) -> Drawn:
        p, cut = self.params, Slices(uniforms)
        labels, start = cut.choose(p.n_objects), cut.choose(p.period_ms)
        order = cut.take(p.n_objects).argsort(axis=1)
        steps = (start[:, None] + p.apart_ms * order) % p.period_ms  # [B, object]
        rows, objects = np.indices(steps.shape)
        vision = np.zeros((len(labels), p.period_ms, p.n_objects), np.int16)
        vision[rows, steps, objects] = 1 + objects
        sound = steps[np.arange(len(labels)), labels]
        heard = cut.take(p.n_fibres) < p.p_evoke
        late = displaced(cut.take(p.n_fibres), self._law)
        sample, fibre = np.nonzero(heard)
        audio = np.zeros((len(labels), p.period_ms, p.n_fibres), np.int16)
        audio[sample, (sound[sample] + late[heard]) % p.period_ms, fibre] = 1
        noise = cut.take(p.period_ms, p.n_fibres) < p.noise_hz / 1000
        silent = np.zeros(vision.shape, np.bool_)
        return Drawn(
            labels,
            np.full(len(labels), float(p.apart_ms)),
            {"vision": vision, "audio": audio},
            {"vision": silent, "audio": noise},
            {"vision": steps.max(1), "audio": sound},
        )

    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        p, reach = self.params, len(self._law) // 2
        around = np.pad(trains["audio"], ((0, 0), (reach, reach), (0, 0)), mode="wrap")
        ratio = evoked_ratio(around, self._law, p.p_evoke, p.noise_hz / 1000)
        evoked = np.log(ratio[:, reach:-reach]).sum(axis=2)
        match: FloatArray = np.einsum("btk,bt->bk", trains["vision"], evoked)
        return match

    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        steps, objects = np.nonzero(drawn.evoked["vision"][row])
        return {
            "vision": (steps, objects),
            "audio": (drawn.latent["audio"][row : row + 1], drawn.labels[row : row + 1]),
        }


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a task.

    Parameters
    ----------
    trains : mapping of modality to uint8 Tensor[T, B, N]
        Bare spikes in steps of 1 ms.
    labels : int64 Tensor[B]
    event_ms : float Tensor[B]
        What answers are timed by: the visual onset in S1, the sounding object's event in S2. Both
        are uniform over the period in every class. The later onset of S1 is not, so that the time
        of an answer would tell the class.
    ideal : float
        The ideal observer's accuracy on these samples; nan where it was not asked.
    """

    trains: Mapping[str, Tensor]
    labels: Tensor
    event_ms: Tensor
    ideal: float

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def binned(self, at: slice, step_ms: int) -> dict[str, Tensor]:
        """Events of each step of some samples, float ``[F, B, N]``; the last may be shorter."""
        found = {}
        for name, train in self.trains.items():
            some = train[:, at]
            n_steps = -(-len(some) // step_ms)
            missing = n_steps * step_ms - len(some)
            padded = torch.cat([some, some.new_zeros(missing, *some.shape[1:])])
            found[name] = padded.view(n_steps, step_ms, *some.shape[1:]).sum(1).float()
        return found

    def events(self, at: slice, step_ms: int) -> dict[str, SpikeBatch]:
        """The same as events; several of an address in a step are kept."""
        return {name: compact(x) for name, x in self.binned(at, step_ms).items()}


class ResolutionTask:
    """A scene at the bare level whose answer needs one temporal resolution.

    Parameters
    ----------
    scene : str
        One of `SCENES`.
    resolution_ms : int
        S1: how far onsets are apart where they are; S2: how far the other objects' events are.

    Raises
    ------
    ValueError
        If there is no such scene.
    """

    def __init__(self, scene: str, resolution_ms: int) -> None:
        if scene not in SCENES:
            raise ValueError(f"scene must be one of {list(SCENES)}, got {scene!r}")
        self.name, self.resolution_ms = scene, resolution_ms
        self.scene: GridScene[Any] = (
            OnsetScene(OnsetParams(offsets_ms=(resolution_ms,)))
            if scene == "s1"
            else ApartScene(ApartParams(apart_ms=resolution_ms))
        )

    def samples(self, seed: int, n: int, observed: bool = False) -> Samples:
        """The first ``n`` samples of a seed; ``observed`` by the ideal observer too."""
        parts = []
        for begin in range(0, n, 500):
            rows = range(begin, min(begin + 500, n))
            drawn = self.scene.generate(self.scene.uniforms(seed, rows, self.scene.n_uniforms))
            scores = (
                self.scene.log_likelihood(drawn.trains(), drawn.conditions) if observed else None
            )
            packed = {k: v.transpose(1, 0, 2).astype(np.uint8) for k, v in drawn.trains().items()}
            parts.append((packed, drawn.labels, self._event_ms(drawn), scores))
        labels = np.concatenate([part[1] for part in parts])
        ideal = float("nan")
        if observed:
            ideal = accuracy(np.concatenate([part[3] for part in parts]), labels)
        trains = {
            name: torch.from_numpy(np.concatenate([part[0][name] for part in parts], axis=1))
            for name in parts[0][0]
        }
        last = torch.from_numpy(np.concatenate([part[2] for part in parts]).astype(np.float32))
        return Samples(trains, torch.from_numpy(labels), last, ideal)

    def _event_ms(self, drawn: Drawn) -> Int64Array:
        return np.asarray(drawn.latent["audio" if self.name == "s2" else "vision"], np.int64)

    @cached_property
    def period_ms(self) -> int:
        """Length of a sample."""
        return self.scene.duration_ms

    def sensitivity(self, share_right: float, n: int) -> float:
        """d' of an accuracy over ``n`` samples; a perfect score counts as half an error."""
        return d_prime(min(share_right, 1 - 0.5 / n), self.scene.n_classes)
