"""Delta coding (send on delta): a spike for every threshold by which a signal has moved."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.encoders.signals import checked_positive, frontend_counts
from spikefuse.kernels.delta import checked_level, send_on_delta
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch


def encode_delta(
    signal: Tensor, threshold: float, level: Tensor | None = None, *, backend: str | None = None
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
    backend : str, optional
        One of `registry.BACKENDS`.

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
    BackendError
        If an explicit backend cannot run.

    References
    ----------
    Miskowicz, "Send-on-delta concept: an event-based data reporting strategy", Sensors 6(1), 2006,
    doi:10.3390/s6010049.
    """
    checked_positive("threshold", threshold)
    spikes, after = send_on_delta(signal, threshold, level, backend=backend)
    return spikes, after


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
    now = checked_level(level, n_batch, n_addresses // 2, spikes.index.device)
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
