"""LIF neurons with an adaptive threshold, over whole sequences (ALIF)."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels import dynamics, registry, scans
from spikefuse.kernels.scans import Reset
from spikefuse.surrogate import FAST_SIGMOID, Surrogate, spike

_OP = "alif_scan"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.dynamics")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.scans")


def alif_scan_ref(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    threshold: Tensor | float,
    rho: Tensor | float,
    kappa: Tensor | float,
    *,
    reset: Reset = "zero",
    recurrent: Tensor | None = None,  # [N, N]
    v0: Tensor | None = None,  # [B, N]
    a0: Tensor | None = None,
    s0: Tensor | None = None,
    surrogate: Surrogate = FAST_SIGMOID,
    detach_reset: bool = False,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """`alif_scan` in plain torch, with the same arguments: its definition."""
    scans.checked_current(current)
    scans.checked_reset(reset)
    rest = torch.zeros_like(current[0])
    v, a, s = (rest if state is None else state for state in (v0, a0, s0))
    out: list[Tensor] = []
    for x in current.unbind(0):
        v = beta * v + (x if recurrent is None else x + s @ recurrent)
        s = spike(v - (threshold + kappa * a), surrogate)
        v = scans.after_reset(v, s, threshold, reset, detach_reset)
        a = rho * a + s
        out.append(s)
    return torch.stack(out), (v, a)


def alif_scan(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    threshold: Tensor | float,
    rho: Tensor | float,
    kappa: Tensor | float,
    *,
    reset: Reset = "zero",
    recurrent: Tensor | None = None,  # [N, N]
    v0: Tensor | None = None,  # [B, N]
    a0: Tensor | None = None,
    s0: Tensor | None = None,
    surrogate: Surrogate = FAST_SIGMOID,
    detach_reset: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    r"""LIF neurons whose threshold rises with every spike and decays back, over a sequence.

    .. math:: \tilde v_t = \beta v_{t-1} + x_t + s_{t-1} W, \quad
              s_t = [\tilde v_t > \theta + \kappa a_{t-1}], \quad a_t = \rho a_{t-1} + s_t

    with :math:`\rho = e^{-dt / \tau_{adapt}}` and the reset of `lif_scan`: a reset by subtraction
    takes off the baseline :math:`\theta` (Bellec et al., "A solution to the learning dilemma for
    recurrent networks of spiking neurons", Nature Communications 11, 2020,
    doi:10.1038/s41467-020-17236-y, Methods).

    Parameters
    ----------
    current : Tensor[T, B, N]
        At least one step.
    beta, threshold, rho, kappa : float, scalar Tensor or Tensor[N]
    reset : "zero" or "subtract"
    recurrent : Tensor[N, N], optional
        ``W``, row j for the spikes of neuron j; only rows of neurons that fired are read.
    v0, a0 : Tensor[B, N], optional
        Membrane and adaptation before the first step, zero by default.
    s0 : Tensor[B, N], optional
        Spikes before the first step, for a recurrent layer.
    surrogate : Surrogate
    detach_reset : bool
        As in `lif_scan`; the spikes that go anywhere else still carry gradients.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    spikes : Tensor[T, B, N], (v_last, a_last) : Tensors[B, N]

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together, or ``reset`` is unknown.
    BackendError
        If an explicit backend cannot run.
    """
    beta, threshold, rho, kappa = dynamics.checked(
        current,
        reset,
        recurrent,
        {"v0": v0, "a0": a0, "s0": s0},
        {"beta": beta, "threshold": threshold, "rho": rho, "kappa": kappa},
    )
    chosen = scans.choose(_OP, backend, current.device.type, scans.refused(current))
    if chosen == registry.REFERENCE:
        return alif_scan_ref(
            current,
            beta,
            threshold,
            rho,
            kappa,
            reset=reset,
            recurrent=recurrent,
            v0=v0,
            a0=a0,
            s0=s0,
            surrogate=surrogate,
            detach_reset=detach_reset,
        )
    spikes, _, v, a = dynamics.run(
        current,
        [0.0, beta, threshold, kappa, rho],
        weight=recurrent,
        v0=v0,
        a0=a0,
        s0=s0,
        subtract=reset == "subtract",
        detach=detach_reset,
        surrogate=surrogate,
        backend=chosen,
    )
    return spikes, (v, a)
