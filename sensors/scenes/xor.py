"""Cues that must be combined: exclusive or, and its redundant and incongruent variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sensors.scenes.grid import Drawn, GridScene, Slices, Trains
from sensors.scenes.observers import displaced, evoked_ratio, jitter_law, log_sum_exp
from spikefuse._types import FloatArray, Int64Array

Code = Literal["order", "rate"]
_NAMES = ("vision", "audio")
_RULES = ("xor", "redundant", "incongruent")


@dataclass(frozen=True)
class CueParams:
    """Parameters of the cue scenes.

    Parameters
    ----------
    rule : "xor", "redundant" or "incongruent"
        The class is whether the cues differ; or both cues are the class; or vision's cue is the
        class and sound's the other one.
    code : "order" or "rate"
        A cue is which of two groups of channels leads in each pair of volleys, or which group is
        active. With ``"rate"`` the counts of both modalities together tell the class of ``"xor"``.
    n_fibres : int
        Channels of a group.
    n_pairs, spacing_ms, lag_ms : int
        Pairs of volleys, the time between two pairs, and from the first volley of a pair to the
        second. The first pair's time is uniform over one spacing, and common to both modalities.
    p_evoke : float
        Probability that a channel answers to its group's volley.
    jitter_ms : float
        Standard deviation of the answer's time, cut at three of them.
    noise_hz : float
        Rate of each channel's noise spikes; also the low rate of ``"rate"``.
    high_hz : float
        Rate of an active channel; ``"rate"`` only.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    rule: Literal["xor", "redundant", "incongruent"] = "xor"
    code: Code = "order"
    n_fibres: int = 4
    n_pairs: int = 5
    spacing_ms: int = 24
    lag_ms: int = 8
    p_evoke: float = 0.9
    jitter_ms: float = 1.0
    noise_hz: float = 5.0
    high_hz: float = 60.0

    def __post_init__(self) -> None:
        if self.rule not in _RULES:
            raise ValueError(f"rule must be one of {_RULES}, got {self.rule!r}")
        if self.code not in ("order", "rate"):
            raise ValueError(f"code must be 'order' or 'rate', got {self.code!r}")
        for name in ("n_fibres", "n_pairs", "lag_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not 0 < self.p_evoke < 1:
            raise ValueError(f"p_evoke must lie in (0, 1), got {self.p_evoke}")
        if not self.jitter_ms > 0:
            raise ValueError(f"jitter_ms must be positive, got {self.jitter_ms}")
        if self.spacing_ms <= 2 * self.reach_ms + self.lag_ms:
            raise ValueError(
                f"spacing_ms must be above {2 * self.reach_ms + self.lag_ms}, got {self.spacing_ms}"
            )
        if not 0 < self.noise_hz < self.high_hz < 1000:
            raise ValueError(
                "noise_hz and high_hz must satisfy 0 < noise_hz < high_hz < 1000, got "
                f"{self.noise_hz} and {self.high_hz}"
            )

    @property
    def reach_ms(self) -> int:
        """Largest displacement of an answer."""
        return int(np.ceil(3 * self.jitter_ms))


class CueScene(GridScene[CueParams]):
    r"""Two binary cues, one in each modality, and a rule.

    Coded by order, group :math:`c` leads and the other follows after ``lag_ms``, in every pair:
    each channel has the same number of volleys whatever the cue, so neither one modality nor all
    counts together tell the class of ``"xor"``.

    The ideal observer sums over the time of the first pair (`evoked_ratio`) and over cues. A sum
    :math:`f(v) + g(a)` can be right about three of the four cases of ``"xor"`` at best.
    """

    def __init__(self, params: CueParams | None = None) -> None:
        super().__init__(params if params is not None else CueParams())
        p = self.params
        self.name = p.rule if p.code == "order" else f"{p.rule}_rate"
        self.unimodal_at_chance = p.rule == "xor"
        # Behind the sensors the order of a group's two flashes leaks a little into its counts: a
        # cue is then told with 0.55, the comparison of two such cues still with 0.50.
        self.collapsed_at_chance = p.rule == "xor" and p.code == "order"
        self._law = jitter_law(p.jitter_ms, p.reach_ms)
        self._p_noise = p.noise_hz / 1000
        self._p_active = (p.high_hz - p.noise_hz) / (1000 - p.noise_hz)

    @property
    def n_classes(self) -> int:
        return 2

    @property
    def modalities(self) -> dict[str, int]:
        return dict.fromkeys(_NAMES, 2 * self.params.n_fibres)

    @property
    def conditions(self) -> tuple[float, ...]:
        return (0.0,)

    @property
    def duration_ms(self) -> int:
        p = self.params
        return (p.n_pairs + 1) * p.spacing_ms

    @property
    def n_uniforms(self) -> int:
        p = self.params
        n_channels = 2 * p.n_fibres
        answers = 2 * p.n_pairs if p.code == "order" else self.duration_ms
        return 3 + 2 * n_channels * (answers + self.duration_ms)

    def _volleys(self, start: Int64Array, cue: Int64Array) -> Int64Array:
        """Step of each pair's volley of each group, ``[B, pair, group]``."""
        p = self.params
        first = p.reach_ms + start[:, None] + p.spacing_ms * np.arange(p.n_pairs)
        follows = cue[:, None] != np.arange(2)
        volleys: Int64Array = first[..., None] + p.lag_ms * follows[:, None]
        return volleys

    def generate(self, uniforms: FloatArray) -> Drawn:
        p, cut = self.params, Slices(uniforms)
        vision, other = cut.choose(2), cut.choose(2)
        audio = {"xor": other, "redundant": vision, "incongruent": 1 - vision}[p.rule]
        labels = vision ^ audio if p.rule == "xor" else vision
        span = p.spacing_ms - 2 * p.reach_ms - p.lag_ms
        start = cut.choose(span + 1)
        evoked, noise = {}, {}
        for name, cue in (("vision", vision), ("audio", audio)):
            evoked[name] = (
                self._evoked_in_order(cut, self._volleys(start, cue))
                if p.code == "order"
                else self._evoked_by_rate(cut, cue)
            )
            noise[name] = cut.take(self.duration_ms, 2 * p.n_fibres) < self._p_noise
        latent = {"vision": vision, "audio": audio, "start": start}
        return Drawn(labels, np.zeros(len(labels)), evoked, noise, latent)

    def _evoked_in_order(self, cut: Slices, volleys: Int64Array) -> np.ndarray[Any, Any]:
        p = self.params
        shape = (p.n_pairs, 2, p.n_fibres)
        answers = cut.take(*shape) < p.p_evoke
        at = volleys[..., None] + displaced(cut.take(*shape), self._law)
        # Volleys of a sample by time: two of each pair, and the group that follows is later.
        rank = 1 + 2 * np.arange(p.n_pairs)[:, None] + (volleys > volleys.min(2, keepdims=True))
        row, pair, group, fibre = np.nonzero(answers)
        spikes = np.zeros((len(volleys), self.duration_ms, 2 * p.n_fibres), np.int16)
        spikes[row, at[answers], group * p.n_fibres + fibre] = rank[row, pair, group]
        return spikes

    def _evoked_by_rate(self, cut: Slices, cue: Int64Array) -> np.ndarray[Any, Any]:
        p = self.params
        answers = cut.take(self.duration_ms, 2, p.n_fibres) < self._p_active
        answers &= (cue[:, None] == np.arange(2))[:, None, :, None]
        return answers.reshape(len(cue), self.duration_ms, 2 * p.n_fibres).astype(np.int16)

    def _cue_log_likelihood(self, train: np.ndarray[Any, Any]) -> FloatArray:
        """Of each cue and each time of the first pair, up to a constant, ``[B, 2, start]``."""
        p, groups = self.params, np.arange(2)
        if p.code == "rate":
            counts = (
                train.sum(axis=1, dtype=np.float64).reshape(len(train), 2, p.n_fibres).sum(axis=2)
            )
            low, high = self._p_noise, p.high_hz / 1000
            odds = np.log(high / (1 - high)) - np.log(low / (1 - low))
            of_cue: FloatArray = (counts * odds)[..., None]
            return of_cue
        ratio = np.log(evoked_ratio(train, self._law, p.p_evoke, self._p_noise))
        by_group = ratio.reshape(*train.shape[:2], 2, p.n_fibres).sum(axis=3)
        starts = np.arange(p.spacing_ms - 2 * p.reach_ms - p.lag_ms + 1)
        per_cue = [
            by_group[:, self._volleys(starts, np.full(len(starts), cue)), groups].sum(axis=(2, 3))
            for cue in range(2)
        ]
        return np.stack(per_cue, axis=1)

    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        vision, audio = (self._cue_log_likelihood(trains[name]) for name in _NAMES)
        both = log_sum_exp(vision[:, :, None] + audio[:, None, :], axis=3)  # [B, cue, cue]
        same = both[:, [0, 1], [0, 1]]
        differ = both[:, [0, 1], [1, 0]]
        if self.params.rule == "redundant":
            return same
        if self.params.rule == "incongruent":
            return differ
        return np.stack([log_sum_exp(same, 1), log_sum_exp(differ, 1)], axis=1)

    def additive_log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        if self.params.rule == "xor":
            return super().additive_log_likelihood(trains, conditions)
        vision, audio = (log_sum_exp(self._cue_log_likelihood(trains[name]), 2) for name in _NAMES)
        return vision + (audio if self.params.rule == "redundant" else audio[:, ::-1])

    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        found = {}
        for name in _NAMES:
            cue = drawn.latent[name][row : row + 1]
            if self.params.code == "rate":
                found[name] = (np.zeros(1, np.int64), cue)
                continue
            volleys = self._volleys(drawn.latent["start"][row : row + 1], cue)[0].ravel()
            order = np.argsort(volleys, kind="stable")
            found[name] = (volleys[order], np.tile(np.arange(2), self.params.n_pairs)[order])
        return found

    def values(self, drawn: Drawn, row: int) -> dict[str, Any]:
        return {f"{name}_cue": int(drawn.latent[name][row]) for name in _NAMES}
