"""Surrogate gradients of the spike function: exact step forward, smooth slope backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class FastSigmoidSpike(torch.autograd.Function):
    """Heaviside step forward; slope of a fast sigmoid backward.

    ``s = [u > 0]`` and ``ds/du := 1 / (1 + k |u|)^2``.

    References
    ----------
    Zenke and Ganguli, "SuperSpike: supervised learning in multilayer spiking neural networks",
    Neural Computation 30(6), 2018, doi:10.1162/neco_a_01086.
    """

    @staticmethod
    def forward(ctx: Any, distance: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(distance)
        ctx.slope = slope
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (distance,) = ctx.saved_tensors
        return grads[0] / (1.0 + ctx.slope * distance.abs()) ** 2, None


def spike(distance: Tensor, slope: float = 10.0) -> Tensor:
    """Spike where ``distance`` (membrane minus threshold) is above 0, fast-sigmoid surrogate.

    Parameters
    ----------
    distance : Tensor of any shape
    slope : float
        ``k`` above; larger is steeper.
    """
    spikes: Tensor = FastSigmoidSpike.apply(distance, slope)  # type: ignore[no-untyped-call]
    return spikes
