"""How sure a population is, from the spread of its own spikes: a causal running statistic."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.cost.messages import messages_of
from spikefuse.kernels.products import event_matmul
from spikefuse.kernels.traces import trace_scan
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch

# Multiplications and divisions of one evaluation: mean, sum of squares (2), degrees of freedom,
# variance, share of the data (2), precision.
_EVALUATION = 8
_MOMENTS = 4
_TINY = 1e-12


class Dispersion(nn.Module):
    r"""Precision (inverse variance) of the coordinates at which a modality has been spiking.

    Address i stands at :math:`c_i` (at first evenly spaced in [-1, 1]: a place code). Traces with
    decay :math:`\beta` keep :math:`n = \sum w`, :math:`\sum w c`, :math:`\sum w c^2` and
    :math:`q = \sum w^2` over past spikes, of age-weighted :math:`w`. With
    :math:`\nu = n - q / n` degrees of freedom and the unbiased variance
    :math:`\hat\sigma^2 = \sum w (c - \bar c)^2 / \nu`,

    .. math:: \pi = \frac{\nu}{\nu + \kappa} \frac{1}{\hat\sigma^2} +
              \frac{\kappa}{\nu + \kappa} \frac{1}{\sigma_0^2}

    where :math:`\sigma_0^2` is the variance of all addresses: what a silent or purely noisy
    population is worth. A spike at a random address raises the variance by more than it adds to
    :math:`\nu`, in expectation, so precision falls with background noise.

    With ``above_noise`` the first factor is
    :math:`\max(1 / \hat\sigma^2 - 1 / \sigma_0^2, 0)`. Let a share :math:`\varphi` of n spikes
    stand at random addresses and the others spread by :math:`\sigma`: the variance is
    :math:`\hat\sigma^2 = (1 - \varphi) \sigma^2 + \varphi \sigma_0^2`, and n spikes weigh
    :math:`n (1 - \varphi) (1 - \sigma^2 / \sigma_0^2) / \hat\sigma^2`, which random spikes only
    make less, however many they are. Without it their number wins in the end.

    Parameters
    ----------
    n : int
        Addresses.
    tau_ms, dt_ms : float
        Memory of the statistic, and step.
    prior_weight : float
        :math:`\kappa`, in spikes.
    learn_coordinates : bool
        Whether the :math:`c_i` are trained; for addresses that are no place code.
    above_noise : bool
        Whether spikes count only by what they tell beyond random addresses.
    """

    batch_dim = 1

    def __init__(
        self,
        n: int,
        tau_ms: float,
        dt_ms: float,
        prior_weight: float = 1.0,
        learn_coordinates: bool = True,
        above_noise: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("tau_ms", tau_ms), ("prior_weight", prior_weight)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        place = torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1)
        self.coordinates = nn.Parameter(place, requires_grad=learn_coordinates)
        self.beta, self.prior_weight = math.exp(-dt_ms / tau_ms), prior_weight
        self.above_noise = above_noise

    def forward(
        self, spikes: Tensor | SpikeBatch, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Precision after each step.

        Parameters
        ----------
        spikes : Tensor or SpikeBatch, (T, B, n)
            They pass no gradient on: a population must not learn to look certain.
        state : Tensor[B, 4], optional
            The four moments.

        Returns
        -------
        precision : Tensor[T, B], state : Tensor[B, 4]
        """
        given = spikes if isinstance(spikes, SpikeBatch) else spikes.detach()
        c = self.coordinates
        columns = torch.stack([torch.ones_like(c), c, c * c, torch.ones_like(c)], dim=1)
        betas = [self.beta] * 3 + [self.beta**2]
        decay = torch.tensor(betas, dtype=c.dtype, device=c.device)
        moments, last = trace_scan(event_matmul(given, columns), decay, state)
        n, first, second, squares = moments.unbind(2)
        some = n.clamp(min=_TINY)
        freedom = (n - squares / some).clamp(min=0.0)
        spread = (second - first * first / some).clamp(min=0.0)
        widest = c.var(unbiased=False) if len(c) > 1 else c.new_ones(())
        # No variance is below that of an address as wide as its distance to the next.
        least = widest.detach() / len(c) ** 2
        variance = (spread / freedom.clamp(min=_TINY)).maximum(least)
        share = freedom / (freedom + self.prior_weight)
        told = 1.0 / variance
        if self.above_noise:
            told = (told - 1.0 / widest).clamp(min=0.0)
        return share * told + (1.0 - share) / widest, last

    def count_paths(
        self, args: tuple[Any, ...], output: tuple[Tensor, Tensor], modality: str
    ) -> dict[str, PathCounts]:
        """Four accumulates per spike; from the first spike on, an evaluation in every step."""
        spikes: Tensor | SpikeBatch = args[0]
        sent = messages_of(spikes)
        rows = spikes.shape[0] * spikes.shape[1]
        given = spikes if isinstance(spikes, Tensor) else spikes.to_dense()
        seen = given.ne(0).any(2).cumsum(0) > 0
        if len(args) > 1 and args[1] is not None:
            seen |= args[1].ne(0).any(1)
        active = int(seen.sum())
        return {
            "": PathCounts(
                effective_acs=_MOMENTS * sent.total,
                effective_macs=_EVALUATION * active,
                dense_macs=(_MOMENTS * spikes.shape[2] + _EVALUATION) * rows,
                neuron_updates_active=_MOMENTS * active,
                neuron_updates_idle=_MOMENTS * (rows - active),
                spikes_routed=sent.total,
                weight_reads=2 * sent.total,
                state_reads=_MOMENTS * rows,
                state_writes=_MOMENTS * rows,
                weight_words=2 * spikes.shape[2],
                state_words=_MOMENTS,
                modality=modality,
            )
        }
