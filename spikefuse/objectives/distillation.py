"""Distance of a model's answers from those of a teacher."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import kl_div, log_softmax


def distillation_loss(scores: Tensor, taught: Tensor, temperature: float) -> Tensor:
    r"""How far class scores are from a teacher's, both made softer.

    .. math:: L = T^2 \, \text{KL}\big(\text{softmax}(z_\text{teacher} / T) \,\|\,
              \text{softmax}(z / T)\big)

    averaged over the batch; :math:`T^2` keeps its gradient as large as that of the labels.

    Parameters
    ----------
    scores, taught : Tensor[B, C]
        The teacher's take no gradient.
    temperature : float

    Raises
    ------
    ValueError
        If the shapes differ or the temperature is not positive.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv:1503.02531,
    2015, section 2.
    """
    if scores.shape != taught.shape:
        raise ValueError(
            f"taught must be of the shape of scores {tuple(scores.shape)}, got "
            f"{tuple(taught.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    own = log_softmax(scores / temperature, dim=1)
    teacher = log_softmax(taught.detach() / temperature, dim=1)
    return temperature**2 * kl_div(own, teacher, reduction="batchmean", log_target=True)
