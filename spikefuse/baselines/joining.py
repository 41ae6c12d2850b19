"""Dense concatenation: after the encoders, or of the frames themselves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.baselines.operator import Reads, WindowOperator


class DenseConcat(WindowOperator):
    r"""Intermediate fusion: :math:`s = \text{ReLU}(W [x^1, \dots, x^M] + b)`.

    A sum of currents, one matrix per modality, is the same function.

    Parameters
    ----------
    n_in, n_out, dropout
        As of `DenseOperator`.
    """

    def __init__(self, n_in: Mapping[str, int], n_out: int, *, dropout: float = 0.0) -> None:
        super().__init__(n_in, n_out, dropout=dropout)
        self.join = nn.Linear(sum(self.n_in.values()), n_out)
        self.activation = nn.ReLU()

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features ``{modality: [B, n]}`` to fused features ``[B, n_out]``."""
        joined = torch.cat([features[name] for name in self.modalities], dim=1)
        fused: Tensor = self.dropout(self.activation(self.join(joined)))
        return fused


class DenseEarly(DenseConcat):
    """The equation of `DenseConcat` on the frames themselves, with no encoder before it."""

    reads: Reads = "inputs"
