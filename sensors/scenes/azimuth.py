"""S4: where a source is, by a cloud of dots and by clicks that reach two ears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sensors.scenes.base import SceneSample
from sensors.scenes.binaural import (
    azimuth_deg,
    coincidences,
    ear_waves,
    itd_from_coincidences,
    itd_slope_us,
    itd_us,
)
from sensors.scenes.grid import Drawn, GridScene, Slices, Trains
from sensors.scenes.observers import log_sum_exp
from spikefuse._types import FloatArray, Int64Array
from spikefuse.events import EventStream, MultiStream

LEFT, RIGHT = 0, 1
_COLUMN_REACH, _N_COLUMNS = 4.0, 33  # columns cover 4 tuning widths beyond the largest angle
_PIXEL_DEG, _ROWS, _FRAME_MS, _FLASH_MS = 4.0, 6, 5, 10
_GROUND, _DOT, _DOT_SD_DEG = 60.0, 150.0, 4.0
_SAMPLE_RATE, _MICROPHONE_NOISE = 16_000, 0.003
DELAYS_US = np.arange(-1200, 1201, 60)


@dataclass(frozen=True)
class AzimuthParams:
    """Parameters of S4.

    Parameters
    ----------
    angles_deg : tuple of float
        Azimuths; left is negative, none is 0. Symmetric about 0.
    reliabilities_deg : tuple of (float, float)
        Standard deviations of vision and of sound that a sample may have; its condition is the
        index of the pair.
    conflicts_deg : tuple of float
        Visual minus auditory angle; each sample has one of them, half added to vision and half
        taken from sound.
    tuning_deg : float
        Width of a column's tuning, and by the slope of the time difference straight ahead that of
        a delay detector.
    lead_in_ms, stimulus_ms : int
        Silence before the stimulus, and its length.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    angles_deg: tuple[float, ...] = (-8.0, -6.0, -4.0, 4.0, 6.0, 8.0)
    reliabilities_deg: tuple[tuple[float, float], ...] = (
        (4.0, 8.0),
        (5.66, 5.66),
        (8.0, 4.0),
    )
    conflicts_deg: tuple[float, ...] = (0.0,)
    tuning_deg: float = 16.0
    lead_in_ms: int = 20
    stimulus_ms: int = 360

    def __post_init__(self) -> None:
        angles = sorted(self.angles_deg)
        if not angles or 0 in angles or angles != [-a for a in reversed(angles)]:
            raise ValueError(
                f"angles_deg must be symmetric about 0 and without it, got {self.angles_deg}"
            )
        if not self.reliabilities_deg or not all(
            0 < sd <= self.tuning_deg for pair in self.reliabilities_deg for sd in pair
        ):
            raise ValueError(
                f"reliabilities_deg must be pairs in (0, tuning_deg = {self.tuning_deg:g}], got "
                f"{self.reliabilities_deg}"
            )
        if not self.conflicts_deg or self.largest_deg > 60:
            raise ValueError(
                "angles_deg and conflicts_deg must stay within 60 degrees, got "
                f"{self.angles_deg} and {self.conflicts_deg}"
            )
        for name in ("lead_in_ms", "stimulus_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")

    @property
    def largest_deg(self) -> float:
        """Largest angle of a cue."""
        return max(self.angles_deg) + max(abs(c) for c in self.conflicts_deg) / 2


@dataclass(frozen=True, eq=False)
class AngleEstimates:
    """Maximum-likelihood angles and what they are worth.

    Parameters
    ----------
    vision_deg, audio_deg : float array [B]
        From one modality alone; NaN where it did not spike.
    fused_deg : float array [B]
        Their mean, weighted by ``1 / variance``.
    vision_weight : float array [B]
        Share of vision's weight, from the spikes of the sample.
    """

    vision_deg: FloatArray
    audio_deg: FloatArray
    fused_deg: FloatArray
    vision_weight: FloatArray


class AzimuthScene(GridScene[AzimuthParams]):
    r"""S4, left or right, from two population codes.

    Column :math:`i` fires independently in steps of 1 ms with mean count
    :math:`f_i = N \frac{h}{w \sqrt{2 \pi}} \exp(-(x_i - \theta)^2 / 2 w^2)`, columns :math:`h`
    apart: a flashed dot at :math:`x_i` each. Delay detectors are tuned alike to the interaural time
    difference :math:`\tau(\theta)` of `itd_us`: a click with that difference each. For dense
    columns the Fisher information is

    .. math:: J_v = \sum_i \frac{f_i'^2}{f_i} = \frac{N_v}{w^2} = \frac{1}{\sigma_v^2}, \qquad
              J_a = N_a \left( \frac{\tau'(\theta)}{w_\tau} \right)^2 = \frac{1}{\sigma_a^2},

    so a modality's reliability is its number of spikes [2]_, set by
    :math:`N = (w / \sigma)^2`. Given a direction the modalities are independent, and the ideal
    estimate is the mean weighted by :math:`1 / \sigma^2` [1]_.

    The ideal observer of the class knows the reliability and sums over angles and conflicts. It
    needs no timing beyond the time difference: counts suffice, each modality alone is above chance
    (`unimodal_accuracy`), and fusion gains by averaging only.

    References
    ----------
    .. [1] Ernst and Banks, "Humans integrate visual and haptic information in a statistically
       optimal fashion", Nature 415, 2002, doi:10.1038/415429a.
    .. [2] Ma, Beck, Latham and Pouget, "Bayesian inference with probabilistic population codes",
       Nature Neuroscience 9, 2006, doi:10.1038/nn1790.
    """

    unimodal_at_chance = False
    collapsed_at_chance = False

    def __init__(self, params: AzimuthParams | None = None) -> None:
        super().__init__(params if params is not None else AzimuthParams())
        self.name = "s4"
        p = self.params
        edge = p.largest_deg + _COLUMN_REACH * p.tuning_deg
        self.columns_deg = np.linspace(-edge, edge, _N_COLUMNS)
        self.tuning_us = p.tuning_deg * float(itd_slope_us(0.0))
        edge_us = float(itd_us(p.largest_deg)) + _COLUMN_REACH * self.tuning_us
        self.detectors_us = np.linspace(-edge_us, edge_us, _N_COLUMNS)
        self._angle, self._conflict = np.meshgrid(p.angles_deg, p.conflicts_deg, indexing="ij")

    @property
    def n_classes(self) -> int:
        return 2

    @property
    def modalities(self) -> dict[str, int]:
        return {"vision": _N_COLUMNS, "audio": _N_COLUMNS}

    @property
    def conditions(self) -> tuple[float, ...]:
        return tuple(float(k) for k in range(len(self.params.reliabilities_deg)))

    @property
    def duration_ms(self) -> int:
        p = self.params
        return 2 * p.lead_in_ms + p.stimulus_ms

    @property
    def n_uniforms(self) -> int:
        return 3 + 2 * self.params.stimulus_ms * _N_COLUMNS

    def mean_counts(self, modality: str, angle_deg: FloatArray, sd_deg: FloatArray) -> FloatArray:
        """Mean count of each address, ``[..., N]``, for an angle and a standard deviation."""
        p = self.params
        if modality == "vision":
            at, centre, width = self.columns_deg, np.asarray(angle_deg), p.tuning_deg
        else:
            at, centre, width = self.detectors_us, itd_us(angle_deg), self.tuning_us
        n_spikes = (p.tuning_deg / np.asarray(sd_deg)) ** 2
        share = np.exp(-0.5 * ((at - centre[..., None]) / width) ** 2) / (
            width * np.sqrt(2 * np.pi)
        )
        counts: FloatArray = n_spikes[..., None] * (at[1] - at[0]) * share
        return counts

    def sd_deg(self, modality: str, angle_deg: float, sd_deg: float) -> float:
        """Standard deviation that the Fisher information at an angle allows.

        Vision's is ``sd_deg`` at every angle; sound's is ``sd_deg`` straight ahead and grows as
        the slope of the time difference falls.
        """
        if modality == "vision":
            return sd_deg
        return sd_deg * float(itd_slope_us(0.0) / itd_slope_us(angle_deg))

    def unimodal_accuracy(self, modality: str, condition: int) -> float:
        r"""Accuracy of a modality alone, by the Gaussian form :math:`\Phi(|\theta| / \sigma)`."""
        from scipy.stats import norm

        sd = self.params.reliabilities_deg[condition][("vision", "audio").index(modality)]
        angles = np.abs(self.params.angles_deg)
        return float(np.mean([norm.cdf(a / self.sd_deg(modality, a, sd)) for a in angles]))

    def generate(self, uniforms: FloatArray) -> Drawn:
        p, cut = self.params, Slices(uniforms)
        angle = np.array(p.angles_deg)[cut.choose(len(p.angles_deg))]
        condition = cut.choose(len(p.reliabilities_deg))
        conflict = np.array(p.conflicts_deg)[cut.choose(len(p.conflicts_deg))]
        sds = np.array(p.reliabilities_deg)[condition]
        cues = {"vision": angle + conflict / 2, "audio": angle - conflict / 2}
        evoked, noise = {}, {}
        for k, (name, cue) in enumerate(cues.items()):
            chance = self._chance(self.mean_counts(name, cue, sds[:, k]))
            fired = cut.take(p.stimulus_ms, _N_COLUMNS) < chance[:, None]
            # Every spike is a dot or a click of its own: its number is its rank in the sample.
            flat = fired.reshape(len(fired), p.stimulus_ms * _N_COLUMNS)
            rank = np.cumsum(flat, axis=1).reshape(fired.shape)
            spikes = np.zeros((len(fired), self.duration_ms, _N_COLUMNS), np.int16)
            spikes[:, p.lead_in_ms : p.lead_in_ms + p.stimulus_ms] = rank * fired
            evoked[name] = spikes
            noise[name] = np.zeros(spikes.shape, dtype=np.bool_)
        labels = np.where(angle > 0, RIGHT, LEFT).astype(np.int64)
        latent = {"angle": angle, "conflict": conflict, **cues}
        return Drawn(labels, condition.astype(np.float64), evoked, noise, latent)

    def _chance(self, mean_counts: FloatArray) -> FloatArray:
        """Probability of a spike in a step of the stimulus."""
        chance: FloatArray = -np.expm1(-mean_counts / self.params.stimulus_ms)
        return chance

    def _cue_log_likelihood(
        self, modality: str, train: np.ndarray[Any, Any], conditions: FloatArray
    ) -> FloatArray:
        """Of each angle and conflict, ``[B, A, K]``; exact for Bernoulli steps."""
        p = self.params
        half = 0.5 if modality == "vision" else -0.5
        angle = self._angle + half * self._conflict
        sds = np.array(p.reliabilities_deg)[:, ("vision", "audio").index(modality)]
        chance = np.stack(
            [self._chance(self.mean_counts(modality, angle, np.full(angle.shape, s))) for s in sds]
        )
        counts = train.sum(axis=1, dtype=np.float64)
        mine = chance[conditions.round().astype(np.int64)]
        on, off = np.log(mine), np.log1p(-mine)
        scores: FloatArray = np.einsum("bn,bakn->bak", counts, on - off)
        scores += p.stimulus_ms * off.sum(axis=-1)
        return scores

    def _by_class(self, cue: FloatArray) -> FloatArray:
        """Sum over the angles and conflicts of each side, all alike before, ``[B, 2]``."""
        right = np.array(self.params.angles_deg) > 0
        return np.stack(
            [log_sum_exp(cue[:, ~right], (1, 2)), log_sum_exp(cue[:, right], (1, 2))], axis=1
        )

    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        both = [self._cue_log_likelihood(name, trains[name], conditions) for name in trains]
        return self._by_class(both[0] + both[1])

    def additive_log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        alone = [
            self._by_class(self._cue_log_likelihood(name, trains[name], conditions))
            for name in trains
        ]
        return alone[0] + alone[1]

    def estimates(self, trains: Trains) -> AngleEstimates:
        r"""Angles from bare trains ``[B, T, N]`` without a prior.

        The maximum-likelihood position is the mean preferred value of the spikes, and its variance
        :math:`w^2 / n` for :math:`n` spikes (in microseconds for sound, divided by the slope).
        """
        centre, precision = {}, {}
        for name, at, width in (
            ("vision", self.columns_deg, self.params.tuning_deg),
            ("audio", self.detectors_us, self.tuning_us),
        ):
            counts = trains[name].sum(axis=1, dtype=np.float64)
            n = counts.sum(axis=1)
            with np.errstate(invalid="ignore"):
                mean = counts @ at / n
            centre[name], precision[name] = mean, n / width**2
        audio = azimuth_deg(centre["audio"])
        weight_a = precision["audio"] * itd_slope_us(np.nan_to_num(audio)) ** 2
        total = precision["vision"] + weight_a
        with np.errstate(invalid="ignore"):
            share = precision["vision"] / total
        fused = share * np.nan_to_num(centre["vision"]) + (1 - share) * np.nan_to_num(audio)
        return AngleEstimates(centre["vision"], audio, fused, share)

    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        found = {}
        for name, spikes in drawn.evoked.items():
            steps = np.nonzero(spikes[row])[0]
            found[name] = (steps, np.zeros(len(steps), np.int64))
        return found

    def values(self, drawn: Drawn, row: int) -> dict[str, Any]:
        condition = int(drawn.conditions[row])
        cues = {name: float(drawn.latent[name][row]) for name in ("vision", "audio")}
        sds = {
            name: self.sd_deg(name, cues[name], self.params.reliabilities_deg[condition][k])
            for k, name in enumerate(cues)
        }
        weight = sds["audio"] ** 2 / (sds["vision"] ** 2 + sds["audio"] ** 2)
        return {
            "angle_deg": float(drawn.latent["angle"][row]),
            "conflict_deg": float(drawn.latent["conflict"][row]),
            "vision_deg": cues["vision"],
            "audio_deg": cues["audio"],
            "vision_sd_deg": sds["vision"],
            "audio_sd_deg": sds["audio"],
            "vision_weight": weight,
            "fused_deg": weight * cues["vision"] + (1 - weight) * cues["audio"],
        }

    def film(self, sample: SceneSample) -> tuple[FloatArray, Int64Array]:
        """Frames ``[T, H, W]`` of the cloud of dots, and their times in microseconds."""
        events = sample.stream["vision"].events
        half = np.ceil(abs(self.columns_deg[0]) / _PIXEL_DEG)
        pixels = np.arange(-half, half + 1) * _PIXEL_DEG
        times_us = np.arange(0, self.duration_ms + 1, _FRAME_MS, dtype=np.int64) * 1000
        light = np.full((len(times_us), len(pixels)), _GROUND)
        for time_us, column in zip(events["t"], events["x"], strict=True):
            shown = (times_us >= time_us) & (times_us < time_us + 1000 * _FLASH_MS)
            light[shown] += _DOT * np.exp(
                -0.5 * ((pixels - self.columns_deg[column]) / _DOT_SD_DEG) ** 2
            )
        frames: FloatArray = np.repeat(np.minimum(light, 255.0)[:, None], _ROWS, axis=1)
        return frames, times_us

    def shown(self, sample: SceneSample) -> tuple[FloatArray, Int64Array, MultiStream]:
        return *self.film(sample), self.render(sample)

    def render(self, sample: SceneSample) -> MultiStream:
        """Dots through the retina, clicks through two cochleas (sensor size ``(8, 2, 1)``)."""
        from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
        from sensors.cochlea_model import encode_binaural
        from sensors.dvs import DvsParams, DvsPixelArray

        noise = self.generator(sample.seed, sample.index, "sensors")
        pixels = DvsPixelArray(DvsParams(leak_hz=0.0))
        frames, times_us = self.film(sample)
        seen = pixels.encode_batch(frames[None], times_us, "vision", noise)[0]
        clicks = sample.stream["audio"].events
        waves = ear_waves(
            clicks["t"], self.detectors_us[clicks["x"]], self.duration_ms * 1000, _SAMPLE_RATE
        )
        waves += _MICROPHONE_NOISE * noise.standard_normal(waves.shape)
        ear = GammatoneCochlea(
            GammatoneParams(
                n_channels=8, f_min_hz=800.0, f_max_hz=4000.0, envelope_hz=1000.0, frame_hz=16_000.0
            )
        )
        heard = encode_binaural(ear, waves, _SAMPLE_RATE)
        return MultiStream({"vision": seen, "audio": heard}, sample.label, sample.stream.provenance)

    def vision_angle_deg(self, seen: EventStream) -> float:
        """Angle of a rendered cloud of dots: the mean place of its ON events; NaN without one."""
        on = seen.events["x"][seen.events["p"]].astype(np.float64)
        if not len(on):
            return float("nan")
        return float((on.mean() - (seen.sensor_size[0] - 1) / 2) * _PIXEL_DEG)

    def audio_angle_deg(self, heard: EventStream) -> float:
        """Angle of rendered clicks by coincidences behind delay lines; NaN without one."""
        code = coincidences(heard, DELAYS_US, 30)
        return float(azimuth_deg(itd_from_coincidences(code, DELAYS_US, 500.0)))
