"""ALIF: LIF neurons whose threshold adapts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikefuse.kernels.activity import active_states
from spikefuse.kernels.adaptive import alif_scan
from spikefuse.kernels.scans import Reset
from spikefuse.neurons.decays import recurrent_weight, spread_logit
from spikefuse.surrogate import Surrogate, SurrogateName


@dataclass(frozen=True)
class ALIFParams:
    """Parameters of an ALIF layer.

    Parameters
    ----------
    tau_mem_ms, tau_adapt_ms : float
        Initial time constants of membrane and adaptation.
    tau_spread : float
        Both start log-uniform within this factor; 1 gives all neurons the same.
    threshold : float
        Baseline.
    kappa : float
        How much one spike raises the threshold.
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
    tau_adapt_ms: float = 200.0
    tau_spread: float = 1.0
    threshold: float = 1.0
    kappa: float = 0.2
    reset: Reset = "subtract"
    learn_tau: bool = True
    slope: float = 3.0
    surrogate: SurrogateName = "fast_sigmoid"
    detach_reset: bool = False


class ALIFState(NamedTuple):
    """Membrane, adaptation and last spikes of an ALIF layer, each ``[B, N]``.

    The spikes are None in a layer without recurrence.
    """

    v: Tensor
    a: Tensor
    s: Tensor | None = None


class ALIF(nn.Module):
    """A layer of ``n`` neurons with adaptive threshold (see `alif_scan` for the equation).

    Parameters
    ----------
    n : int
    params : ALIFParams
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
        params: ALIFParams,
        dt_ms: float,
        recurrent: bool = False,
        recurrent_gain: float = 0.5,
    ) -> None:
        super().__init__()
        self.params, self.dt_ms = params, dt_ms
        beta = spread_logit(n, params.tau_mem_ms, params.tau_spread, dt_ms)
        rho = spread_logit(n, params.tau_adapt_ms, params.tau_spread, dt_ms)
        self.beta_logit = nn.Parameter(beta, requires_grad=params.learn_tau)
        self.rho_logit = nn.Parameter(rho, requires_grad=params.learn_tau)
        self.recurrent_weight = recurrent_weight(n, recurrent_gain) if recurrent else None

    def beta(self) -> Tensor:
        """Decay per step of each membrane, [n]."""
        return torch.sigmoid(self.beta_logit)

    def rho(self) -> Tensor:
        """Decay per step of each adaptation, [n]."""
        return torch.sigmoid(self.rho_logit)

    def forward(self, current: Tensor, state: ALIFState | None = None) -> tuple[Tensor, ALIFState]:
        """Current ``[T, B, N]`` and state (None = rest) to spikes and new state."""
        p = self.params
        v0, a0, s0 = (None, None, None) if state is None else state
        spikes, (v, a) = alif_scan(
            current,
            self.beta(),
            p.threshold,
            self.rho(),
            p.kappa,
            reset=p.reset,
            recurrent=self.recurrent_weight,
            v0=v0,
            a0=a0,
            s0=s0,
            surrogate=Surrogate(p.surrogate, p.slope),
            detach_reset=p.detach_reset,
        )
        last = None if self.recurrent_weight is None else spikes[-1].clone()
        return spikes, ALIFState(v, a, last)

    def count_active(self, current: Tensor) -> int:
        """Neuron-steps of this run whose state or input is non-zero.

        Raises
        ------
        ValueError
            For a recurrent layer: its synapses would be missing from the count.
        """
        if self.recurrent_weight is not None:
            raise ValueError("recurrent layers have no counting rule, got a recurrent ALIF")
        p = self.params
        return active_states(
            current, 0.0, self.beta(), p.threshold, p.kappa, self.rho(), reset=p.reset
        )
