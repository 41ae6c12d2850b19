"""Concatenation fusion: one hidden spiking layer over all modalities' spikes, then a readout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikefuse.encoders import infer_lif, infer_readout
from spikefuse.neurons import LIF, LIFParams, LIReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear

ConcatState = dict[str, Tensor]


class ConcatFusion(nn.Module):
    """Intermediate fusion: every modality drives the same hidden LIF layer.

    ``current = sum_m spikes_m @ W_m`` is the product with the concatenated spikes; one weight per
    modality keeps the cost of each path apart.

    Parameters
    ----------
    n_in : mapping of modality to its number of hidden neurons
    n_hidden, n_classes : int
    lif : LIFParams
    readout_tau_ms, dt_ms : float
    """

    batch_dim = 1

    def __init__(
        self,
        n_in: dict[str, int],
        n_hidden: int,
        n_classes: int,
        lif: LIFParams,
        readout_tau_ms: float,
        dt_ms: float,
    ) -> None:
        super().__init__()
        gain = 3.0 / len(n_in) ** 0.5
        self.fusion_synapses = nn.ModuleDict(
            {name: EventLinear(n, n_hidden, gain=gain) for name, n in n_in.items()}
        )
        self.hidden = LIF(n_hidden, lif, dt_ms)
        self.readout_synapse = EventLinear(n_hidden, n_classes)
        self.readout = LIReadout(n_classes, readout_tau_ms, dt_ms)

    def forward(
        self, spikes: dict[str, Tensor], state: ConcatState | None = None
    ) -> tuple[Tensor, Tensor, ConcatState]:
        """Hidden spikes ``{name: [T, B, n]}`` to scores, fused spikes and new state."""
        currents = [synapse(spikes[name]) for name, synapse in self.fusion_synapses.items()]
        before = state or {}
        fused, v = self.hidden(torch.stack(currents).sum(0), before.get("hidden"))
        trace, score = self.readout(self.readout_synapse(fused), before.get("readout"))
        return trace, fused, {"hidden": v, "readout": score}

    @torch.no_grad()
    def infer(
        self, events: dict[str, SpikeBatch], state: ConcatState | None = None
    ) -> tuple[Tensor, SpikeBatch, ConcatState]:
        """`forward` on events, without a gradient: scores, fused events and new state."""
        before = state or {}
        sources = [events[name] for name in self.fusion_synapses]
        synapses = list(self.fusion_synapses.values())
        fused, v = infer_lif(sources, synapses, self.hidden, before.get("hidden"))
        trace, score = infer_readout(
            fused, self.readout_synapse, self.readout, before.get("readout")
        )
        return trace, fused, {"hidden": v, "readout": score}
