"""S2: which of several objects makes the sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sensors.scenes.grid import Drawn, GridScene, Slices, Trains
from sensors.scenes.observers import displaced, evoked_ratio, jitter_law
from spikefuse._types import FloatArray, Int64Array
from spikefuse.events import MultiStream


@dataclass(frozen=True)
class WhichParams:
    """Parameters of S2.

    Parameters
    ----------
    n_objects : int
        Each is one vision channel, and a class.
    duration_ms : int
    rate_hz : float
        Events per second of each object.
    n_fibres : int
        Audio channels; each hears the sounding object by itself.
    p_drop : float
        Probability that a fibre misses an event.
    jitter_ms : float
        Standard deviation of a fibre's spike time, cut at ``reach_ms``.
    reach_ms : int
        An object pauses for at least ``2 reach_ms`` after an event, so that no two of its events
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
    rate_hz: float = 20.0
    n_fibres: int = 1
    p_drop: float = 0.3
    jitter_ms: float = 4.0
    reach_ms: int = 9
    inserted_hz: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (("n_objects", 2), ("n_fibres", 1), ("reach_ms", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}, got {getattr(self, name)}")
        if self.duration_ms <= 2 * self.reach_ms:
            raise ValueError(
                f"duration_ms must be above {2 * self.reach_ms}, got {self.duration_ms}"
            )
        if not 0 < self.rate_hz * (2 * self.reach_ms + 2) < 1000:
            raise ValueError(
                f"rate_hz must lie between 0 and {1000 / (2 * self.reach_ms + 2):g}, got "
                f"{self.rate_hz}"
            )
        if not 0 <= self.p_drop < 1:
            raise ValueError(f"p_drop must lie in [0, 1), got {self.p_drop}")
        if not self.jitter_ms > 0:
            raise ValueError(f"jitter_ms must be positive, got {self.jitter_ms}")
        if not 0 < self.inserted_hz < 1000:
            raise ValueError(f"inserted_hz must lie in (0, 1000), got {self.inserted_hz}")


class WhichScene(GridScene[WhichParams]):
    r"""S2, which of K objects sounds.

    Objects have independent event trains of one law: a pause of ``2 reach_ms`` after an event,
    then a constant hazard, stationary from the start. The audio fibres hear one of them with drops,
    jitter and insertions. Vision does not depend on the class, and the audio's law is that of any
    object.

    The ideal observer compares each object's events with the sound (`evoked_ratio`):
    :math:`\log L_k = \sum_{t \in k} \sum_f \log r_{t f}`, exactly, for the pauses keep the
    reaches of an object's events apart.
    """

    name = "s2"

    def __init__(self, params: WhichParams | None = None) -> None:
        super().__init__(params if params is not None else WhichParams())
        p = self.params
        self._law = jitter_law(p.jitter_ms, p.reach_ms)
        self._pause = 2 * p.reach_ms + 1
        self._mean_wait = 1000 / p.rate_hz - self._pause
        self._n_most = (p.duration_ms - 2 * p.reach_ms) // self._pause + 1

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
        events = p.n_objects * (self._n_most + 2)
        return 1 + events + p.n_fibres * (2 * self._n_most + p.duration_ms)

    def _event_steps(self, cut: Slices) -> Int64Array:
        """Steps of the objects' events, ``[B, K, M]``; those past the end do not happen."""
        p = self.params
        u_first, u_phase = np.moveaxis(cut.take(2, p.n_objects), 1, 0)
        # A geometric wait of this mean, from 0 on, by inversion.
        wait = np.floor(
            np.log1p(-cut.take(p.n_objects, self._n_most))
            / np.log(self._mean_wait / (1 + self._mean_wait))
        ).astype(np.int64)
        gaps = self._pause + wait
        # Time to the first event of a stationary renewal process: within the pause uniform.
        in_pause = u_first < self._pause / (self._pause + self._mean_wait)
        gaps[..., 0] = np.where(in_pause, (u_phase * self._pause).astype(np.int64), gaps[..., 0])
        return p.reach_ms + gaps.cumsum(axis=-1)

    def generate(self, uniforms: FloatArray) -> Drawn:
        p, cut = self.params, Slices(uniforms)
        labels = cut.choose(p.n_objects)
        steps = self._event_steps(cut)
        real = steps < p.duration_ms - p.reach_ms
        batch, objects, _ = np.nonzero(real)
        index = _ranks(batch, steps[real])
        vision = np.zeros((len(labels), p.duration_ms, p.n_objects), np.int16)
        vision[batch, steps[real], objects] = 1 + index
        rows = np.arange(len(labels))
        sound, sounds = steps[rows, labels], real[rows, labels]
        heard = (cut.take(p.n_fibres, self._n_most) >= p.p_drop) & sounds[:, None]
        late = displaced(cut.take(p.n_fibres, self._n_most), self._law)
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
            {"sound": np.where(sounds, sound, -1)},
        )

    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        p = self.params
        ratio = evoked_ratio(trains["audio"], self._law, 1 - p.p_drop, p.inserted_hz / 1000)
        match: FloatArray = np.einsum("btk,bt->bk", trains["vision"], np.log(ratio).sum(axis=2))
        return match

    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        sound = drawn.latent["sound"][row]
        sound = sound[sound >= 0]
        return {
            "vision": tuple(np.nonzero(drawn.evoked["vision"][row])),  # type: ignore[dict-item]
            "audio": (sound, np.full(len(sound), drawn.labels[row])),
        }

    def values(self, drawn: Drawn, row: int) -> dict[str, Any]:
        return {"sounding_object": int(drawn.labels[row])}

    def render(self, sample: Any) -> MultiStream:
        from sensors.scenes.rendering import render_patches

        return render_patches(self, sample, jump=True).stream


def _ranks(batch: Int64Array, steps: Int64Array) -> Int64Array:
    """Rank of each event within its sample by (step, object), for events listed by object."""
    order = np.lexsort((np.arange(len(steps)), steps, batch))
    ranks = np.empty(len(steps), np.int64)
    first = np.searchsorted(batch[order], batch[order], side="left")
    ranks[order] = np.arange(len(steps)) - first
    return ranks
