"""S3: two modalities that flicker together or against each other."""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma
from typing import Any

import numpy as np

from sensors.scenes.grid import Drawn, GridScene, Slices, Trains
from spikefuse._types import FloatArray, Int64Array

_NAMES = ("vision", "audio")
_N_STATES = 3  # first group active, second group active, neither
AGAINST, TOGETHER = 0, 1


@dataclass(frozen=True)
class ComodulationParams:
    """Parameters of S3.

    Parameters
    ----------
    n_steps : int
        Steps of a sample; the state of both modalities is drawn anew for each.
    step_ms, gap_ms : int
        Length of a step, and of the silence after it (0: none). With a gap, a layer without a
        clock can tell steps apart.
    n_fibres : int
        Channels in each of the two groups of a modality.
    high_hz, low_hz : float
        Rate of a channel while its group is active, and otherwise.
    coupling : float
        How far the joint states are from independent ones, in (0, 1/9].

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    n_steps: int = 30
    step_ms: int = 10
    gap_ms: int = 10
    n_fibres: int = 2
    high_hz: float = 120.0
    low_hz: float = 10.0
    coupling: float = 0.055

    def __post_init__(self) -> None:
        for name, least in (("n_steps", 1), ("step_ms", 1), ("gap_ms", 0), ("n_fibres", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}, got {getattr(self, name)}")
        if not 0 < self.low_hz < self.high_hz < 1000:
            raise ValueError(
                "low_hz and high_hz must satisfy 0 < low_hz < high_hz < 1000, got "
                f"{self.low_hz} and {self.high_hz}"
            )
        if not 0 < self.coupling <= 1 / 9:
            raise ValueError(f"coupling must lie in (0, 1/9], got {self.coupling}")


def joint_states(coupling: float) -> FloatArray:
    """Probability of (vision state, audio state) in each class, ``[2, 3, 3]``.

    Both marginals are uniform over the three states in both classes; the classes are one table
    with the audio's groups exchanged.
    """
    u, c = 1 / 9, coupling
    together = np.array([[u + c, u - c, u], [u - c, u + c, u], [u, u, u]])
    return np.stack([together[:, [1, 0, 2]], together])


class ComodulationScene(GridScene[ComodulationParams]):
    r"""S3, comodulation, after Ghosh et al. [1]_.

    In each step a modality is in one of three states: its first group is active, its second group,
    or neither. All states are equally frequent in each modality whatever the class; only how they
    meet tells it (`joint_states`). A gap of silence may follow each step.

    Beyond [1]_, the sound is balanced: within a sample, its two groups are active in equally many
    steps. Without that, counts of the whole sample tell something, for the two modalities' counts
    vary together in one class and against each other in the other. With it, the classes are one
    law with the sound's groups exchanged, and no count notices that.

    The ideal observer sums over all balanced sequences of joint states,

    .. math:: L_y = \sum_{s : D(s) = 0} \prod_i \sum_a J_y(a, s_i)\, p(v_i | a)\, p(a_i | s_i),

    with :math:`D` the difference of the groups' active steps: the constant term of a polynomial,
    found exactly by a discrete Fourier transform over :math:`D`.

    References
    ----------
    .. [1] Ghosh, Bena, Bormuth and Goodman, "Nonlinear fusion is optimal for a wide class of
       multisensory tasks", PLoS Computational Biology 20(7), 2024,
       doi:10.1371/journal.pcbi.1012246.
    """

    name = "s3"

    def __init__(self, params: ComodulationParams | None = None) -> None:
        super().__init__(params if params is not None else ComodulationParams())
        p = self.params
        self._joint = joint_states(p.coupling)
        self._p_low, self._p_high = p.low_hz / 1000, p.high_hz / 1000
        # Active: noise, or an evoked spike besides; their union has the high rate.
        self._p_evoke = (self._p_high - self._p_low) / (1 - self._p_low)

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
        return p.n_steps * (p.step_ms + p.gap_ms)

    @property
    def n_uniforms(self) -> int:
        p = self.params
        return 2 + 2 * p.n_steps + 2 * 2 * p.n_steps * p.step_ms * 2 * p.n_fibres

    def generate(self, uniforms: FloatArray) -> Drawn:
        p, cut = self.params, Slices(uniforms)
        labels = cut.choose(2)
        audio = self._balanced(cut.take(1), cut.take(p.n_steps))
        # Given the sound's state, vision's in the same step; the sound's are equally frequent.
        edges = (self._joint * _N_STATES).cumsum(axis=1)[:, :-1]
        edges = edges[labels[:, None], :, audio]  # [B, step, 2]
        vision = (cut.take(p.n_steps)[..., None] >= edges).sum(axis=-1)
        states = {"vision": vision, "audio": audio}
        evoked, noise = {}, {}
        for name, state in states.items():
            shape = (p.n_steps, p.step_ms, 2, p.n_fibres)
            active = state[..., None] == np.arange(2)  # [B, step, group]
            answers = cut.take(*shape) < self._p_evoke
            step = 1 + np.arange(p.n_steps, dtype=np.int16)[:, None, None, None]
            evoked[name] = self._with_gaps(step * (answers & active[:, :, None, :, None]))
            noise[name] = self._with_gaps(cut.take(*shape) < self._p_low)
        return Drawn(labels, np.zeros(len(labels)), evoked, noise, states)

    def _balanced(self, of_count: FloatArray, of_order: FloatArray) -> Int64Array:
        """Audio states ``[B, step]``: independent ones, given that both groups are as often on."""
        p = self.params
        most = p.n_steps // 2
        k = np.arange(most + 1)
        log_ways = np.array(
            [lgamma(p.n_steps + 1) - 2 * lgamma(n + 1) - lgamma(p.n_steps - 2 * n + 1) for n in k]
        )
        ways = np.exp(log_ways - log_ways.max())
        active = np.searchsorted((ways / ways.sum()).cumsum()[:-1], of_count, side="right")
        rank = of_order.argsort(axis=1).argsort(axis=1)
        states: Int64Array = np.where(rank < active, 0, np.where(rank < 2 * active, 1, 2))
        return states

    def _with_gaps(self, spikes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[B, step, step_ms, group, fibre]`` as ``[B, T, N]``, silent in the gaps."""
        p = self.params
        padded = np.pad(spikes, ((0, 0), (0, 0), (0, p.gap_ms), (0, 0), (0, 0)))
        return padded.reshape(len(spikes), self.duration_ms, 2 * p.n_fibres)

    def log_likelihood(self, trains: Trains, conditions: FloatArray) -> FloatArray:
        vision, audio = (self._state_log_likelihood(trains[name]) for name in _NAMES)
        top = vision.max(axis=-1, keepdims=True)
        given_vision = np.einsum("bia,yac->byic", np.exp(vision - top), self._joint)
        terms = np.log(given_vision) + audio[:, None]  # [B, class, step, audio state]
        scale = terms.max(axis=-1, keepdims=True)
        first, second, neither = np.moveaxis(np.exp(terms - scale), -1, 0)
        # The polynomial at roots of unity; its constant term is their mean. Half of them will do,
        # as the others are conjugates.
        n_roots = 2 * self.params.n_steps + 1
        constant = np.ones(first.shape[:2])
        for turn in 2 * np.pi * np.arange(1, self.params.n_steps + 1) / n_roots:
            at_root = neither + (first + second) * np.cos(turn)
            values = at_root + 1j * (first - second) * np.sin(turn)
            whole = neither + first + second
            constant += 2 * (values / whole).prod(axis=-1).real
        log_whole = np.log(neither + first + second).sum(axis=-1)
        constant = np.maximum(constant / n_roots, 1e-14)
        return np.asarray(np.log(constant) + log_whole + scale.sum(axis=(-2, -1)))

    def _state_log_likelihood(self, train: np.ndarray[Any, Any]) -> FloatArray:
        """Of each state in each step, up to a constant, ``[B, step, 3]``."""
        p = self.params
        steps = train.reshape(len(train), p.n_steps, p.step_ms + p.gap_ms, 2, p.n_fibres)
        counts = steps[:, :, : p.step_ms].sum(axis=(2, 4), dtype=np.float64)
        n_cells = p.step_ms * p.n_fibres
        gain = np.log(self._p_high / self._p_low)
        loss = np.log((1 - self._p_high) / (1 - self._p_low))
        active = counts * gain + (n_cells - counts) * loss
        return np.concatenate([active, np.zeros_like(active[..., :1])], axis=-1)

    def sources(self, drawn: Drawn, row: int) -> dict[str, tuple[Int64Array, Int64Array]]:
        p = self.params
        starts = np.arange(p.n_steps) * (p.step_ms + p.gap_ms)
        return {name: (starts, drawn.latent[name][row].astype(np.int64)) for name in _NAMES}
