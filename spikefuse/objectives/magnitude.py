"""Small weights taken out until a share of the counted operations is gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Order = Literal["magnitude", "per_operation"]


@torch.no_grad()
def prune(
    prices: Iterable[tuple[nn.Parameter, Tensor]], share: float, order: Order = "magnitude"
) -> float:
    r"""Set the least weights of a model to zero until a share of its operations is saved.

    A weight is as great as :math:`|w| / \sigma` (``magnitude``), or as
    :math:`|w| / (\sigma \, p_w)` (``per_operation``), with :math:`\sigma` the root mean square of
    its layer's weights and :math:`p_w` the messages that met it: what it costs. Weights of all
    layers go in one order, least first, until

    .. math:: \sum_{\text{pruned}} p_w \ge s \sum_{w \ne 0} p_w.

    Weights that no message met save nothing, and stay.

    Parameters
    ----------
    prices : iterable of (Parameter, Tensor)
        `Activity.prices` of one or more passes; each broadcasts over its parameter.
    share : float
        Of the operations, 0 to 1.
    order : "magnitude" or "per_operation"

    Returns
    -------
    float
        Share that was saved, at least ``share``; 0 where there was nothing.

    Raises
    ------
    ValueError
        If the share or the order is not one.

    Notes
    -----
    If messages are independent, taking w out changes the drive of its neuron by :math:`p_w w^2` in
    the mean square and saves :math:`p_w`: the damage per operation is :math:`w^2`, so least first
    by magnitude is least damage first. If a neuron is harmed by the sum of its weights whatever
    they carry, it is ``per_operation``.

    References
    ----------
    Han et al., "Learning both weights and connections for efficient neural networks", NeurIPS 2015
    (arXiv:1506.02626): by magnitude, then trained on.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    if order not in get_args(Order):
        raise ValueError(f"order must be one of {get_args(Order)}, got {order!r}")
    totals = _totals(prices)
    if not totals or share == 0:
        return 0.0
    costs = {p: (price * (p != 0)).flatten() for p, price in totals.items()}
    sizes = [_size(p, cost, order) for p, cost in costs.items()]
    size, cost = torch.cat(sizes), torch.cat(list(costs.values()))
    first = size.argsort(stable=True)
    saved = cost[first].cumsum(0)
    if not saved[-1] > 0:
        return 0.0
    n_pruned = int((saved < share * saved[-1]).sum()) + 1
    gone = torch.zeros(len(size), dtype=torch.bool)
    gone[first[:n_pruned]] = True
    parts = torch.split(gone, [p.numel() for p in costs])
    for parameter, part in zip(costs, parts, strict=True):
        parameter.masked_fill_(part.view_as(parameter), 0.0)
    return float(saved[n_pruned - 1] / saved[-1])


@contextmanager
def zeros_kept(model: nn.Module) -> Iterator[None]:
    """Weights that are zero now get no gradient inside the block, and so stay zero under Adam."""
    handles = []
    for parameter in model.parameters():
        kept = parameter.detach() != 0
        if parameter.requires_grad and parameter.ndim > 0 and not bool(kept.all()):
            hook = partial(torch.mul, kept)
            handles.append(parameter.register_hook(hook))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _totals(prices: Iterable[tuple[nn.Parameter, Tensor]]) -> Mapping[nn.Parameter, Tensor]:
    """Price of each trained weight over all passes, of the weight's shape."""
    found: dict[nn.Parameter, Tensor] = {}
    for parameter, price in prices:
        if parameter.requires_grad:
            whole = price.double().expand(parameter.shape)
            found[parameter] = found[parameter] + whole if parameter in found else whole
    return found


def _size(parameter: nn.Parameter, cost: Tensor, order: Order) -> Tensor:
    """How great each weight is; infinite where it saves nothing."""
    present = parameter.count_nonzero().clamp(min=1)
    sigma = (parameter.double().square().sum() / present).sqrt().clamp(min=1e-12)
    size = parameter.detach().double().abs().flatten() / sigma
    if order == "per_operation":
        size = size / cost.clamp(min=1e-12)
    return torch.where(cost > 0, size, torch.inf)
