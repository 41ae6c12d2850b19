"""Latency coding: the larger a value, the earlier its only spike (time to first spike)."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.encoders.signals import (
    checked_number,
    checked_positive,
    checked_signal,
    checked_unit,
    frontend_counts,
)
from spikefuse.opcounts import PathCounts
from spikefuse.spikes import SpikeBatch


def latency_steps(
    values: Tensor, n_steps: int, *, tau_steps: float | None = None, threshold: float = 0.01
) -> Tensor:
    r"""Step in which each value fires; -1 for those that never do.

    .. math:: t = (T - 1)(1 - x) \quad \text{or} \quad t = \tau \ln \frac{x}{x - \theta}

    The second is the time at which a leaky integrator driven by ``x`` reaches ``theta``. Times are
    rounded to the nearest step, half to even; values below ``theta`` and times after the last step
    mean silence.

    Parameters
    ----------
    values : Tensor[B, N]
        In [0, 1].
    n_steps : int
        ``T``.
    tau_steps : float, optional
        Time constant in steps; without it the code is linear.
    threshold : float
        ``theta``, in (0, 1).

    Returns
    -------
    int64 Tensor[B, N]

    Raises
    ------
    ValueError
        If a value or parameter is out of range.
    """
    if values.ndim != 2:
        raise ValueError(f"values must be [B, N], got shape {tuple(values.shape)}")
    checked_unit(checked_signal(values[None], None))
    checked_number("n_steps", n_steps, 1)
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie in (0, 1), got {threshold}")
    if tau_steps is None:
        time = (n_steps - 1) * (1 - values)
    else:
        checked_positive("tau_steps", tau_steps)
        time = tau_steps * torch.log(values / (values - threshold).clamp(min=0))
    fires = (values >= threshold) & (time.round() < n_steps)
    return torch.where(fires, time.round(), -1.0).long()


def encode_latency(
    values: Tensor, n_steps: int, *, tau_steps: float | None = None, threshold: float = 0.01
) -> SpikeBatch:
    """One spike for each value at its `latency_steps`, none for those that stay silent.

    It equals snnTorch's ``spikegen.latency`` with ``clip=True`` and either ``linear=True,
    normalize=True`` (no ``tau_steps``) or ``bypass=True``. Its logarithmic code with
    ``normalize=True`` has no twin: there a sample's times depend on the others in the batch.

    Parameters
    ----------
    values, n_steps, tau_steps, threshold
        As in `latency_steps`.

    Returns
    -------
    SpikeBatch of shape (T, B, N)

    Raises
    ------
    ValueError
        If a value or parameter is out of range.
    """
    steps = latency_steps(values, n_steps, tau_steps=tau_steps, threshold=threshold)
    n_batch, n = steps.shape
    sample, address = (steps >= 0).nonzero(as_tuple=True)
    row, order = torch.sort(steps[sample, address] * n_batch + sample, stable=True)
    indptr = torch.zeros(n_steps * n_batch + 1, dtype=torch.int64)
    indptr[1:] = torch.bincount(row, minlength=n_steps * n_batch).cumsum(0)
    # Addresses ascend within a row: nonzero lists them so, and the sort is stable.
    index = address[order].to(torch.int32)
    return SpikeBatch.trusted(indptr.to(torch.int32), index, None, (n_steps, n_batch, n))


def first_spikes(spikes: SpikeBatch, seen: Tensor | None = None) -> tuple[SpikeBatch, Tensor]:
    """Spike trains, for instance binned events, recoded: only each address's first spike stays.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, N)
    seen : bool Tensor[B, N], optional
        Addresses that have fired before this part of the recording; none by default.

    Returns
    -------
    SpikeBatch of shape (T, B, N)
        Amplitudes are dropped: a first spike is one spike.
    bool Tensor[B, N]
        ``seen`` for the next part.

    Raises
    ------
    ValueError
        If ``seen`` has another shape or type.
    """
    n_steps, n_batch, n = spikes.shape
    if seen is None:
        seen = torch.zeros(n_batch, n, dtype=torch.bool)
    elif seen.shape != (n_batch, n) or seen.dtype != torch.bool:
        raise ValueError(
            f"seen must be bool [{n_batch}, {n}], got {seen.dtype} {tuple(seen.shape)}"
        )
    row = spikes.rows()
    cell = (row % max(n_batch, 1)) * n + spikes.index
    # Events stand in the order of time: the first of a cell is the one of the smallest position.
    position = torch.arange(spikes.n_events)
    first = torch.full((n_batch * n,), spikes.n_events).scatter_reduce_(0, cell, position, "amin")
    keep = (first[cell] == position) & ~seen.view(-1)[cell]
    indptr = torch.zeros(n_steps * n_batch + 1, dtype=torch.int64)
    indptr[1:] = torch.bincount(row[keep], minlength=n_steps * n_batch).cumsum(0)
    now_seen = seen.view(-1).clone()
    now_seen[cell] = True
    kept = SpikeBatch.trusted(indptr.to(torch.int32), spikes.index[keep], None, spikes.shape)
    return kept, now_seen.view(n_batch, n)


def latency_counts(steps: Tensor, n_steps: int, modality: str) -> PathCounts:
    """Operations of `encode_latency`, from the `latency_steps` that it used.

    A multiply-accumulate for each value (its time, from a table with interpolation), and a
    comparison with the clock for each step until it fires, or until the end.
    """
    waited = int(torch.where(steps >= 0, steps + 1, n_steps).sum())
    n_values = steps.numel()
    return frontend_counts(
        modality,
        acs=waited,
        macs=n_values,
        reads=waited + n_values,
        writes=n_values,
        words=n_values,
    )
