"""Rate coding: a value is the probability of a spike in a step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from spikefuse.encoders.signals import (
    checked_number,
    checked_positive,
    checked_signal,
    checked_unit,
    frontend_counts,
)
from spikefuse.kernels import buffers
from spikefuse.kernels.compaction import compact
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch


def encode_rate(
    values: Tensor, n_steps: int | None = None, *, generator: torch.Generator
) -> SpikeBatch:
    r"""Spikes drawn independently in every step: :math:`P(s_{t,b,n} = 1) = x_{t,b,n}`.

    With `spike_probability` of a rate it is a Poisson process seen in bins. The distribution is
    that of snnTorch's ``spikegen.rate``, which clips values outside [0, 1] instead of refusing
    them. It is causal: parts of a signal, encoded one after the other with the same generator,
    give the spikes of the whole.

    Parameters
    ----------
    values : Tensor[B, N] or Tensor[T, B, N]
        Probabilities in [0, 1].
    n_steps : int, optional
        ``T``, for values that are constant in time.
    generator : torch.Generator
        Its state is the only randomness, and moves on.

    Returns
    -------
    SpikeBatch of shape (T, B, N)

    Raises
    ------
    ValueError
        If the shape does not fit or a value is not a probability.
    """
    # Values first: repeated over all steps they take long to check.
    probability = checked_signal(checked_unit(values), n_steps)
    drawn = buffers.empty(probability.shape, probability.dtype).uniform_(generator=generator)
    spikes: SpikeBatch = compact(torch.lt(drawn, probability, out=drawn))
    return spikes


def spike_probability(rate_hz: Tensor, dt_ms: float) -> Tensor:
    r"""Probability that a Poisson process fires in a step: :math:`1 - e^{-\lambda dt}`.

    Raises
    ------
    ValueError
        If a rate is negative or ``dt_ms`` is not positive.
    """
    checked_positive("dt_ms", dt_ms)
    if bool((rate_hz < 0).any()):
        raise ValueError(f"rate_hz must be >= 0, got {rate_hz.min().item()}")
    return -torch.expm1(-rate_hz * (dt_ms * 1e-3))


def window_rates(spikes: SpikeBatch, window_steps: int, full_scale: float) -> Tensor:
    """Spike trains as values for any encoder: counts per window, divided and clipped.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, N)
        For instance binned events; amplitudes count.
    window_steps : int
        Steps of a window; the last window may be shorter.
    full_scale : float
        Count that becomes 1.

    Returns
    -------
    float32 Tensor[ceil(T / window_steps), B, N]
        In [0, 1] for amplitudes that are not negative.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    checked_number("window_steps", window_steps, 1)
    checked_positive("full_scale", full_scale)
    n_steps, n_batch, n = spikes.shape
    n_windows = math.ceil(n_steps / window_steps)
    row = spikes.rows()
    window, sample = row // n_batch // window_steps, row % max(n_batch, 1)
    counts = torch.zeros(n_windows * n_batch * n)
    value = torch.ones(spikes.n_events) if spikes.value is None else spikes.value.float()
    counts.index_add_(0, (window * n_batch + sample) * n + spikes.index.long(), value)
    return (counts / full_scale).clamp(max=1.0).view(n_windows, n_batch, n)


def rate_counts(n_values: int, n_steps: int, modality: str) -> PathCounts:
    """Operations of `encode_rate`: one comparison and one read for each value and step.

    The random numbers are not in it: a shift register beside the comparator makes them, and no
    profile prices one.
    """
    done = n_values * n_steps
    return frontend_counts(modality, acs=done, reads=done, words=n_values)
