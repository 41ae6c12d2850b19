"""`cross_currents` and its gradients on a GPU."""

from __future__ import annotations

from torch import Tensor

from spikefuse.kernels.gpu import compaction, cross, launch
from spikefuse.kernels.gpu.cross import Edges
from spikefuse.kernels.gpu.ops.products import dense_of, events_of


def scattered(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    taps: Tensor,  # [E, K]
    first: Tensor,  # [E]
    fan_ptr: Tensor,
    target: Tensor,
    pending: Tensor | None,  # [span, B, n_out]
    shape: list[int],
    n_out: int,
    span: int,
) -> Tensor:
    """Everything that arrives during the chunk and after it, [T + span, B, n_out]."""
    n_steps, n_batch, _ = shape
    out = taps.new_zeros(n_batch, n_out, n_steps + span)
    if pending is not None:
        out[..., :span] = pending.detach().permute(1, 2, 0)
    x = dense_of(spikes, indptr, index, value, shape).contiguous()
    edges = _edges(taps, first, fan_ptr, target, n_out, span)
    cross.cross_forward(launch.current(), x, edges, out)
    return out.permute(2, 0, 1).contiguous()


def gradients(
    grad: Tensor,  # [L, B, n_out]
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    taps: Tensor,
    first: Tensor,
    fan_ptr: Tensor,
    target: Tensor,
    shape: list[int],
    of_taps: bool,
    of_spikes: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of the taps and of the spikes; empty where not wanted."""
    n_steps, _, n_in = shape
    rows = grad.detach().permute(1, 2, 0).contiguous()
    edges = _edges(taps, first, fan_ptr, target, grad.shape[2], len(grad) - n_steps)
    d_taps, d_spikes = taps.new_empty(0), taps.new_empty(0)
    if of_taps:
        events = events_of(spikes, indptr, index, value)
        columns = compaction.transpose(launch.current(), events, n_in)
        d_taps = cross.cross_tap_gradient(launch.current(), columns, edges, rows)
    if of_spikes:
        cells = cross.cross_spike_gradient(launch.current(), edges, rows, n_steps)
        d_spikes = cells.permute(2, 0, 1).contiguous()
    return d_taps, d_spikes


def _edges(
    taps: Tensor, first: Tensor, fan_ptr: Tensor, target: Tensor, n_out: int, span: int
) -> Edges:
    """The edges as kernels read them.

    Lags are kept in their range: asking a device whether they are would make the host wait, and
    one outside would write beside the currents.
    """
    lag = first.clamp(0, max(0, span + 1 - taps.shape[1])).contiguous()
    return Edges(taps.detach().contiguous(), lag, fan_ptr.contiguous(), target.contiguous(), n_out)
