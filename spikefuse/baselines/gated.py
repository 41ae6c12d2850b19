"""Gated multimodal units: each fused unit decides whom to believe."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.baselines.arithmetic import Gating
from spikefuse.baselines.operator import WindowOperator


class DenseGated(WindowOperator):
    r"""Gated multimodal units with gates that add up to 1 in every unit.

    .. math:: h^m = \tanh(W^m x^m + b^m), \quad
              z = \text{softmax}_m (U^m [x^1, \dots, x^M] + c^m), \quad s = \sum_m z^m h^m

    For two modalities the softmax is a sigmoid of the difference, which is the bimodal unit of the
    source.

    Parameters
    ----------
    n_in, n_out, dropout
        As of `DenseOperator`.

    References
    ----------
    Arevalo et al., "Gated multimodal units for information fusion", arXiv:1702.01992, 2017.
    """

    def __init__(self, n_in: Mapping[str, int], n_out: int, *, dropout: float = 0.0) -> None:
        super().__init__(n_in, n_out, dropout=dropout)
        total = sum(self.n_in.values())
        self.hidden = nn.ModuleDict({name: nn.Linear(n, n_out) for name, n in self.n_in.items()})
        self.gate = nn.Linear(total, n_out * len(self.n_in))
        self.gating = Gating()

    def gates(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weight of each modality in every unit, ``{name: [B, n_out]}`` (they add up to 1)."""
        shares = torch.softmax(self._logits(features), dim=0)
        return dict(zip(self.modalities, shares, strict=True))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features ``{modality: [B, n]}`` to fused features ``[B, n_out]``."""
        hidden = torch.stack([self.hidden[name](features[name]) for name in self.modalities])
        fused: Tensor = self.dropout(self.gating(hidden, self._logits(features)))
        return fused

    def _logits(self, features: Mapping[str, Tensor]) -> Tensor:
        """Gates before their softmax, ``[M, B, n_out]``."""
        joined = torch.cat([features[name] for name in self.modalities], dim=1)
        logits: Tensor = self.gate(joined)
        return logits.reshape(-1, len(self.modalities), self.n_out).transpose(0, 1)
