"""LIReadout: leaky integrators that turn spikes into class evidence over time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from spikefuse.kernels.readout import li_scan


class LIReadout(nn.Module):
    """``n`` leaky integrators (see `li_scan`), one per class, with a learnable decay each.

    Parameters
    ----------
    n : int
    tau_ms : float
        Initial time constant.
    dt_ms : float
    gain : float
        Initial factor from input current to evidence (trained; folds into the input weights).
    """

    batch_dim = 1

    def __init__(self, n: int, tau_ms: float, dt_ms: float, gain: float = 10.0) -> None:
        super().__init__()
        beta = math.exp(-dt_ms / tau_ms)
        # Evidence must be able to grow beyond what a few spikes times small weights give.
        self.log_gain = nn.Parameter(torch.full((n,), math.log(gain)))
        self.beta_logit = nn.Parameter(torch.full((n,), math.log(beta / (1 - beta))))

    def forward(self, current: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Current ``[T, B, N]`` and state ``[B, N]`` to the trace ``[T, B, N]`` and new state."""
        return li_scan(current * self.log_gain.exp(), torch.sigmoid(self.beta_logit), state)

    def count_active(self, current: Tensor) -> int:
        """Neuron-steps whose state or input is non-zero: all from the first input on."""
        seen = (current != 0).cumsum(0) > 0
        return int(seen.sum())
