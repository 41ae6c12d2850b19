"""Late fusion: every modality votes with its own score and the scores are added."""

from __future__ import annotations

from torch import Tensor, nn

from spikefuse.neurons import LIReadout
from spikefuse.synapses import EventLinear

LateState = dict[str, Tensor]


class LateFusion(nn.Module):
    """Sum of per-modality class scores, each from its own leaky readout.

    ``score[t] = sum_m readout_m(spikes_m)[t]``: with independent modalities given the class, a sum
    of calibrated log-likelihoods is the Bayes-optimal combination.

    Parameters
    ----------
    n_in : mapping of modality to its number of hidden neurons
    n_classes : int
    readout_tau_ms, dt_ms : float
    """

    batch_dim = 1

    def __init__(
        self, n_in: dict[str, int], n_classes: int, readout_tau_ms: float, dt_ms: float
    ) -> None:
        super().__init__()
        self.readout_synapses = nn.ModuleDict(
            {name: EventLinear(n, n_classes) for name, n in n_in.items()}
        )
        self.readouts = nn.ModuleDict(
            {name: LIReadout(n_classes, readout_tau_ms, dt_ms) for name in n_in}
        )

    def forward(
        self, spikes: dict[str, Tensor], state: LateState | None = None
    ) -> tuple[Tensor, LateState]:
        """Hidden spikes ``{name: [T, B, n]}`` to scores ``[T, B, n_classes]``."""
        after: LateState = {}
        scores: list[Tensor] = []
        for name, synapse in self.readout_synapses.items():
            before = None if state is None else state[name]
            trace, after[name] = self.readouts[name](synapse(spikes[name]), before)
            scores.append(trace)
        return sum(scores[1:], scores[0]), after
