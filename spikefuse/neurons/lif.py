"""LIF: the spiking layer, with learnable time constants and explicit state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikefuse.kernels.neurons import Reset, active_updates, lif_scan
from spikefuse.kernels.recurrent import recurrent_lif_scan
from spikefuse.neurons.decays import recurrent_weight, spread_logit
from spikefuse.surrogate import Surrogate, SurrogateName


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
    surrogate : "fast_sigmoid", "triangle" or "arctan"
    detach_reset : bool
        Whether the spike that resets is a constant in the backward pass (see `lif_scan`).
    """

    tau_mem_ms: float = 20.0
    tau_spread: float = 3.0
    threshold: float = 1.0
    reset: Reset = "subtract"
    learn_tau: bool = True
    slope: float = 3.0
    surrogate: SurrogateName = "fast_sigmoid"
    detach_reset: bool = False


class RecurrentState(NamedTuple):
    """State of a recurrent LIF layer: membrane and last spikes, each ``[B, N]``."""

    v: Tensor
    s: Tensor


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
    recurrent : bool
        Whether the neurons drive each other, one step later, through ``recurrent_weight``.
    recurrent_gain : float
        Initial scale of those weights.
    """

    batch_dim = 1

    def __init__(
        self,
        n: int,
        params: LIFParams,
        dt_ms: float,
        share: int = 1,
        recurrent: bool = False,
        recurrent_gain: float = 0.5,
    ) -> None:
        super().__init__()
        self.params, self.dt_ms, self.share = params, dt_ms, share
        logit = spread_logit(n, params.tau_mem_ms, params.tau_spread, dt_ms)
        self.beta_logit = nn.Parameter(logit, requires_grad=params.learn_tau)
        self.recurrent_weight = recurrent_weight(n * share, recurrent_gain) if recurrent else None

    def beta(self) -> Tensor:
        """Decay per step of each neuron, [n * share]."""
        beta = torch.sigmoid(self.beta_logit)
        return beta.repeat_interleave(self.share) if self.share > 1 else beta

    def forward(self, current: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Current ``[T, B, N]`` and state (None = rest) to spikes and new state.

        The state is the membrane ``[B, N]``, or a `RecurrentState` of a recurrent layer.
        """
        p = self.params
        surrogate = Surrogate(p.surrogate, p.slope)
        if self.recurrent_weight is None:
            return lif_scan(
                current,
                self.beta(),
                p.threshold,
                reset=p.reset,
                v0=state,
                surrogate=surrogate,
                detach_reset=p.detach_reset,
            )
        v0, s0 = (None, None) if state is None else state
        spikes, v = recurrent_lif_scan(
            current,
            self.beta(),
            p.threshold,
            self.recurrent_weight,
            reset=p.reset,
            v0=v0,
            s0=s0,
            surrogate=surrogate,
            detach_reset=p.detach_reset,
        )
        return spikes, RecurrentState(v, spikes[-1].clone())

    def count_active(self, current: Tensor) -> int:
        """Neuron-steps of this run whose state or input is non-zero.

        Raises
        ------
        ValueError
            For a recurrent layer: its synapses would be missing from the count.
        """
        if self.recurrent_weight is not None:
            raise ValueError("recurrent layers have no counting rule, got a LIF with recurrence")
        return active_updates(current, self.beta(), self.params.threshold, self.params.reset)
