"""Readouts of single encoders, for training alone: what each modality knows by itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.neurons import LIReadout
from spikefuse.synapses import EventLinear


class UnimodalHeads(nn.Module):
    r"""A leaky readout per modality, behind its encoder and beside the fusion.

    .. math:: z^m = \frac{1}{T} \sum_t \text{LI}(S^m W^m)_t

    A model does not contain them: they are neither counted nor run at inference.

    Parameters
    ----------
    n_in : mapping of modality to the neurons of its encoder
    n_classes : int
    readout_tau_ms, dt_ms : float

    Raises
    ------
    ValueError
        If there is no encoder.
    """

    def __init__(
        self, n_in: Mapping[str, int], n_classes: int, readout_tau_ms: float, dt_ms: float
    ) -> None:
        super().__init__()
        if not n_in:
            raise ValueError("n_in must name at least one encoder, got none")
        self.synapses = nn.ModuleDict({k: EventLinear(n, n_classes) for k, n in n_in.items()})
        self.readouts = nn.ModuleDict(
            {k: LIReadout(n_classes, readout_tau_ms, dt_ms) for k in n_in}
        )

    def forward(self, encoded: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Encoders' spikes ``{modality: [T, B, n]}`` to evidence ``{modality: [B, n_classes]}``."""
        return {
            name: self.readouts[name](synapse(encoded[name]))[0].mean(0)
            for name, synapse in self.synapses.items()
        }


def unimodal_loss(scores: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    """Mean over modalities of the cross-entropy of their evidence ``[B, C]``, a scalar."""
    losses = [torch.nn.functional.cross_entropy(z, labels) for z in scores.values()]
    return torch.stack(losses).mean()
