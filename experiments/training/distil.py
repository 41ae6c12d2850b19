"""The dense twin of a run as the teacher of its spiking models."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.config import Config
from experiments.training.learners import Learner
from spikefuse.events import MultiStream
from spikefuse.objectives.distillation import distillation_loss


@dataclass(frozen=True)
class Teacher:
    """A trained model whose answers another one learns; it does not change.

    Parameters
    ----------
    learner : Learner
    weight : float
        Of the distance in the loss.
    temperature : float
    """

    learner: Learner
    weight: float
    temperature: float

    def loss(self, scores: Tensor, samples: list[MultiStream]) -> Tensor:
        """Weighted distance of scores ``[B, C]`` from the teacher's on the same samples."""
        if not samples:
            return 0.0 * scores.sum()
        self.learner.model.eval()
        with torch.no_grad():
            taught = self.learner.anytime_scores(samples, [self.learner.duration_ms])[-1]
        return self.weight * distillation_loss(scores, taught, self.temperature)


def teacher_of(learner: Learner, dense: Learner | None, config: Config) -> Teacher | None:
    """The dense twin, for a spiking model that reads what it reads; none where nothing is asked."""
    train = config.train
    if train.distil_weight == 0 or dense is None or not learner.spiking:
        return None
    if set(learner.modalities) != set(dense.modalities):
        return None
    return Teacher(dense, train.distil_weight, train.distil_temperature)
