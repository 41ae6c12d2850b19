"""LIF neurons behind a synaptic current, over whole sequences (CUBA: current-based)."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels import dynamics, registry, scans
from spikefuse.kernels.scans import Reset
from spikefuse.surrogate import FAST_SIGMOID, Surrogate, spike

_OP = "cuba_lif_scan"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.dynamics")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.scans")


def cuba_lif_scan_ref(
    current: Tensor,  # [T, B, N]
    alpha: Tensor | float,  # scalar or [N]
    beta: Tensor | float,
    threshold: Tensor | float,
    *,
    reset: Reset = "zero",
    recurrent: Tensor | None = None,  # [N, N]
    i0: Tensor | None = None,  # [B, N]
    v0: Tensor | None = None,
    s0: Tensor | None = None,
    surrogate: Surrogate = FAST_SIGMOID,
    detach_reset: bool = False,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """`cuba_lif_scan` in plain torch, with the same arguments: its definition."""
    scans.checked_current(current)
    scans.checked_reset(reset)
    rest = torch.zeros_like(current[0])
    i, v, s = (rest if state is None else state for state in (i0, v0, s0))
    out: list[Tensor] = []
    for x in current.unbind(0):
        i = alpha * i + (x if recurrent is None else x + s @ recurrent)
        v = beta * v + i
        s = spike(v - threshold, surrogate)
        v = scans.after_reset(v, s, threshold, reset, detach_reset)
        out.append(s)
    return torch.stack(out), (i, v)


def cuba_lif_scan(
    current: Tensor,  # [T, B, N]
    alpha: Tensor | float,  # scalar or [N]
    beta: Tensor | float,
    threshold: Tensor | float,
    *,
    reset: Reset = "zero",
    recurrent: Tensor | None = None,  # [N, N]
    i0: Tensor | None = None,  # [B, N]
    v0: Tensor | None = None,
    s0: Tensor | None = None,
    surrogate: Surrogate = FAST_SIGMOID,
    detach_reset: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    r"""LIF neurons whose input decays through a synaptic current, over a sequence.

    .. math:: i_t = \alpha i_{t-1} + x_t + s_{t-1} W, \quad \tilde v_t = \beta v_{t-1} + i_t, \quad
              s_t = [\tilde v_t > \theta]

    with :math:`\alpha = e^{-dt / \tau_{syn}}`, and the reset of `lif_scan`, which leaves ``i``.

    Parameters
    ----------
    current : Tensor[T, B, N]
        At least one step.
    alpha, beta, threshold : float, scalar Tensor or Tensor[N]
    reset : "zero" or "subtract"
    recurrent : Tensor[N, N], optional
        ``W``, row j for the spikes of neuron j; only rows of neurons that fired are read.
    i0, v0 : Tensor[B, N], optional
        Synaptic current and membrane before the first step, zero by default.
    s0 : Tensor[B, N], optional
        Spikes before the first step, for a recurrent layer.
    surrogate : Surrogate
    detach_reset : bool
        As in `lif_scan`; the spikes that go anywhere else still carry gradients.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    spikes : Tensor[T, B, N], (i_last, v_last) : Tensors[B, N]

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together, or ``reset`` is unknown.
    BackendError
        If an explicit backend cannot run.
    """
    alpha, beta, threshold = dynamics.checked(
        current,
        reset,
        recurrent,
        {"i0": i0, "v0": v0, "s0": s0},
        {"alpha": alpha, "beta": beta, "threshold": threshold},
    )
    chosen = scans.choose(_OP, backend, current.device.type, scans.refused(current))
    if chosen == registry.REFERENCE:
        return cuba_lif_scan_ref(
            current,
            alpha,
            beta,
            threshold,
            reset=reset,
            recurrent=recurrent,
            i0=i0,
            v0=v0,
            s0=s0,
            surrogate=surrogate,
            detach_reset=detach_reset,
        )
    spikes, i, v, _ = dynamics.run(
        current,
        [alpha, beta, threshold, 0.0, 0.0],
        weight=recurrent,
        i0=i0,
        v0=v0,
        s0=s0,
        subtract=reset == "subtract",
        detach=detach_reset,
        surrogate=surrogate,
        backend=chosen,
    )
    return spikes, (i, v)
