"""InfoNCE: samples of two modalities that belong together score above those that do not."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Temperature(nn.Module):
    r"""A temperature for `info_nce`, fixed or learned within bounds.

    Learned, it is :math:`T = T_0 (T_1 / T_0)^{\sigma(u)}` with bounds :math:`T_0 < T_1` and a free
    parameter u, so it never leaves them and never loses its gradient (CLIP cuts the parameter
    instead, at T = 0.01).

    Parameters
    ----------
    initial : float
    bounds : (float, float)
        Smallest and largest temperature, both positive.
    learn : bool
        Whether it is trained.

    Raises
    ------
    ValueError
        If ``initial`` does not lie between the bounds.

    References
    ----------
    Radford et al., "Learning transferable visual models from natural language supervision", ICML
    2021 (arXiv:2103.00020): a learned temperature, and its bound.
    """

    def __init__(
        self, initial: float = 0.1, bounds: tuple[float, float] = (0.01, 1.0), learn: bool = True
    ) -> None:
        super().__init__()
        low, high = bounds
        if not 0 < low < initial < high < math.inf:
            raise ValueError(
                f"initial must lie between bounds, which are positive, got {initial} and {bounds}"
            )
        self.bounds = (low, high)
        share = math.log(initial / low) / math.log(high / low)
        logit = torch.tensor(math.log(share / (1.0 - share)))
        self.logit = nn.Parameter(logit, requires_grad=learn)

    def forward(self) -> Tensor:
        """The temperature, a scalar."""
        low, high = self.bounds
        exponent: Tensor = torch.sigmoid(self.logit) * math.log(high / low)
        return low * exponent.exp()


def info_nce(
    za: Tensor,  # [B, D]
    zb: Tensor,  # [B, D]
    temperature: Tensor | float,
    labels: Tensor | None = None,  # int64 [B]
) -> Tensor:
    r"""Symmetric InfoNCE of two modalities, over pairs or over labels.

    With scores :math:`S_{ij} = z^a_i \cdot z^b_j / T` and :math:`P(i)` the samples of modality b
    that belong to sample i of modality a,

    .. math:: L_{a \to b} = -\frac{1}{B} \sum_i \frac{1}{|P(i)|} \sum_{j \in P(i)}
              \log \frac{e^{S_{ij}}}{\sum_k e^{S_{ik}}}, \quad
              L = \tfrac{1}{2} (L_{a \to b} + L_{b \to a}).

    Without labels :math:`P(i) = \{i\}` and all others are negatives: right where row i of both
    modalities has one source, wrong for label-paired data, whose other samples of the class would
    be pushed away (false negatives). With labels :math:`P(i)` holds every sample of the class.
    :math:`\log B - L` bounds the mutual information of a pair from below (without labels); scores
    that tell nothing give :math:`L = \log B`.

    Parameters
    ----------
    za, zb : Tensor[B, D]
        Embeddings, of unit length to make the scores cosines. Row i of both is a pair.
    temperature : scalar Tensor or float
        Positive; a `Temperature`'s value to learn it.
    labels : int64 Tensor[B], optional
        Class of each pair.

    Returns
    -------
    Tensor
        Scalar, in nats.

    Raises
    ------
    ValueError
        If shapes do not fit together, there is no sample, or the temperature is not positive.

    References
    ----------
    van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding",
    2018 (arXiv:1807.03748): the loss and its bound. Radford et al., ICML 2021 (arXiv:2103.00020):
    its symmetric form. Khosla et al., "Supervised contrastive learning", NeurIPS 2020
    (arXiv:2004.11362): the mean over positives outside of the logarithm; theirs has anchors and
    others in one modality, here they are never of the same one.
    """
    if za.ndim != 2 or za.shape != zb.shape or not len(za):
        raise ValueError(
            "za and zb must be [B, D] of one shape with B >= 1, got "
            f"{tuple(za.shape)} and {tuple(zb.shape)}"
        )
    if labels is not None and labels.shape != za.shape[:1]:
        raise ValueError(f"labels must be [{len(za)}], got {tuple(labels.shape)}")
    value = float(temperature.detach() if isinstance(temperature, Tensor) else temperature)
    if not value > 0:
        raise ValueError(f"temperature must be positive, got {value}")
    scores = za @ zb.T / temperature
    if labels is None:
        positive = torch.eye(len(za), dtype=scores.dtype, device=scores.device)
    else:
        positive = (labels[:, None] == labels[None]).to(scores.dtype)
    # The mask is symmetric, so one row sum serves both directions.
    share = positive / positive.sum(1, keepdim=True)
    forth = (share * torch.log_softmax(scores, dim=1)).sum(1)
    back = (share * torch.log_softmax(scores.T, dim=1)).sum(1)
    return -0.5 * (forth + back).mean()
