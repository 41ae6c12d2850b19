"""S2: which of several objects makes the sound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensors.scenes.grid import Drawn, GridScene, Slices, Trains
from sensors.scenes.observers import displaced, evoked_ratio, jitter_law, log_sum_exp
from spikefuse._types import FloatArray, Int64Array


@dataclass(frozen=True)
class WhichParams:
    """Parameters of S2.

    Parameters
    ----------
    n_objects : int
        Each is one vision channel, and a class.
    duration_ms : int
    n_events : int
        Events of each object in a sample: as many for all, or counting would tell the class.
    n_fibres : int
        Audio channels; each hears the sounding object by itself.
    p_drop : float
        Probability that a fibre misses an event.
    jitter_ms : float
        Standard deviation of a fibre's spike time, cut at ``reach_ms``.
    reach_ms : int
        An object pauses for more than ``2 reach_ms`` after an event, so that no two of its events
        reach the same step and the ideal observer stays exact.
    inserted_hz : float
        Rate of each fibre's noise spikes.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    n_objects: int = 3
    duration_ms: int = 300
    n_events: int = 6
    n_fibres: int = 1
    p_drop: float = 0.3
    jitter_ms: float = 4.0
    reach_ms: int = 9
    inserted_hz: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (
            ("n_objects", 2),
            ("n_events", 1),
            ("n_fibres", 1),
            ("reach_ms", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}, got {getattr(self, name)}")
        if self.n_free < 1:
            raise ValueError(
                f"duration_ms must be above {self.duration_ms - self.n_free} for {self.n_events} "
                f"events with reach_ms={self.reach_ms}, got {self.duration_ms}"
            )
        if not 0 <= self.p_drop < 1:
            raise ValueError(f"p_drop must lie in [0, 1), got {self.p_drop}")
        if not self.jitter_ms > 0:
            raise ValueError(f"jitter_ms must be positive, got {self.jitter_ms}")
        if not 0 < self.inserted_hz < 1000:
            raise ValueError(f"inserted_hz must lie in (0, 1000), got {self.inserted_hz}")

    @property
    def n_free(self) -> int:
        """Steps in which an object's events can lie, once their pauses are taken out."""
        return self.duration_ms - 2 * self.reach_ms - (self.n_events - 1) * (2 * self.reach_ms + 1)


class WhichScene(GridScene[WhichParams]):
    r"""S2, which of K objects sounds.

    Objects have independent event trains of one law: ``n_events`` times, uniform and sorted, then
    set apart by pauses. The audio fibres hear one of them with drops, jitter and insertions. Vision
    does not depend on the class, the audio's law is that of any object, and all counts together
    are independent of the class.

    The ideal observer compares each object's events with the sound (`evoked_ratio`):
    :math:`\log L_k = \sum_{t \in k} \sum_f \log r_{t f}`, exactly, for the pauses keep the
    reaches of an object's events apart.
    """

    name = "s2"
    jump = True

    def __init__(self, params: WhichParams | None = None) -> None:
        super().__init__(params if params is not None else WhichParams())
        p = self.params
        self._law = jitter_law(p.jitter_ms, p.reach_ms)

    @property
    def n_classes(self) -> int:
        return self.params.n_objects

    @property
    def modalities(self) -> dict[str, int]:
        return {"vision": self.params.n_objects, "audio": self.params.n_fibres}

    @property
    def conditions(self) -> tuple[float, ...]:
        return (0.0,)

    @property
    def duration_ms(self) -> int:
        return self.params.duration_ms

    @property
    def n_uniforms(self) -> int:
        p = self.params
        return 1 + p.n_objects * p.n_events + p.n_fibres * (2 * p.n_events + p.duration_ms)

    def generate(self, uniforms: FloatArray) -> Drawn:
        p, cut = self.params, Slices(uniforms)
        labels = cut.choose(p.n_objects)
        free = np.sort(np.floor(cut.take(p.n_objects, p.n_events) * p.n_free), axis=-1)
        pauses = (2 * p.reach_ms + 1) * np.arange(p.n_events)
        steps = p.reach_ms + pauses + free.astype(np.int64)  # [B, object, event]
        # Sources are numbered by step, then by object.
        order = steps * p.n_objects + np.arange(p.n_objects)[:, None]
        order = order.reshape(len(labels), p.n_objects * p.n_events)
        rank = order.argsort(axis=1).argsort(axis=1).reshape(steps.shape)
        rows, objects, _ = np.indices(steps.shape)
        vision = np.zeros((len(labels), p.duration_ms, p.n_objects), np.int16)
        vision[rows, steps, objects] = 1 + rank
        sound = steps[np.arange(len(labels)), labels]
        heard = cut.take(p.n_fibres, p.n_events) >= p.p_drop
        late = displaced(cut.take(p.n_fibres, p.n_events), self._law)
        batch, fibre, event = np.nonzero(heard)
        audio = np.zeros((len(labels), p.duration_ms, p.n_fibres), np.int16)
        audio[batch, sound[batch, event] + late[heard], fibre] = 1 + event
        noise = cut.take(p.duration_ms, p.n_fibres) < p.inserted_hz / 1000
        silent = np.zeros(vision.shape, np.bool_)
        return Drawn(
            labels,
            np.zeros(len(labels)),
            {"vision": vision, "audio": audio},
            {"vision": silent, "audio": noise},
            {"sound": sound},
        )

    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        match: FloatArray = np.einsum("btk,bt->bk", trains["vision"], self._evoked(trains["audio"]))
        return match

    def match(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        """Ideal score of every pair of a sample's vision and a sample's sound, ``[B, B]``.

        Log-likelihood ratio for row ``i``'s vision and column ``j``'s sound: one of these objects,
        any alike, makes the sound, against an object that is not seen. What retrieval by instance
        can reach.
        """
        evoked = self._evoked(trains["audio"])
        seen = np.einsum("itk,jt->ijk", trains["vision"], evoked)
        among = log_sum_exp(seen, 2) - np.log(self.params.n_objects)
        score: FloatArray = among - self._log_evidence(evoked)
        return score

    def _evoked(self, audio: np.ndarray[Any, Any]) -> FloatArray:
        """Logarithm of `evoked_ratio` over all fibres, ``[B, T]``."""
        p = self.params
        ratio = evoked_ratio(audio, self._law, 1 - p.p_drop, p.inserted_hz / 1000)
        together: FloatArray = np.log(ratio).sum(axis=2)
        return together

    def _log_evidence(self, evoked: FloatArray) -> FloatArray:
        r"""Log of the mean of :math:`\prod_{t \in k} r_t` over all trains of an object, ``[B]``.

        Unsorted places are independent and uniform; m of them at one place are in m! orders of one
        sorted train. ``mass[:, k]`` sums the products of all trains of k events up to here.
        """
        p = self.params
        ratio, pause = np.exp(evoked), 2 * p.reach_ms + 1
        mass = np.zeros((len(ratio), p.n_events + 1))
        mass[:, 0] = 1.0
        for free in range(p.n_free):
            grown = mass.copy()
            for k in range(p.n_events):
                product = mass[:, k]
                for m in range(1, p.n_events - k + 1):
                    at = p.reach_ms + free + pause * (k + m - 1)
                    product = product * ratio[:, at] / m
                    grown[:, k + m] += product
            mass = grown
        n_trains = math.lgamma(p.n_events + 1) - p.n_events * math.log(p.n_free)
        return np.asarray(np.log(mass[:, -1]) + n_trains)

    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        sound = drawn.latent["sound"][row]
        steps, objects = np.nonzero(drawn.evoked["vision"][row])
        return {
            "vision": (steps, objects),
            "audio": (sound, np.full(len(sound), drawn.labels[row])),
        }

    def values(self, drawn: Drawn, row: int) -> dict[str, Any]:
        return {"sounding_object": int(drawn.labels[row])}
