"""S1: a bounce and a click, together or apart; or which of the two came first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sensors.scenes.base import STEP_US
from sensors.scenes.grid import Drawn, GridScene, Slices, Trains
from sensors.scenes.observers import displaced, evoked_ratio, jitter_law, log_sum_exp
from spikefuse._types import FloatArray, Int64Array

Task = Literal["synchrony", "order"]
_NAMES = ("vision", "audio")
APART, IN_SYNC = 0, 1
SOUND_FIRST, VISION_FIRST = 0, 1


@dataclass(frozen=True)
class OnsetParams:
    """Parameters of S1.

    Parameters
    ----------
    task : "synchrony" or "order"
        Classes are apart (0) and in sync (1), or sound first (0) and vision first (1).
    offsets_ms : tuple of int
        Distance of the two onsets where they are apart; each sample has one of them.
    period_ms : int
        The ball bounces with this period and a sample shows one period, so an onset that would
        leave the sample at its end enters it at its beginning.
    n_channels : int
        Of each modality.
    p_evoke : float
        Probability that a channel answers to its onset.
    jitter_ms : float
        Standard deviation of the answer's time, cut at four of them.
    noise_hz : float
        Rate of each channel's noise spikes.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    task: Task = "synchrony"
    offsets_ms: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    period_ms: int = 320
    n_channels: int = 4
    p_evoke: float = 0.6
    jitter_ms: float = 2.0
    noise_hz: float = 6.0

    def __post_init__(self) -> None:
        if self.task not in ("synchrony", "order"):
            raise ValueError(f"task must be 'synchrony' or 'order', got {self.task!r}")
        if not self.offsets_ms or not all(0 < 2 * d < self.period_ms for d in self.offsets_ms):
            raise ValueError(
                f"offsets_ms must lie between 0 and half of period_ms={self.period_ms}, got "
                f"{self.offsets_ms}"
            )
        if self.n_channels < 1:
            raise ValueError(f"n_channels must be >= 1, got {self.n_channels}")
        if not 0 < self.p_evoke < 1:
            raise ValueError(f"p_evoke must lie in (0, 1), got {self.p_evoke}")
        if not 0 < self.jitter_ms <= self.period_ms / 16:
            raise ValueError(
                f"jitter_ms must lie in (0, {self.period_ms / 16:g}], got {self.jitter_ms}"
            )
        if not 0 < self.noise_hz < 1000:
            raise ValueError(f"noise_hz must lie in (0, 1000), got {self.noise_hz}")


class OnsetScene(GridScene[OnsetParams]):
    r"""S1, onset synchrony or order.

    One onset in each modality, :math:`t_v` uniform over the period and
    :math:`t_a = t_v + d` on its circle; each channel answers with probability ``p_evoke``,
    jittered, among noise. In sync :math:`d = 0`, apart :math:`d = \pm D` with even chances; in the
    order task :math:`d = D` (vision first) or :math:`-D`. On the circle :math:`t_a` is uniform
    whatever :math:`d` is, so each modality alone has the same law in every class.

    The ideal observer knows :math:`D` and sums over all onsets:
    :math:`L(d) = \sum_t L_v(t) L_a(t + d)`, exactly.

    No observer that thresholds a sum :math:`f(v) + g(a)` is better than 0.75 at synchrony: among
    the four cases :math:`(t, t), (t + D, t + D), (t, t + D), (t + D, t)` it errs in one at least,
    as both sums over pairs are equal. The order task has no such bound, for
    :math:`t_a - t_v` is itself a sum: it takes a clock rather than fusion.
    """

    ball = True

    def __init__(self, params: OnsetParams | None = None) -> None:
        super().__init__(params if params is not None else OnsetParams())
        self.name = "s1" if self.params.task == "synchrony" else "s1_order"
        p = self.params
        self._law = jitter_law(p.jitter_ms, int(np.ceil(4 * p.jitter_ms)))
        self._p_noise = p.noise_hz / 1000

    @property
    def n_classes(self) -> int:
        return 2

    @property
    def modalities(self) -> dict[str, int]:
        return dict.fromkeys(_NAMES, self.params.n_channels)

    @property
    def conditions(self) -> tuple[float, ...]:
        return tuple(float(d) for d in self.params.offsets_ms)

    @property
    def duration_ms(self) -> int:
        return self.params.period_ms

    @property
    def n_uniforms(self) -> int:
        p = self.params
        return 4 + 2 * (2 * p.n_channels + p.period_ms * p.n_channels)

    def generate(self, uniforms: FloatArray) -> Drawn:
        p, cut = self.params, Slices(uniforms)
        labels = cut.choose(2)
        offset = np.array(p.offsets_ms)[cut.choose(len(p.offsets_ms))]
        sign = 2 * cut.choose(2) - 1
        start = cut.choose(p.period_ms)
        shift = sign * offset * (labels == APART)
        if p.task == "order":
            shift = (2 * labels - 1) * offset
        onsets = {"vision": start, "audio": (start + shift) % p.period_ms}
        evoked, noise = {}, {}
        rows, channels = np.indices((len(labels), p.n_channels))
        for name in _NAMES:
            answers = cut.take(p.n_channels) < p.p_evoke
            late = displaced(cut.take(p.n_channels), self._law)
            at = (onsets[name][:, None] + late) % p.period_ms
            spikes = np.zeros((len(labels), p.period_ms, p.n_channels), np.int16)
            spikes[rows[answers], at[answers], channels[answers]] = 1
            evoked[name] = spikes
            noise[name] = cut.take(p.period_ms, p.n_channels) < self._p_noise
        return Drawn(labels, offset.astype(np.float64), evoked, noise, {**onsets, "shift": shift})

    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        p, reach = self.params, len(self._law) // 2
        onset = {}
        for name in _NAMES:
            around = np.pad(trains[name], ((0, 0), (reach, reach), (0, 0)), mode="wrap")
            ratio = evoked_ratio(around, self._law, p.p_evoke, self._p_noise)
            onset[name] = np.log(ratio[:, reach:-reach]).sum(axis=2)
        steps = np.arange(p.period_ms)
        offset = conditions.round().astype(np.int64)[:, None]

        def shifted(by: Int64Array | int) -> FloatArray:
            later = np.take_along_axis(onset["audio"], (steps + by) % p.period_ms, axis=1)
            return log_sum_exp(onset["vision"] + later, axis=1)

        after, before = shifted(offset), shifted(-offset)
        if p.task == "order":
            return np.stack([before, after], axis=1)
        in_sync = log_sum_exp(onset["vision"] + onset["audio"], axis=1)
        return np.stack([np.logaddexp(before, after) - np.log(2), in_sync], axis=1)

    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        return {name: (drawn.latent[name][row : row + 1], np.zeros(1, np.int64)) for name in _NAMES}

    def offset_us(self, drawn: Drawn, row: int) -> dict[str, int]:
        return {"vision": 0, "audio": int(drawn.latent["shift"][row]) * STEP_US}
