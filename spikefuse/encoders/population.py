"""Population coding: a value as the activity of neurons with overlapping receptive fields."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spikefuse.encoders.latency import encode_latency
from spikefuse.encoders.signals import checked_number, checked_positive, frontend_counts
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch


@dataclass(frozen=True)
class PopulationSpec:
    r"""Gaussian receptive fields over a range of values.

    .. math:: c_i = low + \frac{2 i - 1}{2} \frac{high - low}{K - 2}, \quad
              \sigma = \frac{1}{\beta} \frac{high - low}{K - 2}, \quad i = 0 \ldots K - 1

    so the outermost centres lie just outside the range.

    Parameters
    ----------
    n_neurons : int
        ``K`` neurons for each value, at least 3.
    low, high : float
        Range of the values.
    beta : float
        Sharpness of the fields.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Bohte, Kok and La Poutre, "Error-backpropagation in temporally encoded networks of spiking
    neurons", Neurocomputing 48, 2002, section 4.
    """

    n_neurons: int
    low: float
    high: float
    beta: float = 1.5

    def __post_init__(self) -> None:
        checked_number("n_neurons", self.n_neurons, 3)
        checked_positive("beta", self.beta)
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")

    @property
    def spacing(self) -> float:
        """Distance between neighbouring centres."""
        return (self.high - self.low) / (self.n_neurons - 2)

    @property
    def centres(self) -> Tensor:
        """Preferred values, [K], ascending."""
        return self.low + (torch.arange(self.n_neurons) - 0.5) * self.spacing


def population_activity(values: Tensor, spec: PopulationSpec) -> Tensor:
    r"""Activity of every neuron: :math:`a_i = \exp(-(x - c_i)^2 / (2 \sigma^2))`.

    Parameters
    ----------
    values : Tensor[..., N]
    spec : PopulationSpec

    Returns
    -------
    Tensor[..., N * K]
        In [0, 1]; the neurons of a value lie side by side. Gradients pass.

    Raises
    ------
    ValueError
        If a value lies outside the range.
    """
    outside = values[~((values >= spec.low) & (values <= spec.high))]
    if outside.numel():
        raise ValueError(f"values must lie in [{spec.low}, {spec.high}], got {outside[0].item()}")
    sigma = spec.spacing / spec.beta
    distance = (values[..., None] - spec.centres.to(values)) / sigma
    return torch.exp(-0.5 * distance**2).flatten(-2)


def encode_population(
    values: Tensor, n_steps: int, spec: PopulationSpec, *, threshold: float = 0.1
) -> SpikeBatch:
    """Latency code of the activities: the best neuron fires first, those below threshold never.

    For Poisson spikes instead, give `population_activity` to `encode_rate`.

    Parameters
    ----------
    values : Tensor[B, N]
    n_steps : int
    spec : PopulationSpec
    threshold : float
        Least activity that fires.

    Returns
    -------
    SpikeBatch of shape (n_steps, B, N * K)

    Raises
    ------
    ValueError
        If a value or parameter is out of range.
    """
    return encode_latency(population_activity(values, spec), n_steps, threshold=threshold)


def population_counts(n_values: int, spec: PopulationSpec, modality: str) -> PathCounts:
    """Operations of `population_activity` on ``n_values`` samples.

    For each neuron a scaled distance and an exponential from a table with interpolation: 2
    multiply-accumulates. The spikes' own code is counted by `latency_counts` or `rate_counts`.
    """
    n_neurons = n_values * spec.n_neurons
    return frontend_counts(
        modality, macs=2 * n_neurons, reads=n_values, writes=n_neurons, words=n_neurons
    )
