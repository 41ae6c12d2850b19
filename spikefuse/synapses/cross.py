"""CrossSynapses: sparse synapses whose conduction delays are learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikefuse.kernels.cross import cross_currents
from spikefuse.kernels.fan import Fan
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses.annealing import DELAY_UNIT_MS, AnnealedDelays, annealed

Groups = Literal["edge", "target", "source", "all"]

# The widest Gaussian needs room beyond the longest delay, or its mean could not get there.
_ROOM = 0.25
_LEAST_ROOM_STEPS = 2
# Taps this many widths away from the delay weigh under 1e-3 of the nearest one.
_REACH = 4.0
_LEAST_SIGMA = 0.5
# Share of training after which the forward pass takes whole delays.
_WHOLE = 0.9


def gaussian_taps(delay: Tensor, sigma: float, span: int) -> tuple[Tensor, Tensor]:
    r"""A delay in steps, spread over whole lags around it, so that it has a gradient.

    .. math:: K_k \propto \exp\left(-\tfrac12 \left(\frac{k - d}{\sigma}\right)^2\right), \quad
              \sum_k K_k = 1

    Parameters
    ----------
    delay : Tensor[G]
        In ``[0, span]``.
    sigma : float
        Width in steps.
    span : int
        Last lag.

    Returns
    -------
    taps : Tensor[G, K]
        Of unit sum, cut at four widths.
    first : int32 Tensor[G]
        Lag of the first tap.
    """
    n_taps = min(span + 1, 2 * int(_REACH * sigma + 1) + 1)
    centre = delay.detach().round() - n_taps // 2
    first = centre.clamp(0, span + 1 - n_taps)
    lag = first[:, None] + torch.arange(n_taps, dtype=delay.dtype, device=delay.device)
    taps = torch.softmax(-0.5 * ((lag - delay[:, None]) / sigma) ** 2, 1)
    return taps, first.to(torch.int32)


class CrossSynapses(AnnealedDelays):
    r"""Spikes of one population drive another through sparse synapses with learnable delays.

    .. math:: y_{t,j} = \sum_{i \to j} w_{ij} \sum_k K_k(d_{ij}, \sigma)\, s_{t-k,i}

    In training mode the delay is a Gaussian over whole lags, whose width :math:`\sigma` falls from
    wide to narrow (`set_anneal`). In the last tenth of training the forward pass takes the
    nearest whole number of steps and only the gradient the Gaussian. In evaluation mode delays are
    whole, and an event costs its fan-out.

    Parameters
    ----------
    n_in, n_out : int
    dt_ms : float
    delay_max_ms : float
        Delays stay in ``[0, delay_max_ms]``.
    start_ms : float, optional
        They start uniform in ``[0, start_ms]``; ``delay_max_ms`` by default.
    fan_in : int, optional
        Different inputs that each neuron hears; all of them by default.
    groups : "edge", "target", "source" or "all"
        What shares a delay: no two edges, those of a postsynaptic or of a presynaptic neuron, all.
    learn_delays : bool
        Whether delays are trained; else they keep their initial values.
    sigma_ms : (float, float)
        Width at the start and at the end of training.
    gain : float
        Standard deviation of the initial weights is ``gain / sqrt(fan_in)``.
    fan : Fan, optional
        The edges, instead of a random choice.
    gated : bool
        Whether all weights are multiplied by tanh of a trained ``gate`` that starts at 0: a new
        layer adds nothing to what it is put beside, until training opens it.

    Raises
    ------
    ValueError
        If a number is out of its range or the fan does not fit.

    Notes
    -----
    The parameter ``delay`` is in units of `DELAY_UNIT_MS`, so that one learning rate serves weights
    and delays: with Adam, whose steps do not depend on scale, 0.02 is 1 ms a step. Weight decay
    would pull delays to 0.

    References
    ----------
    Hammouamri et al., ICLR 2024, arXiv:2306.17670 (Gaussian of falling width, within one layer).
    Alayrac et al., Flamingo, NeurIPS 2022, arXiv:2204.14198 (tanh gates from 0; there on
    cross-attention between frozen networks).
    """

    batch_dim = 1
    group: Tensor
    delay: Tensor

    def __init__(
        self,
        n_in: int,
        n_out: int,
        dt_ms: float,
        *,
        delay_max_ms: float = 64.0,
        start_ms: float | None = None,
        fan_in: int | None = None,
        groups: Groups = "edge",
        learn_delays: bool = True,
        sigma_ms: tuple[float, float] = (50.0, 0.5),
        gain: float = 1.0,
        fan: Fan | None = None,
        gated: bool = False,
    ) -> None:
        if not delay_max_ms >= 0 or not dt_ms > 0:
            raise ValueError(
                f"delay_max_ms must be >= 0 and dt_ms positive, got {delay_max_ms} and {dt_ms}"
            )
        widest = delay_max_ms if start_ms is None else start_ms
        if not 0 <= widest <= delay_max_ms:
            raise ValueError(f"start_ms must lie in [0, {delay_max_ms}], got {start_ms}")
        if not min(sigma_ms) > 0:
            raise ValueError(f"sigma_ms must be two positive widths, got {sigma_ms}")
        edges = Fan.random(n_in, n_out, n_in if fan_in is None else fan_in) if fan is None else fan
        if (edges.n_in, edges.n_out) != (n_in, n_out):
            raise ValueError(
                f"fan must join {n_in} to {n_out} neurons, got {edges.n_in} to {edges.n_out}"
            )
        super().__init__(edges, dt_ms, delay_max_ms)
        self.n_in, self.n_out, self.sigma_ms = n_in, n_out, sigma_ms
        group, n_groups = _grouped(edges, groups)
        self.register_buffer("group", group)
        heard = max(1.0, edges.n_edges / max(n_out, 1))
        self.weight = nn.Parameter(torch.randn(edges.n_edges) * (gain / heard**0.5))
        start = torch.rand(n_groups) * (widest / DELAY_UNIT_MS)
        self.delay = nn.Parameter(start, requires_grad=learn_delays)
        self.gate = nn.Parameter(torch.zeros(())) if gated else None

    @property
    def longest(self) -> int:
        """Longest delay in steps."""
        return round(self.delay_max_ms / self.dt_ms)

    @property
    def span(self) -> int:
        """Steps of pending currents: the longest delay and room for the Gaussian's tail."""
        return self.longest + max(_LEAST_ROOM_STEPS, round(_ROOM * self.longest))

    def strength(self) -> Tensor:
        """Weights as they act, [E]: times the gate, if there is one (at inference it folds in)."""
        return self.weight if self.gate is None else self.weight * torch.tanh(self.gate)

    def sigma_steps(self) -> float:
        """Width of the Gaussian now, in steps; under half a step a delay would have no gradient."""
        return max(_LEAST_SIGMA, annealed(float(self.anneal), *self.sigma_ms) / self.dt_ms)

    def forward(
        self,
        spikes: Tensor | SpikeBatch,
        pending: Tensor | None = None,
        events: SpikeBatch | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Spikes ``[T, B, n_in]`` to currents ``[T, B, n_out]`` and those still under way.

        Parameters
        ----------
        spikes : Tensor or SpikeBatch, (T, B, n_in)
            Only a dense tensor carries a gradient.
        pending : Tensor[span, B, n_out], optional
            Currents of the chunk before that arrive during this one; none by default.
        events : SpikeBatch, optional
            The non-zero cells of a dense ``spikes``.
        """
        taps, first = self.taps() if self.training else self.rounded()
        return cross_currents(spikes, taps, first, self.fan, self.span, pending, events=events)

    def taps(self) -> tuple[Tensor, Tensor]:
        """Training: the spread delay times the weight, [E, K], and its first lag, int32 [E]."""
        steps = self.delay_steps()
        taps, first = gaussian_taps(steps, self.sigma_steps(), self.span)
        if float(self.anneal) > _WHOLE - 1e-6:  # a buffer of float32
            # Half a step of blur is more than weights tuned on it bear to lose at inference.
            whole = F.one_hot(steps.detach().round().long() - first.long(), taps.shape[1])
            taps = whole.to(taps.dtype) + (taps - taps.detach())
        return self.strength()[:, None] * taps[self.group], first[self.group]

    def rounded(self) -> tuple[Tensor, Tensor]:
        """Inference: the weight at a whole number of steps, [E, 1], and that number, int32 [E]."""
        steps = (self.delays_ms() / self.dt_ms).round().to(torch.int32)
        return self.strength()[:, None], steps[self.group]


def _grouped(fan: Fan, groups: str) -> tuple[Tensor, int]:
    """Group of every edge, int64 [E], and their number."""
    makers: dict[str, Callable[[], tuple[Tensor, int]]] = {
        "edge": lambda: (torch.arange(fan.n_edges), fan.n_edges),
        "target": lambda: (fan.target.long(), fan.n_out),
        "source": lambda: (fan.source(), fan.n_in),
        "all": lambda: (torch.zeros(fan.n_edges, dtype=torch.int64), 1),
    }
    if groups not in makers:
        raise ValueError(f"groups must be one of {list(makers)}, got {groups!r}")
    return makers[groups]()
