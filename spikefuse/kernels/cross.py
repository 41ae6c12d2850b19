"""Sparse delayed synapses: every event drives its fan-out, at lags of each synapse's own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spikefuse.kernels import buffers, eager, registry, scans
from spikefuse.kernels.event_arrays import given_or_found
from spikefuse.kernels.fan import Fan as Fan
from spikefuse.spikes import SpikeBatch

_OP = "cross_currents"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.cross")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.cross")


def cross_currents_ref(
    spikes: SpikeBatch | Tensor,  # [T, B, n_in]
    taps: Tensor,  # [E, K]
    first: Tensor,  # [E]
    fan: Fan,
    span: int,
    pending: Tensor | None = None,  # [span, B, n_out]
) -> tuple[Tensor, Tensor]:
    """`cross_currents` as one dense convolution over time: its definition."""
    dense = spikes.to_dense(taps.dtype) if isinstance(spikes, SpikeBatch) else spikes
    n_steps, n_taps = dense.shape[0], taps.shape[1]
    lag = first.long()[:, None] + torch.arange(n_taps, device=first.device)
    flat = (fan.target.long() * fan.n_in + fan.source())[:, None] * (span + 1) + lag
    kernel = taps.new_zeros(fan.n_out * fan.n_in * (span + 1))
    kernel = kernel.index_add(0, flat.reshape(-1), taps.reshape(-1))
    kernel = kernel.view(fan.n_out, fan.n_in, span + 1)
    padded = F.pad(dense.permute(1, 2, 0), (span, span))
    arriving = F.conv1d(padded, kernel.flip(-1)).permute(2, 0, 1)
    if pending is not None:
        arriving = torch.cat([arriving[:span] + pending, arriving[span:]])
    return arriving[:n_steps], arriving[n_steps:]


def cross_currents(
    spikes: SpikeBatch | Tensor,  # [T, B, n_in]
    taps: Tensor,  # [E, K]
    first: Tensor,  # [E]
    fan: Fan,
    span: int,
    pending: Tensor | None = None,  # [span, B, n_out]
    *,
    events: SpikeBatch | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Currents of sparse synapses, each of which answers an event with its own row of taps.

    .. math:: y_{t,b,j} = \sum_{e: i \to j} \sum_{k < K} h_{e,k} \, s_{t - f_e - k,\, b,\, i}

    With one tap it is a synapse of weight :math:`h_e` and delay :math:`f_e`; with many, a delay
    that is spread so that it can be learned, or a window in time. An event adds its fan-out times
    K terms and nothing else is visited, so the work is proportional to the events that arrive.

    Parameters
    ----------
    spikes : SpikeBatch or Tensor, (T, B, n_in)
        Only a dense tensor carries a gradient.
    taps : Tensor[E, K]
        Answer of each edge.
    first : int32 Tensor[E]
        Lag of the first tap, in steps, at least 0.
    fan : Fan
        The edges.
    span : int
        Longest lag of any tap that may come: rows of ``pending``.
    pending : Tensor[span, B, n_out], optional
        Currents of the chunk before that arrive during this one; none by default.
    events : SpikeBatch, optional
        The non-zero cells of a dense ``spikes``, where the caller has them.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    current : Tensor[T, B, n_out]
    pending : Tensor[span, B, n_out]
        Currents that arrive after this chunk. Cut in pieces, a sequence gives the same bits.

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together, or a tap lies outside ``[0, span]`` (on
        a GPU nobody asks: such a lag becomes the nearest that fits).
    BackendError
        If an explicit backend cannot run.

    References
    ----------
    Hammouamri, Khalfaoui-Hassani and Masquelier, "Learning delays in spiking neural networks using
    dilated convolutions with learnable spacings", ICLR 2024, arXiv:2306.17670.
    """
    _check(spikes, taps, first, fan, span, pending, events)
    n_steps = spikes.shape[0]
    refused = None if taps.dtype == torch.float32 else f"it needs float32, got {taps.dtype}"
    chosen = scans.choose(_OP, backend, taps.device.type, refused)
    if chosen == registry.REFERENCE:
        return cross_currents_ref(spikes, taps, first, fan, span, pending)
    dense = None if isinstance(spikes, SpikeBatch) else spikes
    given = spikes if isinstance(spikes, SpikeBatch) else events
    arguments = (
        dense,
        None if given is None else given.indptr,
        None if given is None else given.index,
        None if given is None else given.value,
        taps,
        first,
        fan.ptr,
        fan.target,
        pending,
        list(spikes.shape),
        fan.n_out,
        span,
        chosen,
    )
    watched = not eager.nobody_watches(dense, taps, pending)
    run = torch.ops.spikefuse.cross_currents if watched else _scattered
    arriving: Tensor = run(*arguments)
    return arriving[:n_steps], arriving[n_steps:]


def _check(
    spikes: SpikeBatch | Tensor,
    taps: Tensor,
    first: Tensor,
    fan: Fan,
    span: int,
    pending: Tensor | None,
    events: SpikeBatch | None,
) -> None:
    """Refuse what does not fit together."""
    shape = tuple(spikes.shape)
    if len(shape) != 3 or shape[2] != fan.n_in:
        raise ValueError(f"spikes must be [T, B, {fan.n_in}], got shape {shape}")
    if taps.ndim != 2 or taps.shape[0] != fan.n_edges or taps.shape[1] < 1:
        raise ValueError(f"taps must be [{fan.n_edges}, K >= 1], got shape {tuple(taps.shape)}")
    if first.shape != (fan.n_edges,) or first.dtype != torch.int32:
        raise ValueError(
            f"first must be int32 [{fan.n_edges}], got {first.dtype} {tuple(first.shape)}"
        )
    if isinstance(spikes, Tensor) and (spikes.dtype, spikes.device) != (taps.dtype, taps.device):
        raise ValueError(
            f"spikes must be {taps.dtype} on {taps.device} as taps is, "
            f"got {spikes.dtype} on {spikes.device}"
        )
    if events is not None and (isinstance(spikes, SpikeBatch) or tuple(events.shape) != shape):
        raise ValueError(
            f"events must be those of a dense spikes of shape {shape}, got {events.shape}"
        )
    wanted = (span, shape[1], fan.n_out)
    if pending is not None and (tuple(pending.shape) != wanted or pending.dtype != taps.dtype):
        raise ValueError(
            f"pending must be {taps.dtype} of shape {wanted}, got {pending.dtype} "
            f"{tuple(pending.shape)}"
        )
    # A tracer has no data to look at; a compiled call must be right already. Asking a GPU would
    # make the host wait: its kernels keep lags in their range.
    on_host = first.device.type == "cpu"
    if fan.n_edges and on_host and not eager.tracing() and eager.plain(first):
        low, high = int(first.min()), int(first.max()) + taps.shape[1] - 1
        if low < 0 or high > span:
            raise ValueError(f"first must put every tap in [0, {span}], got {low} to {high}")


@registry.twin(_OP, "scattered")
def _scattered(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    taps: Tensor,
    first: Tensor,
    fan_ptr: Tensor,
    target: Tensor,
    pending: Tensor | None,
    shape: list[int],
    n_out: int,
    span: int,
    backend: str,
) -> Tensor:
    """Everything that arrives during the chunk and after it, [T + span, B, n_out]."""
    n_steps, n_batch, _ = shape
    length, n_taps = n_steps + span, taps.shape[1]
    picks = given_or_found(spikes, indptr, index, value)
    h = taps.detach().contiguous().view(-1).numpy()
    edges = (first.contiguous().numpy(), fan_ptr.numpy(), target.numpy(), n_out)
    before = None if pending is None else pending.detach()
    if n_taps == 1:
        out = buffers.empty((length, n_batch, n_out))
        out[span:] = 0
        out[:span] = 0 if before is None else before
        scatter = registry.kernel(_OP, backend, "scatter_edges")
        scatter(*picks, n_batch, h, *edges, out.view(-1).numpy())
        return out
    # Time last while it is summed, so that a row of taps is one loop over memory.
    rows = buffers.empty((n_batch, n_out, length))
    rows[..., span:] = 0
    rows[..., :span] = 0 if before is None else before.permute(1, 2, 0)
    scatter = registry.kernel(_OP, backend, "scatter_taps")
    if n_batch:
        scatter(*picks, n_batch, h, n_taps, *edges, rows.view(-1).numpy(), length)
    out = buffers.empty((length, n_batch, n_out))
    return out.copy_(rows.permute(2, 0, 1))


_forward = torch.library.custom_op(
    "spikefuse::cross_currents",
    _scattered,
    mutates_args=(),
    schema="(Tensor? spikes, Tensor? indptr, Tensor? index, Tensor? value, Tensor taps, "
    "Tensor first, Tensor fan_ptr, Tensor target, Tensor? pending, SymInt[] shape, SymInt n_out, "
    "SymInt span, str backend) -> Tensor",
)


@_forward.register_fake
def _(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    taps: Tensor,
    first: Tensor,
    fan_ptr: Tensor,
    target: Tensor,
    pending: Tensor | None,
    shape: list[int],
    n_out: int,
    span: int,
    backend: str,
) -> Tensor:
    return taps.new_empty(shape[0] + span, shape[1], n_out)


@torch.library.custom_op(
    "spikefuse::cross_currents_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor? spikes, Tensor? indptr, Tensor? index, Tensor? value, "
    "Tensor taps, Tensor first, Tensor fan_ptr, Tensor target, SymInt[] shape, bool of_taps, "
    "bool of_spikes, str backend) -> (Tensor, Tensor)",
)
@registry.twin(_OP, "gradients")
def _gradients(
    grad: Tensor,
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
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Gradients of the taps and of the spikes; empty where not wanted."""
    n_steps, n_batch, n_in = shape
    length, n_out, n_taps = grad.shape[0], grad.shape[2], taps.shape[1]
    rows = buffers.empty((n_batch, n_out, length))
    rows.copy_(grad.permute(1, 2, 0))
    g = rows.view(-1).numpy()
    edges = (first.contiguous().numpy(), fan_ptr.numpy(), target.numpy(), n_out)
    d_taps, d_spikes = taps.new_empty(0), taps.new_empty(0)
    if of_taps:
        total = torch.zeros(taps.numel(), dtype=torch.float64)
        gather = registry.kernel(_OP, backend, "gather_taps")
        if n_batch:
            picks = given_or_found(spikes, indptr, index, value)
            gather(*picks, n_batch, g, length, n_taps, *edges, total.numpy())
        d_taps = total.to(torch.float32).view(taps.shape)
    if of_spikes:
        h = taps.detach().contiguous().view(-1).numpy()
        cells = buffers.empty((n_batch, n_in, n_steps)).zero_()
        correlate = registry.kernel(_OP, backend, "correlate_taps")
        correlate(g, length, h, n_taps, *edges, cells.numpy())
        d_spikes = buffers.empty((n_steps, n_batch, n_in)).copy_(cells.permute(2, 0, 1))
    return d_taps, d_spikes


@_gradients.register_fake
def _(
    grad: Tensor,
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
    backend: str,
) -> tuple[Tensor, Tensor]:
    return (
        taps.new_empty(taps.shape if of_taps else (0,)),
        grad.new_empty(shape if of_spikes else (0,)),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep the spikes and the edges."""
    ctx.save_for_backward(*inputs[:8])
    ctx.shape, ctx.span, ctx.backend = inputs[9], inputs[11], inputs[12]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of spikes, taps and what was pending, each only if needed."""
    of_spikes, of_taps, of_pending = (ctx.needs_input_grad[i] for i in (0, 4, 8))
    d_taps = d_spikes = None
    if of_taps or of_spikes:
        d_taps, d_spikes = torch.ops.spikefuse.cross_currents_backward(
            grad, *ctx.saved_tensors, ctx.shape, of_taps, of_spikes, ctx.backend
        )
    return (
        d_spikes if of_spikes else None,
        *(None,) * 3,
        d_taps if of_taps else None,
        *(None,) * 3,
        grad[: ctx.span] if of_pending else None,
        *(None,) * 4,
    )


_forward.register_autograd(_backward, setup_context=_setup)
