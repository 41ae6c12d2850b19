"""Neuron dynamics over whole sequences: the plain torch references."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from spikefuse.surrogate import spike

Reset = Literal["zero", "subtract"]


def lif_scan_ref(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    threshold: Tensor | float,  # scalar or [N]
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,  # [B, N]
    slope: float = 10.0,
) -> tuple[Tensor, Tensor]:
    r"""Leaky integrate-and-fire over a sequence.

    .. math:: \tilde v_t = \beta v_{t-1} + x_t, \quad s_t = [\tilde v_t > \theta], \quad
              v_t = \tilde v_t (1 - s_t) \text{ or } \tilde v_t - \theta s_t

    with :math:`\beta = e^{-dt / \tau_{mem}}`.

    Parameters
    ----------
    current : Tensor[T, B, N]
    beta, threshold : float or Tensor[N]
    reset : "zero" or "subtract"
    v0 : Tensor[B, N], optional
        Membrane before the first step, zero by default.
    slope : float
        Steepness of the surrogate gradient.

    Returns
    -------
    spikes : Tensor[T, B, N], v_last : Tensor[B, N]

    Raises
    ------
    ValueError
        If ``current`` is not 3-d or ``reset`` is unknown.
    """
    if current.ndim != 3:
        raise ValueError(f"current must be [T, B, N], got shape {tuple(current.shape)}")
    if reset not in ("zero", "subtract"):
        raise ValueError(f"reset must be 'zero' or 'subtract', got {reset!r}")
    v = torch.zeros_like(current[0]) if v0 is None else v0
    out: list[Tensor] = []
    # unbind, not current[t]: indexing a tensor that needs grad allocates a full [T, B, N]
    # gradient per step, which makes the backward pass quadratic in T.
    for x in current.unbind(0):
        v = beta * v + x
        s = spike(v - threshold, slope)
        v = v * (1.0 - s) if reset == "zero" else v - threshold * s
        out.append(s)
    return torch.stack(out), v


def li_scan_ref(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,
    v0: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Leaky integrator without spikes: :math:`v_t = \beta v_{t-1} + (1 - \beta) x_t`.

    Returns
    -------
    trace : Tensor[T, B, N], v_last : Tensor[B, N]
    """
    if current.ndim != 3:
        raise ValueError(f"current must be [T, B, N], got shape {tuple(current.shape)}")
    v = torch.zeros_like(current[0]) if v0 is None else v0
    trace: list[Tensor] = []
    for x in current.unbind(0):
        v = beta * v + (1.0 - beta) * x
        trace.append(v)
    return torch.stack(trace), v


def active_updates(
    current: Tensor, beta: Tensor | float, threshold: Tensor | float, reset: Reset
) -> int:
    """Number of neuron-steps in which the state or the input is non-zero: those that can change."""
    v = torch.zeros_like(current[0])
    n_active = 0
    for x in current.unbind(0):
        n_active += int(((v != 0) | (x != 0)).sum())
        v = beta * v + x
        s = (v > threshold).to(v.dtype)
        v = v * (1.0 - s) if reset == "zero" else v - threshold * s
    return n_active
