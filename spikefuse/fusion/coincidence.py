"""Coincidence fusion: pairs of events of different modalities drive the fused neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from spikefuse.fusion.operator import FusionOperator, Spikes, State
from spikefuse.fusion.pairs import ARROW, ordered_pairs
from spikefuse.fusion.windows import CoincidenceWindow, Shape
from spikefuse.neurons import LIF, LIFParams
from spikefuse.synapses import EventLinear


class CoincidenceFusion(FusionOperator):
    r"""Events of one modality count while events of another hold a learned window open.

    .. math:: f^{k \to m}_t = (S^m_t W^{km}) \odot g\big((K^{km} * S^k V^{km})_t\big), \quad
              s = \text{LIF}\Big(\sum_m S^m U^m + \sum_{k \ne m} f^{k \to m} X^{km}\Big)

    Each ordered pair "k>m" has units with a window K of its own delay and width
    (`CoincidenceWindow`). Of two opposite directions the later one leaves out events of one step,
    so no pair is counted twice. f is graded: its part of the work is multiplications.

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`.
    pairs : sequence of str, optional
        Directions such as ``("vision>audio",)`` (vision opens, audio counts); all by default.
    units : int
        Units of each pair.
    window : "gaussian", "box" or "exponential"
    delay_max_ms : float
        Delays start uniform in ``[0, delay_max_ms]`` and stay in it.
    width_ms : (float, float)
        Widths start log-uniform in this range.
    saturating : bool
        Gate ``1 - exp(-trace)``: further openers add ever less.
    gain, pair_gain : float
        Initial scale of the direct synapses, shared over modalities, and of the pairs' synapses.

    References
    ----------
    Coincidence detection in neurons with delay lines: Jeffress, J. Comp. Physiol. Psychol. 41:35,
    1948. Traces that gate events, as a rule of plasticity: Pfister and Gerstner, J. Neurosci. 26,
    2006. No earlier trainable fusion layer of this kind was found, which proves nothing.
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        pairs: Sequence[str] | None = None,
        units: int = 32,
        window: Shape = "gaussian",
        delay_max_ms: float = 64.0,
        width_ms: tuple[float, float] = (2.0, 8.0),
        saturating: bool = False,
        gain: float = 3.0,
        pair_gain: float = 1.0,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif)
        if units < 1:
            raise ValueError(f"units must be at least 1, got {units}")
        joined = ordered_pairs(self.modalities, pairs)
        share = gain / len(self.modalities) ** 0.5
        self.direct = nn.ModuleDict(
            {name: EventLinear(n, n_out, gain=share) for name, n in self.n_in.items()}
        )
        self.windows, self.mix = nn.ModuleDict(), nn.ModuleDict()
        met: set[frozenset[str]] = set()
        for source, target in joined:
            name = source + ARROW + target
            self.windows[name] = CoincidenceWindow(
                self.n_in[source],
                self.n_in[target],
                units,
                dt_ms,
                window=window,
                delay_max_ms=delay_max_ms,
                width_ms=width_ms,
                same_step=frozenset((source, target)) not in met,
                saturating=saturating,
                opener=source,
                paid_by=target,
            )
            met.add(frozenset((source, target)))
            self.mix[name] = EventLinear(units, n_out, gain=pair_gain / max(len(joined), 1) ** 0.5)
        self.hidden = LIF(n_out, self.lif, dt_ms)

    def set_anneal(self, fraction: float) -> None:
        """Say how far training is, 0 to 1: see `CoincidenceWindow.set_anneal`."""
        for unit in self._units().values():
            unit.set_anneal(fraction)

    def delays_ms(self) -> dict[str, Tensor]:
        """Delay of each unit's window of each pair, in milliseconds."""
        return {name: unit.delays_ms() for name, unit in self._units().items()}

    def widths_ms(self) -> dict[str, Tensor]:
        """Width of each unit's window of each pair, in milliseconds."""
        return {name: unit.widths_ms() for name, unit in self._units().items()}

    def _units(self) -> dict[str, CoincidenceWindow]:
        """Windows by name of their pair."""
        return {k: u for k, u in self.windows.items() if isinstance(u, CoincidenceWindow)}

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to fused spikes ``[T, B, n_out]``, membrane and windows."""
        self.check(spikes)
        before: Mapping[str, Tensor] = state or {}
        after: State = {}
        currents = [synapse(spikes[name]) for name, synapse in self.direct.items()]
        for name, unit in self.windows.items():
            source, target = name.split(ARROW)
            found, after[name] = unit(spikes[source], spikes[target], before.get(name))
            currents.append(self.mix[name](found))
        fused, v = self.hidden(torch.stack(currents).sum(0), before.get("hidden"))
        return fused, after | {"hidden": v}
