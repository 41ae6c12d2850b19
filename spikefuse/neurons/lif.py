"""LIF: the spiking layer, with learnable time constants and explicit state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikefuse.kernels.neurons import Reset, active_updates, lif_scan


@dataclass(frozen=True)
class LIFParams:
    """Parameters of a LIF layer.

    Parameters
    ----------
    tau_mem_ms : float
        Initial membrane time constant.
    tau_spread : float
        Time constants start log-uniform in ``[tau_mem_ms / spread, tau_mem_ms * spread]``; 1 gives
        all neurons the same.
    threshold : float
    reset : "zero" or "subtract"
    learn_tau : bool
        Whether each neuron's decay is trained.
    slope : float
        Steepness of the surrogate gradient.
    """

    tau_mem_ms: float = 20.0
    tau_spread: float = 3.0
    threshold: float = 1.0
    reset: Reset = "subtract"
    learn_tau: bool = True
    slope: float = 3.0


class LIF(nn.Module):
    """A layer of ``n`` leaky integrate-and-fire neurons (see `lif_scan` for the equation).

    Parameters
    ----------
    n : int
        Number of neurons, or of channels when a time constant is shared over a feature map.
    params : LIFParams
    dt_ms : float
        Step length.
    share : int
        Each of the ``n`` time constants serves this many consecutive neurons.
    """

    batch_dim = 1

    def __init__(self, n: int, params: LIFParams, dt_ms: float, share: int = 1) -> None:
        super().__init__()
        self.params, self.dt_ms, self.share = params, dt_ms, share
        spread = math.log(params.tau_spread)
        tau_ms = params.tau_mem_ms * torch.exp((2 * torch.rand(n) - 1) * spread)
        beta = torch.exp(-dt_ms / tau_ms)
        # The decay is trained as a logit, so that it stays between 0 and 1.
        self.beta_logit = nn.Parameter(torch.logit(beta), requires_grad=params.learn_tau)

    def beta(self) -> Tensor:
        """Decay per step of each neuron, [n * share]."""
        beta = torch.sigmoid(self.beta_logit)
        return beta.repeat_interleave(self.share) if self.share > 1 else beta

    def forward(self, current: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Current ``[T, B, N]`` and membrane ``[B, N]`` (None = rest) to spikes and membrane."""
        p = self.params
        return lif_scan(current, self.beta(), p.threshold, reset=p.reset, v0=state, slope=p.slope)

    def count_active(self, current: Tensor) -> int:
        """Neuron-steps of this run whose state or input is non-zero."""
        return active_updates(current, self.beta(), self.params.threshold, self.params.reset)
