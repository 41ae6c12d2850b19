"""Balance of modalities in training: the encoder that is ahead is slowed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


@torch.no_grad()
def ogm_rates(scores: Mapping[str, Tensor], labels: Tensor, strength: float) -> dict[str, float]:
    r"""How fast each modality's encoder may learn in this step, by how well it does alone.

    .. math:: \rho^m = \frac{s^m}{\operatorname{mean}_{k \ne m} s^k}, \quad
              s^m = \sum_b \text{softmax}(z^m_b)_{y_b}, \quad
              r^m = \begin{cases} 1 - \tanh(\alpha \rho^m) & \rho^m > 1 \\ 1 & \text{else}
              \end{cases}

    Parameters
    ----------
    scores : mapping of modality to Tensor[B, C]
        Evidence z of each modality alone.
    labels : int64 Tensor[B]
    strength : float
        :math:`\alpha`; 0 leaves all rates at 1.

    Returns
    -------
    dict of modality to rate in (0, 1]

    Notes
    -----
    The source scales gradients, for plain SGD. Adam divides a gradient by its own size, so that a
    constant factor would have no effect; here the rate scales the encoder's learning rate, which
    for SGD is the same. The source's noise on gradients (its "GE") is left out, and its z is one
    modality's part of a linear classifier behind a concatenation; here it is a unimodal readout,
    which any fusion operator can have.

    References
    ----------
    Peng et al., "Balanced multimodal learning via on-the-fly gradient modulation", CVPR 2022
    (arXiv:2203.15332), for two modalities.
    """
    if not 0 <= strength < math.inf:
        raise ValueError(f"strength must be >= 0 and finite, got {strength}")
    sure = {
        name: float(torch.softmax(z, 1).gather(1, labels[:, None]).sum())
        for name, z in scores.items()
    }
    rates: dict[str, float] = {}
    for name, own in sure.items():
        others = [s for other, s in sure.items() if other != name]
        ratio = own * len(others) / sum(others) if others else 1.0
        rates[name] = 1.0 - math.tanh(strength * ratio) if ratio > 1 else 1.0
    return rates


def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """Euclidean norm of all gradients together, 0 where there are none."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return 0.0
    return float(torch.stack([g.square().sum() for g in grads]).sum().sqrt())
