"""S5: a mouth that is driven by a word, seen and heard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sensors.scenes.base import STEP_US, SceneSample
from sensors.scenes.grid import Drawn, GridScene, Slices, Trains
from sensors.scenes.observers import log_sum_exp
from sensors.scenes.words import WordBank, recorded_words, synthetic_words
from spikefuse._types import FloatArray, Int64Array
from spikefuse.events import EVENT_DTYPE, EventStream, MultiStream

SHIFTED, IN_SYNC = 0, 1
_SIZE, _FRAME_MS = (20, 20), 5
_SYNC_SPIKES_PER_S, _DIGIT_SPIKES_PER_S = (20.0, 30.0), (12.0, 200.0)


@dataclass(frozen=True)
class MouthParams:
    """Parameters of S5.

    Parameters
    ----------
    task : "sync" or "digits"
        Classes are shifted (0) and in sync (1), or the ten digits, always in sync.
    folder : str
        Recorded digits (see `recorded_words`); empty for synthetic ones.
    n_per_digit : int
        Words of each digit.
    bank_seed : int
        Of voices or choice of recordings.
    period_ms : int
        The word is said again and again with this period; a sample shows one period, which begins
        anywhere in the word. A multiple of 5.
    lead_ms : int
        How much the mouth is ahead of the sound, 0 to 150.
    shifts_ms : tuple of int
        How much a shifted sample is off the lead, to either side; each sample has one of them.
    n_vision, n_bands : int
        Channels that see the opening; frequency bands, a channel each.
    vision_hz, audio_hz : float
        Rate that a channel adds for its envelope: of mean 1 for vision in ``"sync"``, else of peak
        1. 0 stands for the task's default (20 and 30 Hz for sync, 12 and 200 Hz for digits).
    rest_hz : float
        Rate of a channel at rest.
    audio_noise_hz : float
        Rate that noise adds to each band at the bare level; a digit's condition, one of several.
    snrs_db : tuple of float
        Signal-to-noise ratio of the rendered sound in each condition of ``"digits"``.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    task: Literal["sync", "digits"] = "sync"
    folder: str = ""
    n_per_digit: int = 4
    bank_seed: int = 0
    period_ms: int = 640
    lead_ms: int = 80
    shifts_ms: tuple[int, ...] = (80, 100, 120)
    n_vision: int = 4
    n_bands: int = 4
    vision_hz: float = 0.0
    audio_hz: float = 0.0
    rest_hz: float = 2.0
    audio_noise_hz: tuple[float, ...] = (20.0, 80.0, 200.0)
    snrs_db: tuple[float, ...] = (20.0, 5.0, -5.0)

    def __post_init__(self) -> None:
        if self.task not in ("sync", "digits"):
            raise ValueError(f"task must be 'sync' or 'digits', got {self.task!r}")
        for name in ("n_per_digit", "n_vision", "n_bands"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.period_ms < 100 or self.period_ms % _FRAME_MS:
            raise ValueError(
                f"period_ms must be a multiple of {_FRAME_MS} from 100 on, got {self.period_ms}"
            )
        if not 0 <= self.lead_ms <= 150:
            raise ValueError(f"lead_ms must lie in [0, 150], got {self.lead_ms}")
        if not self.shifts_ms or not all(0 < 2 * s < self.period_ms for s in self.shifts_ms):
            raise ValueError(
                f"shifts_ms must lie between 0 and half of period_ms = {self.period_ms}, got "
                f"{self.shifts_ms}"
            )
        if not self.rest_hz > 0 or min(self.vision_hz, self.audio_hz, *self.audio_noise_hz) < 0:
            raise ValueError(
                "rest_hz must be positive and other rates >= 0, got "
                f"{self.rest_hz}, {self.vision_hz}, {self.audio_hz}, {self.audio_noise_hz}"
            )
        if not self.audio_noise_hz or len(self.snrs_db) != len(self.audio_noise_hz):
            raise ValueError(
                f"snrs_db must be one for each audio_noise_hz, got {self.snrs_db} and "
                f"{self.audio_noise_hz}"
            )


class MouthScene(GridScene[MouthParams]):
    r"""S5, in sync or not, or which digit is said.

    Word :math:`k` starts at :math:`t_v` for the eye and at :math:`t_a = t_v + \mathrm{lead} + d`
    for the ear, on the circle of the period. Channels fire in steps of 1 ms with the rates
    :math:`r_0 + g\,e_k(t - t_v)`; :math:`e` is the loudness for vision and a band's envelope for
    sound.

    In ``"sync"``, :math:`d = 0` or :math:`\pm D`. :math:`t_v` is uniform, so :math:`t_a` is too,
    given the word: each modality alone, and all counts together, have the same law in both classes.
    In ``"digits"`` each modality tells something by itself; sound less the more noise there is.

    The ideal observer knows the bank, :math:`D` and the noise, and sums over words and starts,
    exactly: :math:`\sum_k \sum_t L_v(k, t) L_a(k, t + \mathrm{lead} + d)`.

    `SceneTruth.values` names the word and the start; a source, and so an instance to be retrieved
    across modalities, is the pair of both (``"instance"``).
    """

    def __init__(self, params: MouthParams | None = None) -> None:
        super().__init__(params if params is not None else MouthParams())
        p = self.params
        self.name = "s5" if p.task == "sync" else "s5_digits"
        self.unimodal_at_chance = self.collapsed_at_chance = p.task == "sync"
        usual = _SYNC_SPIKES_PER_S if p.task == "sync" else _DIGIT_SPIKES_PER_S
        vision_hz, audio_hz = p.vision_hz or usual[0], p.audio_hz or usual[1]
        opening = self.bank.loudness
        if p.task == "sync":  # the same expected count for every word
            opening = opening / opening.mean(axis=1, keepdims=True)
        noises = (0.0,) if p.task == "sync" else p.audio_noise_hz
        rates_v = np.repeat(p.rest_hz + vision_hz * opening[:, None], p.n_vision, axis=1)
        rates_a = np.stack([p.rest_hz + n + audio_hz * self.bank.bands for n in noises])
        # [noise, word, channel, step]; vision has one level only.
        self._chance = {
            "vision": -np.expm1(-rates_v[None] / 1000),
            "audio": -np.expm1(-rates_a / 1000),
        }
        self._spectra = {
            name: np.fft.rfft(np.log(chance / (1 - chance))).conj().astype(np.complex64)
            for name, chance in self._chance.items()
        }
        self._silence = {
            name: np.log1p(-chance).sum(axis=(-1, -2)) for name, chance in self._chance.items()
        }

    @property
    def bank(self) -> WordBank:
        """The words; the same object for the same parameters."""
        p = self.params
        if p.folder:
            return recorded_words(
                Path(p.folder), p.n_per_digit, p.bank_seed, p.period_ms, p.n_bands
            )
        return synthetic_words(p.n_per_digit, p.bank_seed, p.period_ms, p.n_bands)

    @property
    def n_classes(self) -> int:
        return 2 if self.params.task == "sync" else 10

    @property
    def modalities(self) -> dict[str, int]:
        return {"vision": self.params.n_vision, "audio": self.params.n_bands}

    @property
    def conditions(self) -> tuple[float, ...]:
        """Shifts in ms, or the noise added to each band in Hz."""
        p = self.params
        return tuple(float(c) for c in (p.shifts_ms if p.task == "sync" else p.audio_noise_hz))

    @property
    def duration_ms(self) -> int:
        return self.params.period_ms

    @property
    def n_uniforms(self) -> int:
        p = self.params
        return 5 + p.period_ms * (p.n_vision + p.n_bands)

    def generate(self, uniforms: FloatArray) -> Drawn:
        p, cut = self.params, Slices(uniforms)
        in_sync, which = cut.choose(2), cut.choose(len(self.conditions))
        sign = 2 * cut.choose(2) - 1
        word, start = cut.choose(len(self.bank.digits)), cut.choose(p.period_ms)
        conditions = np.array(self.conditions)[which]
        shift = np.zeros(len(start), np.int64)
        labels = self.bank.digits[word]
        if p.task == "sync":
            labels = in_sync
            shift = (sign * conditions * (in_sync == SHIFTED)).astype(np.int64)
        starts = {"vision": start, "audio": (start + p.lead_ms + shift) % p.period_ms}
        noise, evoked = {}, {}
        for name, n_channels in self.modalities.items():
            level = which if name == "audio" and p.task == "digits" else np.zeros_like(which)
            at = (np.arange(p.period_ms) - starts[name][:, None]) % p.period_ms
            chance = self._chance[name][level, word]  # [B, channel, step]
            chance = np.take_along_axis(chance, at[:, None], axis=2).transpose(0, 2, 1)
            fired = cut.take(p.period_ms, n_channels) < chance
            # A rate drives them: the word is the one source of all spikes, rest and noise included.
            evoked[name] = fired.astype(np.int16)
            noise[name] = np.zeros(fired.shape, dtype=np.bool_)
        latent = {**starts, "word": word, "shift": shift}
        return Drawn(labels.astype(np.int64), conditions, evoked, noise, latent)

    def _by_word(
        self, name: str, train: np.ndarray[Any, Any], conditions: FloatArray
    ) -> FloatArray:
        """Log-likelihood of each word and start, ``[B, K, period]``: a circular correlation."""
        p = self.params
        spectrum = np.fft.rfft(train.transpose(0, 2, 1)).astype(np.complex64)
        level = np.zeros(len(conditions), np.int64)
        if name == "audio" and p.task == "digits":
            level = np.abs(conditions[:, None] - np.array(p.audio_noise_hz)).argmin(axis=1)
        scores = np.empty((len(train), len(self.bank.digits), p.period_ms), np.float64)
        for k in np.unique(level):
            mine = level == k
            product = np.einsum("bcf,kcf->bkf", spectrum[mine], self._spectra[name][k])
            scores[mine] = np.fft.irfft(product, p.period_ms) + self._silence[name][k][:, None]
        return scores

    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        # A few samples at a time: a sample's table of words and starts has some 200 kB.
        parts = [
            self._joint(
                {name: train[i : i + 32] for name, train in trains.items()}, conditions[i : i + 32]
            )
            for i in range(0, len(conditions), 32)
        ]
        return np.concatenate([np.zeros((0, self.n_classes)), *parts])

    def _joint(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        p = self.params
        seen, heard = (self._by_word(name, trains[name], conditions) for name in self.modalities)
        steps = np.arange(p.period_ms)

        def together(later: Int64Array) -> FloatArray:
            at = (steps + later[:, None]) % p.period_ms
            return seen + np.take_along_axis(heard, at[:, None], axis=2)

        lead = np.full(len(conditions), p.lead_ms, dtype=np.int64)
        in_sync = together(lead)
        if p.task == "digits":
            return self._by_digit(in_sync)
        shift = conditions.round().astype(np.int64)
        sides = [log_sum_exp(together(lead + sign * shift), (1, 2)) for sign in (-1, 1)]
        apart = np.logaddexp(*sides) - np.log(2)
        return np.stack([apart, log_sum_exp(in_sync, (1, 2))], axis=1)

    def _by_digit(self, scores: FloatArray) -> FloatArray:
        """Sum over a digit's words and their starts, ``[B, 10]``; as many words for each."""
        of_word = log_sum_exp(scores, 2)
        return np.stack(
            [log_sum_exp(of_word[:, self.bank.digits == d], 1) for d in range(10)], axis=1
        )

    def alone(self, name: str, trains: Trains, conditions: FloatArray) -> FloatArray:
        """Log-likelihood of each digit given one modality, ``[B, 10]``."""
        return self._by_digit(self._by_word(name, trains[name], conditions))

    def match(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        """Ideal score of every pair of a sample's vision and a sample's sound, ``[B, B]``.

        Log-likelihood ratio for row ``i``'s vision and column ``j``'s sound: one word at one start
        drives both at the planted lead, against two words drawn independently. What retrieval by
        instance can reach.
        """
        seen, heard = (self._by_word(name, trains[name], conditions) for name in self.modalities)
        heard = np.roll(heard, -self.params.lead_ms, axis=2)
        together = np.stack([log_sum_exp(row + heard, (1, 2)) for row in seen])
        apart = log_sum_exp(seen, (1, 2))[:, None] + log_sum_exp(heard, (1, 2))
        return together - apart + float(np.log(seen[0].size))

    def additive_log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        if self.params.task == "sync":
            return super().additive_log_likelihood(trains, conditions)
        return self.alone("vision", trains, conditions) + self.alone("audio", trains, conditions)

    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        word = drawn.latent["word"][row : row + 1]
        return {name: (drawn.latent[name][row : row + 1], word) for name in self.modalities}

    def offset_us(self, drawn: Drawn, row: int) -> dict[str, int]:
        later = self.params.lead_ms + int(drawn.latent["shift"][row])
        return {"vision": 0, "audio": later * STEP_US}

    def values(self, drawn: Drawn, row: int) -> dict[str, Any]:
        word, start = int(drawn.latent["word"][row]), int(drawn.latent["vision"][row])
        return {
            "word": word,
            "name": self.bank.names[word],
            "digit": int(self.bank.digits[word]),
            "vision_start_ms": start,
            "audio_start_ms": int(drawn.latent["audio"][row]),
            "instance": word * self.params.period_ms + start,
        }

    def film(self, sample: SceneSample) -> tuple[FloatArray, Int64Array]:
        """Two periods of the mouth, ``[T, H, W]``, and the frames' times in microseconds."""
        from sensors.scenes.mouth_film import mouth_film

        values, period = sample.truth.values, self.params.period_ms
        times_ms = np.arange(0, 2 * period + 1, _FRAME_MS)
        opening = self.bank.loudness[values["word"]]
        shown = opening[(times_ms - values["vision_start_ms"]) % period]
        return mouth_film(shown, _SIZE), times_ms.astype(np.int64) * STEP_US

    def sound(self, sample: SceneSample) -> FloatArray:
        """Two periods of the word, and noise at the condition's SNR in ``"digits"``."""
        from sensors.speech import add_noise

        p, values = self.params, sample.truth.values
        per_ms = self.bank.sample_rate // 1000
        once = np.roll(self.bank.waves[values["word"]], values["audio_start_ms"] * per_ms)
        wave = np.tile(once, 2)
        if p.task == "digits":
            snr_db = p.snrs_db[self.conditions.index(sample.condition)]
            wave = add_noise(wave, snr_db, self.generator(sample.seed, sample.index, "noise"))
        return wave.astype(np.float64)

    def shown(self, sample: SceneSample) -> tuple[FloatArray, Int64Array, MultiStream]:
        return *self.film(sample), self.render(sample)

    def render(self, sample: SceneSample) -> MultiStream:
        """The second of two periods through the retina and a cochlea of 24 channels.

        By then the sensors are in the loop's steady state, so the counts of a period do not tell
        where in the word it begins.
        """
        from sensors.cochlea_gammatone import GammatoneCochlea, GammatoneParams
        from sensors.dvs import DvsParams, DvsPixelArray

        film, times_us = self.film(sample)
        noise = self.generator(sample.seed, sample.index, "sensors")
        pixels = DvsPixelArray(DvsParams(leak_hz=0.0))
        seen = pixels.encode_batch(film[None], times_us, "vision", noise)[0]
        rate = self.bank.sample_rate
        ear = GammatoneCochlea(GammatoneParams(n_channels=24, f_min_hz=100.0, f_max_hz=0.43 * rate))
        heard = ear.encode(self.sound(sample), rate)
        return MultiStream(
            {"vision": self._second(seen), "audio": self._second(heard)},
            sample.label,
            sample.stream.provenance,
        )

    def _second(self, stream: EventStream) -> EventStream:
        """Events of the second period, on a clock that starts with it."""
        period_us = self.params.period_ms * STEP_US
        times = stream.events["t"]
        inside = stream.events[(times >= period_us) & (times < 2 * period_us)]
        events = inside.astype(EVENT_DTYPE, copy=True)
        events["t"] -= period_us
        return EventStream(events, stream.sensor_size, period_us, stream.modality)
