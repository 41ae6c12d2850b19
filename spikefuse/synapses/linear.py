"""EventLinear: all-to-all synapses driven by spikes, without bias (no event, no work)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EventLinear(nn.Module):
    """Weighted sum of incoming spikes: ``out[t, b] = spikes[t, b] @ weight``.

    The weight is stored input-major, ``[n_in, n_out]``, so that one event reads one row. There is
    no bias: a step without events adds nothing.

    Parameters
    ----------
    n_in, n_out : int
    gain : float
        Standard deviation of the initial weights is ``gain / sqrt(n_in)``.
    """

    batch_dim = 1

    def __init__(self, n_in: int, n_out: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_in, n_out) * (gain / n_in**0.5))

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes ``[T, B, n_in]`` to currents ``[T, B, n_out]``."""
        return spikes @ self.weight
