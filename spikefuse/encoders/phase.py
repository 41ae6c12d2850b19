"""Phase coding: the bits of a value, one for each phase of a period, the weightiest first."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.encoders.signals import (
    checked_number,
    checked_signal,
    checked_unit,
    frontend_counts,
)
from spikefuse.kernels.compaction import compact
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch

_MOST_PHASES = 24  # bits of a float32


def encode_phase(values: Tensor, n_phases: int = 8, n_periods: int | None = None) -> SpikeBatch:
    r"""Spikes in the phases whose bit is set in the binary fraction of a value.

    .. math:: \hat x = \sum_{k=0}^{K-1} 2^{-(k+1)} s_k, \quad 0 \le x - \hat x < 2^{-K}

    except that 1 is sent as :math:`1 - 2^{-K}`. The receiver weighs a spike by its phase
    (`phase_weights`), so the spikes are binary. Periods are independent: parts of a signal give the
    spikes of the whole.

    Parameters
    ----------
    values : Tensor[B, N] or Tensor[P, B, N]
        In [0, 1]; one value for each period.
    n_phases : int
        ``K`` steps of a period, 1 to 24.
    n_periods : int, optional
        ``P``, for values that are constant in time.

    Returns
    -------
    SpikeBatch of shape (P * K, B, N)

    Raises
    ------
    ValueError
        If a value or parameter is out of range.

    References
    ----------
    Kim, Kim, Huh, Lee and Choi, "Deep neural networks with weighted spikes", Neurocomputing 311,
    2018.
    """
    signal = checked_unit(checked_signal(values, n_periods)).detach()
    _checked_phases(n_phases)
    n_periods_, n_batch, n = signal.shape
    top = 2**n_phases
    whole = (signal.double() * top).floor().clamp(max=top - 1).long()
    shifts = torch.arange(n_phases - 1, -1, -1)
    bits = (whole[:, None] >> shifts[:, None, None]) & 1  # [P, K, B, N]
    spikes: SpikeBatch = compact(bits.view(n_periods_ * n_phases, n_batch, n).float())
    return spikes


def decode_phase(spikes: SpikeBatch, n_phases: int = 8) -> Tensor:
    """Value of every period, from the spikes of `encode_phase`.

    Parameters
    ----------
    spikes : SpikeBatch of shape (P * K, B, N)
    n_phases : int

    Returns
    -------
    float64 Tensor[P, B, N]

    Raises
    ------
    ValueError
        If the steps are not whole periods.
    """
    n_steps, n_batch, n = spikes.shape
    weights = phase_weights(n_steps, n_phases).double()
    if n_steps % n_phases:
        raise ValueError(f"spikes must be of whole periods of {n_phases} steps, got {n_steps}")
    weighted = spikes.to_dense(torch.float64) * weights[:, None, None]
    return weighted.view(n_steps // n_phases, n_phases, n_batch, n).sum(1)


def phase_weights(n_steps: int, n_phases: int = 8) -> Tensor:
    """Weight of a spike in each step, [n_steps]: 1/2, 1/4, ... and again in the next period."""
    _checked_phases(n_phases)
    return 2.0 ** -(torch.arange(checked_number("n_steps", n_steps, 0)) % n_phases + 1.0)


def phase_counts(n_values: int, n_periods: int, n_phases: int, modality: str) -> PathCounts:
    """Operations of `encode_phase`: a test of a bit for each step, a read for each period."""
    return frontend_counts(
        modality,
        acs=n_values * n_periods * n_phases,
        reads=n_values * n_periods,
        words=n_values,
    )


def _checked_phases(n_phases: int) -> None:
    """1 to 24 phases."""
    checked_number("n_phases", n_phases, 1)
    if n_phases > _MOST_PHASES:
        raise ValueError(f"n_phases must be at most {_MOST_PHASES}, got {n_phases}")
