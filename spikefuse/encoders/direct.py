"""Direct coding: the values themselves are the input current of every step."""

from __future__ import annotations

from torch import Tensor

from spikefuse.encoders.signals import checked_signal, frontend_counts
from spikefuse.opcounts import PathCounts


def encode_direct(values: Tensor, n_steps: int | None = None) -> Tensor:
    """Values as graded input, repeated in every step; nothing is copied and gradients pass.

    The first layer then works on amplitudes, not on spikes: its multiply-accumulates are counted
    where it runs.

    Parameters
    ----------
    values : Tensor[B, N] or Tensor[T, B, N]
    n_steps : int, optional
        ``T``, for values that are constant in time.

    Returns
    -------
    Tensor[T, B, N]

    Raises
    ------
    ValueError
        If the shape does not fit or a value is not finite.
    """
    return checked_signal(values, n_steps)


def direct_counts(n_values: int, n_steps: int, modality: str) -> PathCounts:
    """Operations of `encode_direct`: every value (``B * N``) is read in every step."""
    return frontend_counts(modality, reads=n_values * n_steps, words=n_values)
