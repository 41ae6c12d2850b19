"""What converters share: the result, and layers made from given decays."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikefuse.neurons import LIF, CubaLIF, CubaLIFParams, LIFParams


class Converted(NamedTuple):
    """A converted layer, and what its input must be multiplied by to give the same spikes.

    ``gain`` is a scalar or ``[N]``; fold it into the columns of the weights in front.
    """

    layer: nn.Module
    gain: Tensor


def one_number(name: str, value: Any) -> float:
    """A threshold that all neurons share."""
    values = set(torch.as_tensor(value).detach().double().flatten().tolist())
    if len(values) != 1:
        raise ValueError(f"{name} must be one number for all neurons, got {len(values)} values")
    return float(values.pop())


def decays(name: str, value: Any, n: int) -> Tensor:
    """Decays ``[n]`` in float64 from a number or one per neuron."""
    beta = torch.as_tensor(value).detach().double().flatten()
    if beta.numel() not in (1, n):
        raise ValueError(f"{name} must be a number or [{n}], got shape {tuple(beta.shape)}")
    if not bool(((beta > 0) & (beta < 1)).all()):
        raise ValueError(f"{name} must lie between 0 and 1, got {beta.tolist()}")
    return beta.expand(n)


def tau_ms(beta: Tensor, dt_ms: float) -> float:
    """The time constant of the mean decay."""
    return -dt_ms / math.log(float(beta.mean()))


def lif_layer(beta: Tensor, params: LIFParams, dt_ms: float) -> LIF:
    """A LIF layer with the given decays."""
    layer = LIF(len(beta), params, dt_ms)
    layer.beta_logit.data.copy_(torch.logit(beta))
    return layer


def cuba_layer(alpha: Tensor, beta: Tensor, params: CubaLIFParams, dt_ms: float) -> CubaLIF:
    """A CubaLIF layer with the given decays.

    Parameters
    ----------
    alpha, beta : Tensor[n]
        Decays of current and membrane per step.
    params : CubaLIFParams
    dt_ms : float
    """
    layer = CubaLIF(len(beta), params, dt_ms)
    layer.alpha_logit.data.copy_(torch.logit(alpha))
    layer.beta_logit.data.copy_(torch.logit(beta))
    return layer


def without_recurrence(layer: LIF | CubaLIF, library: str) -> None:
    """Refuse a recurrent layer."""
    if layer.recurrent_weight is not None:
        raise ValueError(
            f"layer must be without recurrence, got recurrent weights: convert them to {library} "
            "by hand, as a linear map from the spikes of the step before"
        )
