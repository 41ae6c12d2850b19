"""Delays that training finds: their unit, their bounds, and the schedule that sharpens them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikefuse.kernels.fan import Fan

# A step of the optimiser that moves a weight by 0.02 moves a delay by 1 ms.
DELAY_UNIT_MS = 50.0
# Share of training after which a width stays.
_NARROW = 0.75


def annealed(fraction: float, start: float, end: float, until: float = _NARROW) -> float:
    """Geometric from ``start`` at 0 to ``end`` at ``until``, and constant from there."""
    done = min(1.0, max(0.0, fraction) / until)
    return float(start * (end / start) ** done)


def held(parameter: Tensor, low: float | None, high: float) -> Tensor:
    """A parameter within its bounds, whose gradient passes them, so that it can return."""
    value = parameter.detach()
    return parameter + (value.clamp(min=low, max=high) - value)


class AnnealedDelays(nn.Module):
    """Edges with a learned delay per group, and how far training has sharpened them.

    Parameters
    ----------
    fan : Fan
        The edges.
    dt_ms, delay_max_ms : float
    """

    fan_ptr: Tensor
    target: Tensor
    anneal: Tensor
    delay: Tensor | None

    def __init__(self, fan: Fan, dt_ms: float, delay_max_ms: float) -> None:
        super().__init__()
        self.dt_ms, self.delay_max_ms = dt_ms, delay_max_ms
        self._n_targets = fan.n_out
        self.register_buffer("fan_ptr", fan.ptr)
        self.register_buffer("target", fan.target)
        self.register_buffer("anneal", torch.ones(()))

    @property
    def fan(self) -> Fan:
        """The edges."""
        return Fan.trusted(self.fan_ptr, self.target, self._n_targets)

    def set_anneal(self, fraction: float) -> None:
        """Say how far training is, 0 to 1, which sets how sharp delays are; a new layer is at 1.

        Raises
        ------
        ValueError
            If the fraction is not in [0, 1].
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must lie in [0, 1], got {fraction}")
        self.anneal.fill_(fraction)

    def delays_ms(self) -> Tensor:
        """Delay of each group in milliseconds, within its range; none without any."""
        if self.delay is None:
            return self.anneal.new_zeros(0)
        return self.delay.detach().clamp(0, self.delay_max_ms / DELAY_UNIT_MS) * DELAY_UNIT_MS

    def delay_steps(self) -> Tensor:
        """The same in steps, with its gradient.

        Raises
        ------
        ValueError
            If there is no delay.
        """
        if self.delay is None:
            raise ValueError("delay must be there to be counted in steps, got none")
        bounded = held(self.delay, 0.0, self.delay_max_ms / DELAY_UNIT_MS)
        return bounded * (DELAY_UNIT_MS / self.dt_ms)
