"""Surrogate gradients of the spike function: exact step forward, smooth slope backward."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

SurrogateName = Literal["fast_sigmoid", "triangle", "arctan"]
# The order is the code that kernels are given.
NAMES: tuple[str, ...] = get_args(SurrogateName)


@dataclass(frozen=True)
class Surrogate:
    r"""What stands for the derivative of the step :math:`s = [u > 0]` in a backward pass.

    .. math:: \text{fast\_sigmoid: } \frac{1}{(1 + k |u|)^2}, \quad
              \text{triangle: } \max(0, 1 - k |u|), \quad
              \text{arctan: } \frac{k / 2}{1 + (\pi k u / 2)^2}

    Parameters
    ----------
    name : "fast_sigmoid", "triangle" or "arctan"
        The triangle is zero for ``|u| >= 1 / k``: neurons far from threshold pass no gradient.
    slope : float
        ``k`` above; larger is steeper.

    Raises
    ------
    ValueError
        If the name is unknown or the slope is not positive.

    References
    ----------
    Zenke and Ganguli, "SuperSpike: supervised learning in multilayer spiking neural networks",
    Neural Computation 30(6), 2018, doi:10.1162/neco_a_01086 (fast sigmoid). Bellec et al., "Long
    short-term memory and learning-to-learn in networks of spiking neurons", NeurIPS 2018
    (triangle). Fang et al., "Incorporating learnable membrane time constant to enhance learning of
    spiking neural networks", ICCV 2021 (arctan).
    """

    name: SurrogateName = "fast_sigmoid"
    slope: float = 10.0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"surrogate must be one of {list(NAMES)}, got {self.name!r}")
        if not 0 < self.slope < math.inf:
            raise ValueError(f"slope must be positive and finite, got {self.slope}")

    @property
    def half_width(self) -> float:
        """Distance from threshold beyond which the slope is exactly 0."""
        return 1.0 / self.slope if self.name == "triangle" else math.inf

    def derivative(self, distance: Tensor) -> Tensor:
        """The slope at ``distance`` (membrane minus threshold), of any shape."""
        if self.name == "fast_sigmoid":
            return 1.0 / (1.0 + self.slope * distance.abs()) ** 2
        if self.name == "triangle":
            return (1.0 - self.slope * distance.abs()).clamp(min=0.0)
        return 0.5 * self.slope / (1.0 + (0.5 * math.pi * self.slope * distance) ** 2)


FAST_SIGMOID = Surrogate()


class _Spike(torch.autograd.Function):
    """Heaviside step forward; slope of a surrogate backward."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(distance)
        ctx.surrogate = surrogate
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (distance,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.derivative(distance), None


def spike(distance: Tensor, surrogate: Surrogate | float = 10.0) -> Tensor:
    """Spike where ``distance`` (membrane minus threshold) is above 0.

    Parameters
    ----------
    distance : Tensor of any shape
    surrogate : Surrogate or float
        A number is the slope of a fast sigmoid.
    """
    chosen = surrogate if isinstance(surrogate, Surrogate) else Surrogate(slope=surrogate)
    spikes: Tensor = _Spike.apply(distance, chosen)  # type: ignore[no-untyped-call]
    return spikes
