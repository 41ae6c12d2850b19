"""EventLinear: all-to-all synapses driven by spikes, without bias (no event, no work)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikefuse.kernels.products import event_matmul
from spikefuse.spikes import SpikeBatch


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

    def forward(
        self,
        spikes: Tensor | SpikeBatch,
        events: SpikeBatch | None = None,
        active: SpikeBatch | None = None,
    ) -> Tensor:
        """Spikes ``[T, B, n_in]`` to currents ``[T, B, n_out]``.

        Parameters
        ----------
        spikes : Tensor or SpikeBatch, (T, B, n_in)
            Only a dense tensor passes a gradient on to the layer before.
        events, active : SpikeBatch, optional
            The non-zero cells of a dense ``spikes``, and the cells that need a gradient: see
            `event_matmul`.
        """
        return event_matmul(spikes, self.weight, events=events, active=active)
