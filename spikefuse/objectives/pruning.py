"""Weights that must earn the operations they cause, or vanish."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def shrink(
    optimizer: torch.optim.Optimizer, prices: Iterable[tuple[nn.Parameter, Tensor]], weight: float
) -> None:
    r"""Take the price of each weight off its size, after a step of Adam; zero is where it ends.

    .. math:: w \leftarrow \operatorname{sign}(w) \max(|w| - \theta, 0), \quad
              \theta = \frac{\eta \, c \, p_w}{\sigma (\sqrt{\hat v_w} + \epsilon)}

    This is the proximal step, in Adam's own metric, of the penalty
    :math:`c \sum_w p_w |w| / \sigma`: the operations :math:`\sum_w p_w [w \ne 0]` with the step
    made a slope, in units of the layer's size :math:`\sigma`. A weight that no event meets is free.
    A weight at zero comes back if the loss pulls it further in a step than its price.

    Parameters
    ----------
    optimizer : Adam or AdamW, after its step
    prices : iterable of (Parameter, Tensor)
        Messages that met each weight, to be broadcast over it: `Activity.prices`.
    weight : float
        Of an operation in the loss, c.

    Notes
    -----
    :math:`\eta` is the weight's learning rate, :math:`\hat v` Adam's mean square of its gradient
    and :math:`\sigma` the root mean square of the layer's weights that are not zero. Parameters
    that the optimiser has not stepped are left alone.

    References
    ----------
    Proximal steps for L1 penalties: Parikh and Boyd, "Proximal algorithms", Foundations and Trends
    in Optimization 1(3), 2014. Pruning that a proximal operator does in Adam's metric: Yun, Lozano
    and Yang, "Adaptive proximal gradient methods for structured neural networks", NeurIPS 2021.
    """
    total: dict[nn.Parameter, Tensor] = {}
    for parameter, price in prices:
        total[parameter] = total[parameter] + price if parameter in total else price
    rates = {p: group for group in optimizer.param_groups for p in group["params"]}
    for parameter, price in total.items():
        state = optimizer.state.get(parameter, {})
        if parameter not in rates or "exp_avg_sq" not in state:
            continue
        group = rates[parameter]
        corrected = 1.0 - group["betas"][1] ** float(state["step"])
        root = (state["exp_avg_sq"] / corrected).sqrt_().add_(group["eps"])
        present = parameter.count_nonzero().clamp(min=1)
        size = (parameter.square().sum() / present).sqrt().clamp(min=1e-12)
        off = (group["lr"] * weight) * price.to(parameter.dtype) / (size * root)
        parameter.sub_(parameter.clamp(-off, off))
