"""Dense cross-modal residual: what the other modalities say is added to each one's features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.baselines.arithmetic import Add
from spikefuse.baselines.operator import WindowOperator, checked_width


class DenseResidual(WindowOperator):
    r"""Each modality's features with a residual branch from all the others.

    .. math:: H^m = \text{ReLU}(W^m x^m), \quad
              A^m = \text{ReLU}(X^m [H^k]_{k \ne m}), \quad
              s = \text{ReLU}(V [A^m + H^m]_m)

    Parameters
    ----------
    n_in, n_out, dropout
        As of `DenseOperator`.
    width : int
        Units per modality in front of the join; ``n_out`` by default.
    """

    def __init__(
        self, n_in: Mapping[str, int], n_out: int, *, dropout: float = 0.0, width: int | None = None
    ) -> None:
        super().__init__(n_in, n_out, dropout=dropout)
        width = checked_width(width, n_out)
        names, others = self.modalities, len(self.n_in) - 1
        self.own = nn.ModuleDict({name: nn.Linear(n, width) for name, n in self.n_in.items()})
        self.cross = nn.ModuleDict(
            {f"to_{name}": nn.Linear(others * width, width) for name in names if others}
        )
        self.joins = nn.ModuleDict({name: Add() for name in self.cross})
        self.join = nn.Linear(len(names) * width, n_out)
        self.activation = nn.ReLU()

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features ``{modality: [B, n]}`` to fused features ``[B, n_out]``."""
        own = {name: self.activation(layer(features[name])) for name, layer in self.own.items()}
        joined = dict(own)
        for target, layer in self.cross.items():
            name = target.removeprefix("to_")
            others = torch.cat([x for other, x in own.items() if other != name], dim=1)
            joined[name] = self.joins[target](self.activation(layer(others)), own[name])
        side_by_side = torch.cat([joined[name] for name in self.modalities], dim=1)
        fused: Tensor = self.dropout(self.activation(self.join(side_by_side)))
        return fused
