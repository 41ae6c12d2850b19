"""Delta coding (send on delta): a spike for every threshold by which a signal has moved."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikefuse.encoders.signals import checked_positive, checked_signal, frontend_counts
from spikefuse.kernels.compaction import compact
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch

# A move between two of these is a whole number that float32, the type of amplitudes, holds.
_MOST_THRESHOLDS = 2.0**23


def encode_delta(
    signal: Tensor, threshold: float, level: Tensor | None = None
) -> tuple[SpikeBatch, Tensor]:
    r"""Spikes of a signal's changes, with a bound on what a receiver can get wrong.

    The encoder remembers the level that it has sent, in thresholds. When the signal is a threshold
    or more away, it sends as many spikes as fit:

    .. math:: k_t = \mathrm{trunc}((x_t - \theta l_{t-1}) / \theta), \quad l_t = l_{t-1} + k_t

    so that after every step :math:`|x_t - \theta l_t| < \theta`, within rounding: `decode_delta` is
    never off by more than a threshold. snnTorch's ``spikegen.delta`` compares a sample with the one
    before it, so slow changes are never sent and its error has no bound; the two agree where every
    change is a multiple of the threshold of at most 1.

    Parameters
    ----------
    signal : Tensor[T, B, N]
    threshold : float
        ``theta``, in the units of the signal.
    level : int64 Tensor[B, N], optional
        ``l`` before the first step, 0 by default: the first sample is sent as a change from 0.

    Returns
    -------
    SpikeBatch of shape (T, B, 2 N)
        Address n counts steps down (OFF), N + n steps up (ON), as in an `EventStream`.
    int64 Tensor[B, N]
        ``level`` for the next part of the signal.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, or the signal reaches 2**23 thresholds.

    References
    ----------
    Miskowicz, "Send-on-delta concept: an event-based data reporting strategy", Sensors 6(1), 2006,
    doi:10.3390/s6010049.
    """
    checked_positive("threshold", threshold)
    checked_signal(signal, None, "signal")
    n_steps, n_batch, n = signal.shape
    now = _checked_level(level, n_batch, n).numpy().astype(np.float64)
    # In float64: a level added up in float32 would drift, and the bound with it.
    scaled = signal.detach().double().numpy() / threshold
    if scaled.size and np.abs(scaled).max() >= _MOST_THRESHOLDS:
        raise ValueError(
            f"signal must stay below 2**23 thresholds, got {np.abs(scaled).max():g} of them"
        )
    moves = np.empty((n_steps, n_batch, n), np.float32)
    change = np.empty((n_batch, n))
    for step in range(n_steps):
        np.subtract(scaled[step], now, out=change)
        np.trunc(change, out=change)
        np.add(now, change, out=now)
        moves[step] = change
    both = np.concatenate([np.maximum(-moves, 0), np.maximum(moves, 0)], axis=2)
    return compact(torch.from_numpy(both)), torch.from_numpy(now.astype(np.int64))


def decode_delta(
    spikes: SpikeBatch, threshold: float, level: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The signal that a receiver of `encode_delta`'s spikes knows after every step.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, 2 N)
    threshold : float
    level : int64 Tensor[B, N], optional
        Level before the first step, 0 by default.

    Returns
    -------
    float64 Tensor[T, B, N], int64 Tensor[B, N]
        The signal, and ``level`` for the next part.

    Raises
    ------
    ValueError
        If the addresses do not come in pairs or ``level`` does not fit.
    """
    checked_positive("threshold", threshold)
    n_steps, n_batch, n_addresses = spikes.shape
    if n_addresses % 2:
        raise ValueError(f"spikes must have OFF and ON addresses, got {n_addresses} of them")
    now = _checked_level(level, n_batch, n_addresses // 2)
    down, up = spikes.to_dense(torch.float64).chunk(2, dim=2)
    levels = now + (up - down).cumsum(0)
    last = levels[-1].long() if n_steps else now
    return levels * threshold, last


def delta_counts(n_values: int, n_steps: int, n_spikes: int, modality: str) -> PathCounts:
    """Operations of `encode_delta` on ``n_values = B * N`` signals that sent ``n_spikes``.

    A subtraction and two comparisons for each value and step, an addition for each spike; the level
    is read in every step and written with every spike.
    """
    done = n_values * n_steps
    return frontend_counts(
        modality, acs=3 * done + n_spikes, reads=2 * done, writes=n_spikes, words=n_values
    )


def _checked_level(level: Tensor | None, n_batch: int, n: int) -> Tensor:
    """A level that fits, or 0."""
    if level is None:
        return torch.zeros(n_batch, n, dtype=torch.int64)
    if level.shape != (n_batch, n) or level.dtype != torch.int64:
        raise ValueError(
            f"level must be int64 [{n_batch}, {n}], got {level.dtype} {tuple(level.shape)}"
        )
    return level
