"""LIF neurons that drive each other, over whole sequences."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels import dynamics, registry, scans
from spikefuse.kernels.scans import Reset
from spikefuse.surrogate import FAST_SIGMOID, Surrogate, spike

_OP = "recurrent_lif_scan"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.dynamics")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.scans")


def recurrent_lif_scan_ref(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    threshold: Tensor | float,
    recurrent: Tensor,  # [N, N]
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,  # [B, N]
    s0: Tensor | None = None,
    surrogate: Surrogate = FAST_SIGMOID,
    detach_reset: bool = False,
) -> tuple[Tensor, Tensor]:
    """`recurrent_lif_scan` in plain torch, with the same arguments: its definition."""
    scans.checked_current(current)
    scans.checked_reset(reset)
    rest = torch.zeros_like(current[0])
    v, s = (rest if state is None else state for state in (v0, s0))
    out: list[Tensor] = []
    for x in current.unbind(0):
        v = beta * v + (x + s @ recurrent)
        s = spike(v - threshold, surrogate)
        v = scans.after_reset(v, s, threshold, reset, detach_reset)
        out.append(s)
    return torch.stack(out), v


def recurrent_lif_scan(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    threshold: Tensor | float,
    recurrent: Tensor,  # [N, N]
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,  # [B, N]
    s0: Tensor | None = None,
    surrogate: Surrogate = FAST_SIGMOID,
    detach_reset: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""LIF neurons with recurrent synapses of one step delay, over a sequence.

    .. math:: \tilde v_t = \beta v_{t-1} + x_t + s_{t-1} W, \quad s_t = [\tilde v_t > \theta]

    with the reset of `lif_scan`.

    Parameters
    ----------
    current : Tensor[T, B, N]
        At least one step.
    beta, threshold : float, scalar Tensor or Tensor[N]
    recurrent : Tensor[N, N]
        ``W``, row j for the spikes of neuron j; only rows of neurons that fired are read.
    reset : "zero" or "subtract"
    v0, s0 : Tensor[B, N], optional
        Membrane and spikes before the first step, zero by default.
    surrogate : Surrogate
    detach_reset : bool
        As in `lif_scan`; the spikes that go anywhere else still carry gradients.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    spikes : Tensor[T, B, N], v_last : Tensor[B, N]

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together, or ``reset`` is unknown.
    BackendError
        If an explicit backend cannot run.
    """
    beta, threshold = dynamics.checked(
        current,
        reset,
        recurrent,
        {"v0": v0, "s0": s0},
        {"beta": beta, "threshold": threshold},
    )
    chosen = scans.choose(_OP, backend, current.device.type, scans.refused(current))
    if chosen == registry.REFERENCE:
        return recurrent_lif_scan_ref(
            current,
            beta,
            threshold,
            recurrent,
            reset=reset,
            v0=v0,
            s0=s0,
            surrogate=surrogate,
            detach_reset=detach_reset,
        )
    spikes, _, v, _ = dynamics.run(
        current,
        [0.0, beta, threshold, 0.0, 0.0],
        weight=recurrent,
        v0=v0,
        s0=s0,
        subtract=reset == "subtract",
        detach=detach_reset,
        surrogate=surrogate,
        backend=chosen,
    )
    return spikes, v
