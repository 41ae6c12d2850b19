"""S6: an object approaches, and vision tells when its impact will sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sensors.scenes.base import STEP_US, SceneSample
from sensors.scenes.grid import Drawn, GridScene, Slices, Trains
from sensors.scenes.looming import contact_sd_ms, crossing_before_ms, looming_film
from sensors.scenes.observers import log_sum_exp
from spikefuse._types import FloatArray, Int64Array
from spikefuse.events import MultiStream

MISTIMED, ON_TIME = 0, 1
ABSENT, PRESENT = 0, 1
_SIZE, _FRAME_MS, _PX_PER_TAN = 24, 5, 19.0
_SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class ImpactParams:
    """Parameters of S6.

    Parameters
    ----------
    task : "timing" or "presence"
        Classes are mistimed (0) and on time (1), or no impact sound (0) and one on time (1).
    offsets_ms : tuple of int
        How far a mistimed sound is from contact, to either side; each sample has one of them.
    ratios_ms : tuple of float
        Half-size over speed of the object; each sample has one of them.
    eccentricities_deg : tuple of float
        Rings of the retina, a channel each.
    hits, jitter_ms : float
        Mean number of spikes with which a ring answers the crossing edge (a Poisson process), and
        the standard deviation of their times.
    noise_hz : float
        Rate of a ring's noise spikes.
    n_audio : int
    sound_hits, sound_jitter_ms, sound_noise_hz : float
        The same of the channels that hear the impact.
    first_ms, span_ms : int
        Contact is uniform over ``span_ms`` steps from ``first_ms`` on.
    tail_ms : int
        What follows the last possible contact.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    task: Literal["timing", "presence"] = "timing"
    offsets_ms: tuple[int, ...] = (16, 24, 40)
    ratios_ms: tuple[float, ...] = (15.0, 25.0, 40.0)
    eccentricities_deg: tuple[float, ...] = (5.0, 7.0, 10.0, 14.0, 20.0, 28.0)
    hits: float = 1.5
    jitter_ms: float = 10.0
    noise_hz: float = 2.0
    n_audio: int = 4
    sound_hits: float = 0.8
    sound_jitter_ms: float = 2.0
    sound_noise_hz: float = 6.0
    first_ms: int = 500
    span_ms: int = 200
    tail_ms: int = 20

    def __post_init__(self) -> None:
        if self.task not in ("timing", "presence"):
            raise ValueError(f"task must be 'timing' or 'presence', got {self.task!r}")
        for name in ("hits", "jitter_ms", "sound_hits", "sound_jitter_ms"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("noise_hz", "sound_noise_hz"):
            if not 0 < getattr(self, name) < 1000:
                raise ValueError(f"{name} must lie in (0, 1000), got {getattr(self, name)}")
        for name in ("n_audio", "span_ms", "tail_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not self.offsets_ms or not all(0 < 2 * d < self.span_ms for d in self.offsets_ms):
            raise ValueError(
                f"offsets_ms must lie between 0 and half of span_ms = {self.span_ms}, got "
                f"{self.offsets_ms}"
            )
        before = crossing_before_ms(np.array(self.eccentricities_deg), np.array(self.ratios_ms))
        if self.first_ms < before.max():
            raise ValueError(
                f"first_ms must be at least the first crossing's lead {before.max():.0f}, got "
                f"{self.first_ms}"
            )


class ImpactScene(GridScene[ImpactParams]):
    r"""S6, impact prediction.

    A disc approaches so that its edge crosses ring :math:`i` at
    :math:`c_i = t_c - (l / v) \cot \rho_i` (`crossing_before_ms`); ring :math:`i` fires with the
    rate :math:`r + k\,\varphi_\sigma(t - c_i)`. The sound's channels fire likewise around
    :math:`t_s`. Contact :math:`t_c` is uniform over a span. In ``"timing"`` the sound is at
    :math:`t_c` or :math:`\pm D` off, on the circle of the span: so :math:`t_s` is uniform over the
    span in both classes, and each modality alone, and all counts together, have the same law. In
    ``"presence"`` vision tells nothing about the class, sound alone something, and both together
    more: knowing when to listen excludes noise from elsewhere.

    The ideal observer sums over :math:`t_c` and :math:`l / v`, exactly for steps of 1 ms.
    """

    def __init__(self, params: ImpactParams | None = None) -> None:
        super().__init__(params if params is not None else ImpactParams())
        p = self.params
        self.name = "s6" if p.task == "timing" else "s6_presence"
        self.unimodal_at_chance = self.collapsed_at_chance = p.task == "timing"
        self.contacts_ms = p.first_ms + np.arange(p.span_ms)
        before = crossing_before_ms(np.array(p.eccentricities_deg), np.array(p.ratios_ms))
        crossings = self.contacts_ms[:, None] - before[:, None]  # [ratio, contact, ring]
        # [ratio, contact, step, ring] and [contact, step]
        steps = np.arange(self.duration_ms, dtype=np.float64)
        rate = p.noise_hz / 1000 + p.hits * _bell(
            steps[:, None] - crossings[:, :, None], p.jitter_ms
        )
        self._chance_v = -np.expm1(-rate)
        heard = _bell(steps - self.contacts_ms[:, None], p.sound_jitter_ms)
        self._chance_a = -np.expm1(-(p.sound_noise_hz / 1000 + p.sound_hits * heard))
        self._chance_none = -np.expm1(-p.sound_noise_hz / 1000)
        self._logit_v = np.log(self._chance_v / (1 - self._chance_v)).astype(np.float32)
        self._silent_v = np.log1p(-self._chance_v).sum(axis=3)  # [ratio, contact, step]

    @property
    def n_classes(self) -> int:
        return 2

    @property
    def modalities(self) -> dict[str, int]:
        return {"vision": len(self.params.eccentricities_deg), "audio": self.params.n_audio}

    @property
    def conditions(self) -> tuple[float, ...]:
        """Offsets in ms of a mistimed sound; 0 in ``"presence"``."""
        p = self.params
        return tuple(float(d) for d in p.offsets_ms) if p.task == "timing" else (0.0,)

    @property
    def duration_ms(self) -> int:
        p = self.params
        return p.first_ms + p.span_ms + p.tail_ms

    @property
    def n_uniforms(self) -> int:
        return 5 + self.duration_ms * sum(self.modalities.values())

    def generate(self, uniforms: FloatArray) -> Drawn:
        p, cut = self.params, Slices(uniforms)
        labels, ratio = cut.choose(2), cut.choose(len(p.ratios_ms))
        offset = np.array(self.conditions)[cut.choose(len(self.conditions))]
        sign, contact = 2 * cut.choose(2) - 1, cut.choose(p.span_ms)
        sound = contact + (sign * offset * (labels == MISTIMED)).astype(np.int64)
        sound %= p.span_ms
        chance_v = self._chance_v[ratio, contact]
        chance_a = self._chance_a[sound]
        if p.task == "presence":
            chance_a = np.where(labels[:, None] == PRESENT, chance_a, self._chance_none)
        evoked: dict[str, np.ndarray[Any, Any]] = {}
        noise = {}
        quiet = {"vision": p.noise_hz, "audio": p.sound_noise_hz}
        # Rings are crossed in order of eccentricity, so a ring's number is its source's.
        number = {"vision": 1 + np.argsort(np.argsort(p.eccentricities_deg)), "audio": np.ones(1)}
        for name, chance in (("vision", chance_v), ("audio", chance_a[..., None])):
            drawn = cut.take(self.duration_ms, self.modalities[name])
            of_noise = -np.expm1(-quiet[name] / 1000)
            # One number decides: below the noise's share it is noise, then evoked, then silence.
            noise[name] = drawn < of_noise
            fired = (drawn < chance) & ~noise[name]
            evoked[name] = (fired * number[name]).astype(np.int16)
        latent = {"ratio": ratio, "contact": contact, "sound": sound}
        return Drawn(labels, offset.astype(np.float64), evoked, noise, latent)

    def contact_log_likelihood(
        self, train: np.ndarray[Any, Any], until_ms: int | None = None
    ) -> FloatArray:
        """Log-likelihood of each ratio and contact given vision's first steps, ``[B, S, L]``."""
        n = self.duration_ms if until_ms is None else until_ms
        logit = self._logit_v[:, :, :n].reshape(-1, n * train.shape[2])
        scores = train[:, :n].reshape(len(train), n * train.shape[2]).astype(np.float32) @ logit.T
        shape = (len(train), *self._silent_v.shape[:2])
        total: FloatArray = scores.reshape(shape) + self._silent_v[:, :, :n].sum(axis=2)
        return total

    def _sound_log_likelihood(self, train: np.ndarray[Any, Any]) -> tuple[FloatArray, FloatArray]:
        """Of a sound at each time of the span, ``[B, L]``, and of none, ``[B, 1]``."""
        counts = train.sum(axis=2, dtype=np.float64)
        n = self.params.n_audio
        scores = counts @ np.log(self._chance_a / (1 - self._chance_a)).T
        scores += n * np.log1p(-self._chance_a).sum(axis=1)
        none, total = self._chance_none, counts.sum(axis=1, keepdims=True)
        silent = n * counts.shape[1] * np.log1p(-none)
        return scores, total * np.log(none / (1 - none)) + silent

    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        seen = log_sum_exp(self.contact_log_likelihood(trains["vision"]), 1)
        heard, none = self._sound_log_likelihood(trains["audio"])
        right = log_sum_exp(seen + heard, 1)
        if self.params.task == "presence":
            return np.stack([log_sum_exp(seen, 1) + none[:, 0], right], axis=1)
        steps, offset = np.arange(self.params.span_ms), conditions.round().astype(np.int64)
        sides = []
        for sign in (-1, 1):
            at = (steps + sign * offset[:, None]) % len(steps)
            sides.append(log_sum_exp(seen + np.take_along_axis(heard, at, axis=1), 1))
        return np.stack([np.logaddexp(*sides) - np.log(2), right], axis=1)

    def additive_log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        if self.params.task == "timing":
            return super().additive_log_likelihood(trains, conditions)
        heard, none = self._sound_log_likelihood(trains["audio"])
        present = log_sum_exp(heard, 1) - np.log(self.params.span_ms)
        return np.stack([none[:, 0], present], axis=1)

    def predicted_contact_ms(
        self, vision: np.ndarray[Any, Any], until_ms: int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of contact given vision, ``[B]`` each.

        Parameters
        ----------
        vision : array [B, T, N]
            Bare trains.
        until_ms : int, optional
            Look at the first steps only.
        """
        scores = log_sum_exp(self.contact_log_likelihood(vision, until_ms), 1)
        chance = np.exp(scores - log_sum_exp(scores, 1)[:, None])
        at = self.contacts_ms.astype(np.float64)
        mean: FloatArray = chance @ at
        spread: FloatArray = np.maximum(chance @ at**2 - mean**2, 0)
        return mean, np.sqrt(spread)

    def contact_sd_ms(self, known_ratio: bool = False) -> float:
        """What `sensors.scenes.looming.contact_sd_ms` allows with these parameters."""
        p = self.params
        return contact_sd_ms(np.array(p.eccentricities_deg), p.jitter_ms, p.hits, known_ratio)

    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        p = self.params
        contact = p.first_ms + int(drawn.latent["contact"][row])
        ratio = p.ratios_ms[int(drawn.latent["ratio"][row])]
        before = crossing_before_ms(np.sort(p.eccentricities_deg), ratio)
        crossed = np.rint(contact - before).astype(np.int64)
        heard = np.array([p.first_ms + int(drawn.latent["sound"][row])], dtype=np.int64)
        if p.task == "presence" and drawn.labels[row] == ABSENT:
            heard = heard[:0]
        return {
            "vision": (crossed, np.zeros(len(crossed), np.int64)),
            "audio": (heard, np.zeros(len(heard), np.int64)),
        }

    def offset_us(self, drawn: Drawn, row: int) -> dict[str, int]:
        late = int(drawn.latent["sound"][row]) - int(drawn.latent["contact"][row])
        return {"vision": 0, "audio": late * STEP_US}

    def values(self, drawn: Drawn, row: int) -> dict[str, Any]:
        p = self.params
        return {
            "contact_us": (p.first_ms + int(drawn.latent["contact"][row])) * STEP_US,
            "size_over_speed_ms": p.ratios_ms[int(drawn.latent["ratio"][row])],
        }

    def film(self, sample: SceneSample) -> tuple[FloatArray, Int64Array]:
        """Frames ``[T, H, W]`` of the approaching disc, and their times in microseconds."""
        times_ms = np.arange(0, self.duration_ms + 1, _FRAME_MS)
        left = sample.truth.values["contact_us"] / STEP_US - times_ms
        ratio = sample.truth.values["size_over_speed_ms"]
        return looming_film(left, ratio, _SIZE, _PX_PER_TAN), times_ms.astype(np.int64) * STEP_US

    def shown(self, sample: SceneSample) -> tuple[FloatArray, Int64Array, MultiStream]:
        return *self.film(sample), self.render(sample)

    def render(self, sample: SceneSample) -> MultiStream:
        """The disc through the retina, a click in noise through a cochlea of 24 channels."""
        from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
        from sensors.dvs import DvsParams, DvsPixelArray
        from sensors.scenes.binaural import ear_waves

        noise = self.generator(sample.seed, sample.index, "sensors")
        film, times_us = self.film(sample)
        seen = DvsPixelArray(DvsParams(leak_hz=0.0)).encode_batch(
            film[None], times_us, "vision", noise
        )[0]
        at_us = sample.truth.sources["audio"].time_us
        wave = ear_waves(at_us, np.zeros(len(at_us)), self.duration_ms * STEP_US, _SAMPLE_RATE)[
            :, 0
        ]
        wave = wave + 0.02 * noise.standard_normal(len(wave))
        ear = GammatoneCochlea(GammatoneParams(n_channels=24, f_min_hz=200.0, f_max_hz=6000.0))
        # One gain for every sample: a level set over the whole would tell whether there is a click.
        heard = ear.encode(wave, _SAMPLE_RATE, gain=1.5)
        return MultiStream({"vision": seen, "audio": heard}, sample.label, sample.stream.provenance)


def _bell(x: FloatArray, sd: float) -> FloatArray:
    """Density of a Gaussian."""
    density: FloatArray = np.exp(-0.5 * (x / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    return density
