"""Temperature scaling: one number that makes class scores mean what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# Fits outside of this range mean scores that hold no information, or perfect ones.
_LOWEST, _HIGHEST = 1e-3, 1e3


@torch.no_grad()
def fit_temperature(scores: Tensor, labels: Tensor, n_iterations: int = 60) -> float:
    r"""The temperature that makes labels most likely: :math:`\min_T -\sum_n \log
    \text{softmax}(z_n / T)_{y_n}`.

    The loss is convex in :math:`1 / T`, so its slope there has one root; bisection finds it. Fit
    it on validation data, never on what is tested.

    Parameters
    ----------
    scores : Tensor[N, C]
        Logits, or log-likelihoods up to a constant of each sample.
    labels : int64 Tensor[N]
    n_iterations : int
        Halvings of the range of ``log T``, which spans 1e-3 to 1e3.

    Returns
    -------
    float
        1e-3 or 1e3 where the loss falls up to that end: scores that are always right, or that
        say nothing.

    Raises
    ------
    ValueError
        If there is no sample or the shapes do not fit.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    if scores.ndim != 2 or not len(scores) or labels.shape != scores.shape[:1]:
        raise ValueError(
            "scores must be [N, C] with a label for each of one or more samples, got "
            f"{tuple(scores.shape)} and {tuple(labels.shape)}"
        )
    logits = scores.double()
    right = logits.gather(1, labels[:, None])[:, 0]

    def slope(inverse: float) -> float:
        """Derivative of the mean loss by 1 / T."""
        expected = (torch.softmax(logits * inverse, 1) * logits).sum(1)
        return float((expected - right).mean())

    low, high = math.log(1 / _HIGHEST), math.log(1 / _LOWEST)
    for _ in range(n_iterations):
        middle = 0.5 * (low + high)
        if slope(math.exp(middle)) <= 0:  # 0 where a softmax has saturated on the right class
            low = middle
        else:
            high = middle
    return min(max(math.exp(-0.5 * (low + high)), _LOWEST), _HIGHEST)


def check_temperature(temperature: Mapping[str, float], modalities: Sequence[str]) -> None:
    """Refuse temperatures of unknown modalities, or that are not positive.

    Raises
    ------
    ValueError
        The modality and the value are named.
    """
    for name, value in temperature.items():
        if name not in modalities or not 0 < value < float("inf"):
            raise ValueError(
                f"temperature must be positive numbers of {list(modalities)}, got {name!r}: {value}"
            )
