"""Send on delta: from a signal to the steps that a receiver must hear, in order of time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels import buffers, registry
from spikefuse.kernels.compaction import compact, compact_ref
from spikefuse.spikes import SpikeBatch

_OP = "send_on_delta"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.delta")

# A move between two of these is a whole number that float32, the type of amplitudes, holds.
_MOST_THRESHOLDS = 2.0**23


def send_on_delta_ref(
    signal: Tensor, threshold: float, level: Tensor | None = None
) -> tuple[SpikeBatch, Tensor]:
    """`send_on_delta` step by step over dense tensors: its definition."""
    now = _checked(signal, level).numpy().astype(np.float64)
    # In float64: a level added up in float32 would drift, and the bound with it.
    scaled = signal.detach().double().numpy() / threshold
    _check_range(scaled)
    moves = np.empty(scaled.shape, np.float32)
    for step, values in enumerate(scaled):
        change = np.trunc(values - now)
        now += change
        moves[step] = change
    both = np.concatenate([np.maximum(-moves, 0), np.maximum(moves, 0)], axis=2)
    return compact_ref(torch.from_numpy(both)), torch.from_numpy(now.astype(np.int64))


@torch.compiler.disable  # type: ignore[untyped-decorator]
def send_on_delta(
    signal: Tensor, threshold: float, level: Tensor | None = None, *, backend: str | None = None
) -> tuple[SpikeBatch, Tensor]:
    r"""Steps of a threshold by which a signal has left the level that was sent.

    .. math:: k_t = \mathrm{trunc}(x_t / \theta - l_{t-1}), \quad l_t = l_{t-1} + k_t

    in float64. How many events come out depends on the data, so ``torch.compile`` leaves its graph
    here, and there is no gradient.

    Parameters
    ----------
    signal : Tensor[T, B, N]
        On the CPU; float32 takes the fast path.
    threshold : float
        ``theta``, positive and finite.
    level : int64 Tensor[B, N], optional
        ``l`` before the first step, 0 by default.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    SpikeBatch of shape (T, B, 2 N)
        :math:`-k` at address n where k is negative, k at N + n where it is positive.
    int64 Tensor[B, N]
        ``level`` after the last step.

    Raises
    ------
    ValueError
        If shapes or types do not fit, a value is not finite or reaches 2**23 thresholds.
    BackendError
        If an explicit backend cannot run.
    """
    now = _checked(signal, level)
    if not 0 < threshold < np.inf:
        raise ValueError(f"threshold must be positive and finite, got {threshold}")
    chosen = registry.choose(_OP, backend, signal.device.type, _refused(signal))
    if chosen == registry.REFERENCE:
        return send_on_delta_ref(signal, threshold, level)
    n_steps, n_batch, n = signal.shape
    levels = now.numpy().astype(np.float64)
    both = buffers.empty((n_steps, n_batch, 2 * n))
    fits = registry.kernel(_OP, chosen, "send")(
        signal.detach().contiguous().view(-1).numpy(),
        float(threshold),
        _MOST_THRESHOLDS,
        levels,
        both.view(-1, 2 * n).numpy(),
    )
    if not fits:
        _check_range(signal.detach().double().numpy() / threshold)
    return compact(both), torch.from_numpy(levels.astype(np.int64))


def checked_level(level: Tensor | None, n_batch: int, n: int, device: torch.device) -> Tensor:
    """A level that fits, or 0.

    Raises
    ------
    ValueError
        If it is not int64 [B, N].
    """
    if level is None:
        return torch.zeros(n_batch, n, dtype=torch.int64, device=device)
    if level.shape != (n_batch, n) or level.dtype != torch.int64:
        raise ValueError(
            f"level must be int64 [{n_batch}, {n}], got {level.dtype} {tuple(level.shape)}"
        )
    return level


def _checked(signal: Tensor, level: Tensor | None) -> Tensor:
    """The level to begin with, if the signal is one."""
    if not signal.dtype.is_floating_point:
        raise ValueError(f"signal must be floating point, got {signal.dtype}")
    if signal.ndim != 3:
        raise ValueError(f"signal must be [T, B, N], got shape {tuple(signal.shape)}")
    return checked_level(level, signal.shape[1], signal.shape[2], signal.device)


def _check_range(scaled: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    """Every value finite and in reach."""
    if not np.isfinite(scaled).all():
        raise ValueError("signal must be finite, got NaN or infinity")
    if scaled.size and np.abs(scaled).max() >= _MOST_THRESHOLDS:
        raise ValueError(
            f"signal must stay below 2**23 thresholds, got {np.abs(scaled).max():g} of them"
        )


def _refused(signal: Tensor) -> str | None:
    """Why no kernel can take this signal."""
    if signal.dtype != torch.float32:
        return f"it needs float32, got {signal.dtype}"
    return None
