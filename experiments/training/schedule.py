"""The learning rate as a function of the place in training alone: nothing to save or restore."""

from __future__ import annotations

import math

from experiments.config import TrainConfig

# The last epochs of a cosine would otherwise stand still.
_LEAST = 0.02


def learning_rate_scale(settings: TrainConfig, epoch: int, n_epochs: int, within: float) -> float:
    r"""What the learning rate is multiplied by.

    .. math:: \min\Big(1, \frac{e - 1 + f}{W}\Big) \cdot
              \max\Big(\tfrac{1}{2} + \tfrac{1}{2} \cos \frac{\pi (e - 1)}{E}, 0.02\Big)

    in epoch e of E, of which a share f is done after the step, with W epochs of warm-up; the second
    factor is 1 where the schedule is constant.

    Parameters
    ----------
    settings : TrainConfig
    epoch : int
        From 1.
    n_epochs : int
    within : float
        Share of the epoch that is done after this step, in (0, 1].

    References
    ----------
    Cosine: Loshchilov and Hutter, "SGDR", arXiv:1608.03983, without restarts. Warm-up: Goyal et
    al., arXiv:1706.02677, section 2.2.
    """
    scale = 1.0
    if settings.schedule == "cosine":
        scale = max(0.5 * (1 + math.cos(math.pi * (epoch - 1) / n_epochs)), _LEAST)
    if settings.warmup_epochs > 0:
        scale *= min(1.0, (epoch - 1 + within) / settings.warmup_epochs)
    return scale
