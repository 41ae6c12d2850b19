"""CubaLIF: LIF neurons behind a decaying synaptic current."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikefuse.kernels.activity import active_states
from spikefuse.kernels.scans import Reset
from spikefuse.kernels.synaptic import cuba_lif_scan
from spikefuse.neurons.decays import recurrent_weight, spread_logit
from spikefuse.surrogate import Surrogate, SurrogateName


@dataclass(frozen=True)
class CubaLIFParams:
    """Parameters of a CubaLIF layer.

    Parameters
    ----------
    tau_mem_ms, tau_syn_ms : float
        Initial time constants of membrane and synaptic current.
    tau_spread : float
        Both start log-uniform within this factor; 1 gives all neurons the same.
    threshold : float
    reset : "zero" or "subtract"
    learn_tau : bool
        Whether each neuron's decays are trained.
    slope : float
        Steepness of the surrogate gradient.
    surrogate : "fast_sigmoid", "triangle" or "arctan"
    detach_reset : bool
        Whether the spike that resets is a constant in the backward pass (see `lif_scan`).
    """

    tau_mem_ms: float = 20.0
    tau_syn_ms: float = 5.0
    tau_spread: float = 1.0
    threshold: float = 1.0
    reset: Reset = "subtract"
    learn_tau: bool = True
    slope: float = 3.0
    surrogate: SurrogateName = "fast_sigmoid"
    detach_reset: bool = False


class CubaState(NamedTuple):
    """Synaptic current, membrane and last spikes of a CubaLIF layer, each ``[B, N]``.

    The spikes are None in a layer without recurrence.
    """

    i: Tensor
    v: Tensor
    s: Tensor | None = None


class CubaLIF(nn.Module):
    """A layer of ``n`` neurons with synaptic current (see `cuba_lif_scan` for the equation).

    Parameters
    ----------
    n : int
    params : CubaLIFParams
    dt_ms : float
        Step length.
    recurrent : bool
        Whether the neurons drive each other, one step later, through ``recurrent_weight``.
    recurrent_gain : float
        Initial scale of those weights.
    """

    batch_dim = 1

    def __init__(
        self,
        n: int,
        params: CubaLIFParams,
        dt_ms: float,
        recurrent: bool = False,
        recurrent_gain: float = 0.5,
    ) -> None:
        super().__init__()
        self.params, self.dt_ms = params, dt_ms
        beta = spread_logit(n, params.tau_mem_ms, params.tau_spread, dt_ms)
        alpha = spread_logit(n, params.tau_syn_ms, params.tau_spread, dt_ms)
        self.beta_logit = nn.Parameter(beta, requires_grad=params.learn_tau)
        self.alpha_logit = nn.Parameter(alpha, requires_grad=params.learn_tau)
        self.recurrent_weight = recurrent_weight(n, recurrent_gain) if recurrent else None

    def alpha(self) -> Tensor:
        """Decay per step of each synaptic current, [n]."""
        return torch.sigmoid(self.alpha_logit)

    def beta(self) -> Tensor:
        """Decay per step of each membrane, [n]."""
        return torch.sigmoid(self.beta_logit)

    def forward(self, current: Tensor, state: CubaState | None = None) -> tuple[Tensor, CubaState]:
        """Current ``[T, B, N]`` and state (None = rest) to spikes and new state."""
        p = self.params
        i0, v0, s0 = (None, None, None) if state is None else state
        spikes, (i, v) = cuba_lif_scan(
            current,
            self.alpha(),
            self.beta(),
            p.threshold,
            reset=p.reset,
            recurrent=self.recurrent_weight,
            i0=i0,
            v0=v0,
            s0=s0,
            surrogate=Surrogate(p.surrogate, p.slope),
            detach_reset=p.detach_reset,
        )
        last = None if self.recurrent_weight is None else spikes[-1].clone()
        return spikes, CubaState(i, v, last)

    def count_active(self, current: Tensor) -> int:
        """Neuron-steps of this run whose state or input is non-zero.

        Raises
        ------
        ValueError
            For a recurrent layer: its synapses would be missing from the count.
        """
        if self.recurrent_weight is not None:
            raise ValueError("recurrent layers have no counting rule, got a recurrent CubaLIF")
        p = self.params
        return active_states(
            current, self.alpha(), self.beta(), p.threshold, 0.0, 0.0, reset=p.reset
        )
