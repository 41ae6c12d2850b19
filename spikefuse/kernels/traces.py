"""Exponential traces of spikes over whole sequences."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels import readout as readout  # defines the operator that the fast path calls
from spikefuse.kernels import registry, scans
from spikefuse.kernels.compaction import expand
from spikefuse.spikes import SpikeBatch

_OP = "trace_scan"
# A trace is the leaky readout with a gain of one, to the bit: one kernel serves both.
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.readout")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.scans")


def trace_scan_ref(
    spikes: SpikeBatch | Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    z0: Tensor | None = None,  # [B, N]
) -> tuple[Tensor, Tensor]:
    """`trace_scan` in plain torch: its definition."""
    dense = spikes.to_dense() if isinstance(spikes, SpikeBatch) else spikes
    scans.checked_current(dense)
    z = torch.zeros_like(dense[0]) if z0 is None else z0
    trace: list[Tensor] = []
    for x in dense.unbind(0):
        z = beta * z + x
        trace.append(z)
    return torch.stack(trace), z


def trace_scan(
    spikes: SpikeBatch | Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    z0: Tensor | None = None,  # [B, N]
    *,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Exponential trace of spikes: :math:`z_t = \beta z_{t-1} + s_t`.

    With :math:`\beta = e^{-dt / \tau}` it is the kernel :math:`e^{-t / \tau}` of every spike; a
    spike is in the trace of its own step with its full height.

    Parameters
    ----------
    spikes : SpikeBatch or Tensor, (T, B, N)
        At least one step. Only a dense tensor carries a gradient.
    beta : float, scalar Tensor or Tensor[N]
    z0 : Tensor[B, N], optional
        Trace before the first step, zero by default.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    trace : Tensor[T, B, N], z_last : Tensor[B, N]

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together.
    BackendError
        If an explicit backend cannot run.
    """
    dense = expand(spikes) if isinstance(spikes, SpikeBatch) else spikes
    if dense.ndim != 3:
        raise ValueError(f"spikes must be [T, B, N], got shape {tuple(dense.shape)}")
    scans.checked_current(dense)
    scans.checked_state("z0", z0, dense)
    decay = scans.parameter_of("beta", beta, dense)
    chosen = scans.choose(_OP, backend, dense.device.type, scans.refused(dense))
    if chosen == registry.REFERENCE:
        return trace_scan_ref(dense, decay, z0)
    one = torch.ones((), dtype=dense.dtype, device=dense.device)
    trace, z = torch.ops.spikefuse.li_scan(dense, decay, one, z0, chosen)
    return trace, z
