"""SpikeTrace: the exponential trace that a spike leaves at its synapse."""

from __future__ import annotations

import math

from torch import Tensor, nn

from spikefuse.kernels.traces import trace_scan
from spikefuse.spikes import SpikeBatch


class SpikeTrace(nn.Module):
    r"""Exponential trace of spikes with decay :math:`e^{-dt / \tau}`: see `trace_scan`.

    Parameters
    ----------
    tau_ms, dt_ms : float
        Time constant and step length in milliseconds.

    Raises
    ------
    ValueError
        If one of them is not positive.
    """

    batch_dim = 1

    def __init__(self, tau_ms: float, dt_ms: float) -> None:
        super().__init__()
        for name, value in (("tau_ms", tau_ms), ("dt_ms", dt_ms)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self.beta = math.exp(-dt_ms / tau_ms)

    def forward(
        self, spikes: Tensor | SpikeBatch, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes ``[T, B, N]`` and trace ``[B, N]`` to traces ``[T, B, N]`` and the last one."""
        return trace_scan(spikes, self.beta, state)
