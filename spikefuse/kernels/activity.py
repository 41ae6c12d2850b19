"""How many neuron-steps of a run had anything to update, for neurons with more state than LIF."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels import dynamics, registry, scans
from spikefuse.kernels.scans import Reset

_OP = "active_states"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.dynamics")


def active_states_ref(
    current: Tensor,  # [T, B, N]
    alpha: Tensor | float,  # scalar or [N]
    beta: Tensor | float,
    threshold: Tensor | float,
    kappa: Tensor | float,
    rho: Tensor | float,
    *,
    reset: Reset,
) -> int:
    """`active_states` in plain torch."""
    i, v, a = (torch.zeros_like(current[0]) for _ in range(3))
    n_active = 0
    for x in current.detach().unbind(0):
        seen = (alpha * i != 0) | (v != 0) | (kappa * a != 0) | (x != 0)
        n_active += int(seen.sum())
        i = alpha * i + x
        v = beta * v + i
        s = (v > threshold + kappa * a).to(v.dtype)
        v = v * (1.0 - s) if reset == "zero" else v - threshold * s
        a = rho * a + s
    return n_active


def active_states(
    current: Tensor,  # [T, B, N]
    alpha: Tensor | float,  # scalar or [N]
    beta: Tensor | float,
    threshold: Tensor | float,
    kappa: Tensor | float,
    rho: Tensor | float,
    *,
    reset: Reset,
    backend: str | None = None,
) -> int:
    """Number of neuron-steps, from rest, in which a state or the input is non-zero.

    A state that its parameter switches off (``alpha`` or ``kappa`` of 0) is none. The parameters
    are those of `cuba_lif_scan` and `alif_scan`.

    Parameters
    ----------
    current : Tensor[T, B, N]
    alpha, beta, threshold, kappa, rho : float, scalar Tensor or Tensor[N]
    reset : "zero" or "subtract"
    backend : str, optional
        One of `registry.BACKENDS`.
    """
    names = ("alpha", "beta", "threshold", "kappa", "rho")
    values = (alpha, beta, threshold, kappa, rho)
    parameters = dynamics.checked(current, reset, None, {}, dict(zip(names, values, strict=True)))
    chosen = scans.choose(_OP, backend, current.device.type, scans.refused(current))
    if chosen == registry.REFERENCE:
        return active_states_ref(current, *parameters, reset=reset)
    table = torch.stack([p.detach().expand(current.shape[2]) for p in parameters])
    rows, x = dynamics.read(current, None)
    state = np.zeros((rows.n_rows, 3, rows.width), np.float32)
    n_active = registry.kernel(_OP, chosen, "scan_forward")(
        x.flat,
        x.step,
        x.row,
        dynamics.weights_of(None),
        dynamics.table_of(table, rows),
        reset == "subtract",
        scans.CHECKPOINT_STEPS,
        np.zeros((0, 0), np.float32),
        state,
        np.empty((rows.n_steps, rows.n_rows, rows.width), np.float32),
        np.empty((0, *state.shape), np.float32),
    )
    return int(n_active)
