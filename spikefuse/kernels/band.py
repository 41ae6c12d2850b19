"""Which neurons of a LIF run are near threshold: the only ones that pass a compact gradient on."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels import eager, registry, scans
from spikefuse.kernels.scans import Reset
from spikefuse.spikes import SpikeBatch
from spikefuse.surrogate import Surrogate

_OP = "near_threshold"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.band")
_WORD = 64


def near_threshold_ref(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,
    threshold: Tensor | float,
    surrogate: Surrogate,
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,  # [B, N]
) -> SpikeBatch:
    """`near_threshold` in plain torch: its definition."""
    current = current.detach()
    v = torch.zeros_like(current[0]) if v0 is None else v0.detach()
    near: list[Tensor] = []
    for x in current.unbind(0):
        h = beta * v + x
        near.append((surrogate.derivative(h - threshold) != 0).to(torch.float32))
        s = (h - threshold > 0).to(h.dtype)
        v = h * (1.0 - s) if reset == "zero" else h - threshold * s
    return SpikeBatch.from_dense(torch.stack(near))


@torch.compiler.disable  # type: ignore[untyped-decorator]
@torch.no_grad()
def near_threshold(
    current: Tensor,  # [T, B, N]
    beta: Tensor | float,  # scalar or [N]
    threshold: Tensor | float,  # scalar or [N]
    surrogate: Surrogate,
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,  # [B, N]
    backend: str | None = None,
) -> SpikeBatch:
    r"""Cells of a `lif_scan` whose surrogate slope is not zero: :math:`|\tilde v_t - \theta| < w`.

    The gradient of the spikes is multiplied by that slope and read nowhere else, so synapses behind
    them may leave it out at all other cells: it is what `event_matmul` and `event_conv2d` take as
    ``active``. How many cells there are depends on the data, so ``torch.compile`` leaves its graph.

    Parameters
    ----------
    current, beta, threshold, reset, v0
        As given to `lif_scan`.
    surrogate : Surrogate
        One of compact support, the triangle.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    SpikeBatch of shape (T, B, N)

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together, or the surrogate's slope is nowhere zero.
    BackendError
        If an explicit backend cannot run.
    """
    scans.checked_current(current)
    scans.checked_reset(reset)
    scans.checked_state("v0", v0, current)
    if not math.isfinite(surrogate.half_width):
        raise ValueError(f"surrogate must be of compact support, got {surrogate.name!r}")
    beta = scans.parameter_of("beta", beta, current)
    threshold = scans.parameter_of("threshold", threshold, current)
    refused = scans.refused(current) or eager.simd_refused()
    chosen = registry.choose(_OP, backend, current.device.type, refused)
    if chosen == registry.REFERENCE:
        return near_threshold_ref(current, beta, threshold, surrogate, reset=reset, v0=v0)
    n_steps, n_batch, n = current.shape
    rows = scans.Rows(n_steps, n_batch, n, 1)  # a row of bits for each sample
    x = scans.stream_of(current, rows)
    mask = np.empty((n_steps * n_batch, -(-n // _WORD)), np.uint64)
    registry.kernel(_OP, chosen, "lif_near")(
        x.flat,
        x.step,
        x.row,
        scans.lanes_of(beta, n, rows),
        scans.lanes_of(threshold, n, rows),
        surrogate.slope,
        reset == "subtract",
        scans.state_of(v0, current).numpy(),
        mask,
    )
    indptr = torch.empty(len(mask) + 1, dtype=torch.int32)
    registry.kernel("compact", chosen, "count_spikes")(mask, indptr.numpy())
    index = torch.empty(int(indptr[-1]), dtype=torch.int32)
    registry.kernel("compact", chosen, "list_spikes")(mask, index.numpy())
    return SpikeBatch.trusted(indptr, index, None, (n_steps, n_batch, n))
