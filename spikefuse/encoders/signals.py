"""What the encoders of sampled signals share: the checks of their inputs and their counts."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.opcounts import PathCounts


def checked_signal(values: Tensor, n_steps: int | None, name: str = "values") -> Tensor:
    """Values as ``[T, B, N]``: one that varies in time as it is, a constant one expanded.

    Raises
    ------
    ValueError
        If ``values`` is neither [T, B, N] nor [B, N] with a number of steps, or not finite.
    """
    if not values.dtype.is_floating_point:
        raise ValueError(f"{name} must be floating point, got {values.dtype}")
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    if values.ndim == 2 and n_steps is not None:
        checked_number("n_steps", n_steps, 1)
        return values.expand(n_steps, *values.shape)
    if values.ndim != 3 or n_steps is not None:
        raise ValueError(
            f"{name} must be [T, B, N], or [B, N] with n_steps, got shape "
            f"{tuple(values.shape)} and n_steps={n_steps}"
        )
    return values


def checked_unit(values: Tensor) -> Tensor:
    """Values that all lie in [0, 1].

    Raises
    ------
    ValueError
        Naming one that does not.
    """
    outside = values[(values < 0) | (values > 1)]
    if outside.numel():
        raise ValueError(f"values must lie in [0, 1], got {outside[0].item()}")
    return values


def checked_number(name: str, value: int, least: int) -> int:
    """A whole number that is large enough.

    Raises
    ------
    ValueError
        If it is not.
    """
    if value != int(value) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value}")
    return int(value)


def checked_positive(name: str, value: float) -> float:
    """A finite number above 0.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value


def frontend_counts(
    modality: str,
    acs: int = 0,
    macs: int = 0,
    reads: int = 0,
    writes: int = 0,
    words: int = 0,
) -> PathCounts:
    """Counts of an encoder as a digital circuit at the sensor.

    Parameters
    ----------
    modality : str
        Modality that pays.
    acs, macs : int
        Additions or comparisons, and multiplications.
    reads, writes : int
        Words of signal and state.
    words : int
        Words that the circuit must hold.
    """
    return PathCounts(
        effective_acs=acs,
        effective_macs=macs,
        dense_macs=macs,
        state_reads=reads,
        state_writes=writes,
        state_words=words,
        kind="frontend",
        modality=modality,
    ).with_bytes()
