"""Dense late fusion: every modality votes with its own log-likelihoods."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.baselines.arithmetic import Scores
from spikefuse.baselines.operator import WindowOperator
from spikefuse.fusion.temperature import check_temperature


class DenseLate(WindowOperator):
    r"""Log-opinion pool, :math:`\sum_m \log\text{softmax}((W^m x^m + b^m) / T_m)`.

    Temperatures start at 1 and are not trained with the weights: fit them on validation data with
    `spikefuse.fusion.fit_temperature`, then `set_temperature`.

    Parameters
    ----------
    n_in : as of `DenseOperator`
    n_out : int
        Number of classes: the output is scores.
    """

    gives_scores = True

    def __init__(self, n_in: Mapping[str, int], n_out: int) -> None:
        super().__init__(n_in, n_out)
        self.readouts = nn.ModuleDict({name: nn.Linear(n, n_out) for name, n in self.n_in.items()})
        self.pool = Scores()
        self.temperature: Tensor
        self.register_buffer("temperature", torch.ones(len(self.n_in)))

    def set_temperature(self, temperature: Mapping[str, float]) -> None:
        """Divide the evidence of each named modality by its temperature from now on.

        Raises
        ------
        ValueError
            If a name is unknown or a temperature is not positive.
        """
        check_temperature(temperature, self.modalities)
        for name, value in temperature.items():
            self.temperature[self.modalities.index(name)] = value

    def evidence(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores of each modality ``{name: [B, n_out]}`` before temperature and softmax."""
        return {name: readout(features[name]) for name, readout in self.readouts.items()}

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features ``{modality: [B, n]}`` to scores ``[B, n_out]``."""
        evidence = self.evidence(features)
        scores: Tensor = self.pool([evidence[name] for name in self.modalities], self.temperature)
        return scores
