"""The timing study's nets: an operator, its spiking layer, and a count of that layer's spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from spikefuse.fusion import OPERATORS, build
from spikefuse.neurons import LIF, LIFParams
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import EventLinear
from spikefuse.synapses.annealing import AnnealedDelays

N_NEURONS = 32
# Of the hidden layers' synapses in front of late fusion: the default of the other operators.
_GAIN = 3.0

# Time constants from about 3 to 15 ms, learned.
NEURONS = LIFParams(tau_mem_ms=7.0, tau_spread=2.2, slope=5.0, detach_reset=True)

# Populations inside an operator are as large as the fused one, or share that number.
SIZES: dict[str, dict[str, Any]] = {
    "qk_attention": {"n_keys": N_NEURONS, "n_groups": 8},
    "cross_residual": {"width": N_NEURONS // 2},
    "latent": {"n_latents": N_NEURONS},
    "coincidence": {"units": N_NEURONS},
}

_RATES: list[dict[str, Any]] = [{"rate": 0.02}, {"rate": 0.01}, {"rate": 0.03}]
_RATES_AND_GAIN: list[dict[str, Any]] = [*_RATES[:2], {"rate": 0.03, "gain": 1.5}]
# Pairs of spikes against a weak direct drive, which is noise to them.
_PAIRS = {"gain": 0.3, "pair_gain": 3.0}
# One delay a neuron: the spikes of an onset arrive together.
_DELAYS = {"groups": "target", "density": 1.0, "sigma_ms": [6.0, 0.5]}

# Three a operator. ``rate`` is the peak learning rate, ``delay_rate_ms`` that of learned delays.
TRIALS: dict[str, list[dict[str, Any]]] = dict.fromkeys(OPERATORS, _RATES_AND_GAIN) | {
    "late": _RATES,
    "cross_synapse": [
        {"rate": 0.03, "start_ms": 64.0} | _DELAYS,
        {"rate": 0.03, "start_ms": 16.0} | _DELAYS,
        {"rate": 0.02, "start_ms": 64.0, "gain": 1.5, "cross_gain": 1.5} | _DELAYS,
    ],
    "coincidence": [
        {"rate": 0.03} | _PAIRS,
        {"rate": 0.02} | _PAIRS,
        {"rate": 0.02, "saturating": True} | _PAIRS,
    ],
}


class TimingNet(nn.Module):
    """An operator with one spiking layer, and a linear read-out of its spikes' sums over time.

    An operator that yields spikes brings that layer: its own population of `N_NEURONS`. Late fusion
    yields scores, so each modality gets a hidden layer of its share of `N_NEURONS` before it, and
    its scores are averaged over time.

    Parameters
    ----------
    operator : str
        One of `spikefuse.fusion.OPERATORS`.
    n_in : mapping of modality to its number of addresses
    n_classes : int
    **options
        Of the operator, beside `SIZES`.
    """

    batch_dim = 1

    def __init__(
        self, operator: str, n_in: Mapping[str, int], n_classes: int, **options: Any
    ) -> None:
        super().__init__()
        self.modalities = tuple(n_in)
        self.synapses, self.hidden = nn.ModuleDict(), nn.ModuleDict()
        self.readout: nn.Linear | None = None
        if OPERATORS[operator].spiking:
            chosen = {"lif": NEURONS} | SIZES.get(operator, {}) | options
            self.fusion = build(operator, n_in, N_NEURONS, **chosen)
            self.readout = nn.Linear(N_NEURONS, n_classes)
            nn.init.normal_(self.readout.weight, std=0.1)
            nn.init.zeros_(self.readout.bias)
            return
        share = N_NEURONS // len(n_in)
        for name, n in n_in.items():
            self.synapses[name] = EventLinear(n, share, gain=_GAIN)
            self.hidden[name] = LIF(share, NEURONS, 1.0)
        self.fusion = build(operator, dict.fromkeys(n_in, share), n_classes, **options)

    def forward(self, events: Mapping[str, SpikeBatch]) -> Tensor:
        """Events ``{modality: (T, B, N)}`` to a score of each class, ``[B, C]``."""
        if self.readout is not None:
            fused, _ = self.fusion(events)
            scores: Tensor = self.readout(fused.sum(0))
            return scores
        seen = {k: self.hidden[k](synapse(events[k]))[0] for k, synapse in self.synapses.items()}
        votes: Tensor = self.fusion(seen)[0]
        return votes.mean(0)

    def set_anneal(self, fraction: float) -> None:
        """Tell learned delays and windows how far training is, 0 to 1."""
        for layer in self.modules():
            if isinstance(layer, AnnealedDelays):
                layer.set_anneal(fraction)
