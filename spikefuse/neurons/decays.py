"""Decays as trainable logits, so that they stay between 0 and 1, and recurrent weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def spread_logit(n: int, tau_ms: float, spread: float, dt_ms: float) -> Tensor:
    """Logits of ``n`` decays per step; time constants log-uniform around ``tau_ms``.

    Parameters
    ----------
    n : int
    tau_ms : float
    spread : float
        They lie in ``[tau_ms / spread, tau_ms * spread]``.
    dt_ms : float
    """
    taus = tau_ms * torch.exp((2 * torch.rand(n) - 1) * math.log(spread))
    return torch.logit(torch.exp(-dt_ms / taus))


def recurrent_weight(n: int, gain: float) -> nn.Parameter:
    """Normal weights ``[n, n]`` of standard deviation ``gain / sqrt(n)``, no self-connection."""
    weight = torch.randn(n, n) * (gain / math.sqrt(n))
    return nn.Parameter(weight.fill_diagonal_(0.0))
