"""Late fusion: every modality votes with its own score and the scores are added."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikefuse.encoders import infer_readout
from spikefuse.neurons import LIReadout
from spikefuse.spikes import SpikeBatch
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

    @torch.no_grad()
    def infer(
        self, events: dict[str, SpikeBatch], state: LateState | None = None
    ) -> tuple[Tensor, LateState]:
        """`forward` on events, without a gradient."""
        after: LateState = {}
        scores: list[Tensor] = []
        for name, synapse in self.readout_synapses.items():
            before = None if state is None else state[name]
            trace, after[name] = infer_readout(events[name], synapse, self.readouts[name], before)
            scores.append(trace)
        return sum(scores[1:], scores[0]), after


def side_by_side(parts: list[SpikeBatch]) -> SpikeBatch:
    """Spikes of several populations as those of one, their addresses end to end.

    Parameters
    ----------
    parts : list of SpikeBatch, each (T, B, n)

    Returns
    -------
    SpikeBatch of shape (T, B, sum of n)

    Raises
    ------
    ValueError
        If there is none, or steps or samples differ.
    """
    if len({part.shape[:2] for part in parts}) != 1:
        shapes = [part.shape for part in parts]
        raise ValueError(f"parts must agree in steps and samples, got {shapes}")
    indptr = torch.stack([part.indptr for part in parts]).sum(0, dtype=torch.int32)
    index = torch.empty(int(indptr[-1]), dtype=torch.int32)
    value = torch.ones(len(index)) if any(part.value is not None for part in parts) else None
    ahead = torch.zeros_like(indptr[:-1])  # events of earlier parts in each row
    n = 0
    for part in parts:
        counts = part.indptr.diff()
        shift = indptr[:-1] + ahead - part.indptr[:-1]
        place = torch.arange(part.n_events) + shift.repeat_interleave(counts)
        index[place] = part.index + n
        if value is not None and part.value is not None:
            value[place] = part.value
        ahead, n = ahead + counts, n + part.shape[2]
    return SpikeBatch.trusted(indptr, index, value, (*parts[0].shape[:2], n))
