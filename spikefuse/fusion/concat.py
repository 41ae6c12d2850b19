"""Concatenation fusion: one spiking layer over all modalities' spikes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.encoders import infer_lif
from spikefuse.fusion.operator import FusionOperator, InferOutput, Spikes, State
from spikefuse.neurons import LIF, LIFParams
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear


class ConcatFusion(FusionOperator):
    r"""Intermediate fusion: every modality drives the same LIF layer.

    .. math:: x_t = \sum_m S^m_t W^m, \quad s_t = \text{LIF}(x)_t

    This is the product with the concatenated spikes; one weight per modality keeps the cost of
    each path apart: events of a modality times ``n_out`` accumulates.

    Parameters
    ----------
    n_in, n_out, dt_ms, lif
        As of `FusionOperator`.
    gain : float
        Initial weights of a modality have standard deviation ``gain / sqrt(M * n_in)`` with M
        modalities: each contributes the same variance.

    References
    ----------
    Bjorndahl et al., arXiv:2409.00552 (early, middle and late concatenation in spiking networks).
    """

    def __init__(
        self,
        n_in: Mapping[str, int],
        n_out: int,
        *,
        dt_ms: float = 1.0,
        lif: LIFParams | None = None,
        gain: float = 3.0,
    ) -> None:
        super().__init__(n_in, n_out, dt_ms=dt_ms, lif=lif)
        share = self._share(gain)
        self.fusion_synapses = nn.ModuleDict(
            {name: EventLinear(n, n_out, gain=share[name]) for name, n in self.n_in.items()}
        )
        self.hidden = LIF(n_out, self.lif, dt_ms)

    def _share(self, gain: float) -> dict[str, float]:
        """Gain of each modality's synapses."""
        return dict.fromkeys(self.n_in, gain / len(self.n_in) ** 0.5)

    def forward(self, spikes: Spikes, state: State | None = None) -> tuple[Tensor, State]:
        """Spikes ``{name: (T, B, n)}`` to fused spikes ``[T, B, n_out]`` and the membrane."""
        self.check(spikes)
        currents = [synapse(spikes[name]) for name, synapse in self.fusion_synapses.items()]
        before = None if state is None else state["hidden"]
        fused, v = self.hidden(torch.stack(currents).sum(0), before)
        return fused, {"hidden": v}

    @torch.no_grad()
    def infer(self, events: Mapping[str, SpikeBatch], state: State | None = None) -> InferOutput:
        """`forward` on events, synapses and neurons fused."""
        self.check(events)
        sources = [events[name] for name in self.fusion_synapses]
        before = None if state is None else state["hidden"]
        fused, v = infer_lif(sources, list(self.fusion_synapses.values()), self.hidden, before)
        return fused, {"hidden": v}
