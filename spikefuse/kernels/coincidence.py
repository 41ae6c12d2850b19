"""Coincidence: events counted while a window that other events opened is open."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spikefuse.kernels import buffers, eager, registry, scans
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.event_arrays import Events, arrays_of
from spikefuse.kernels.products import event_matmul, event_matmul_ref
from spikefuse.kernels.traces import trace_scan, trace_scan_ref
from spikefuse.spikes import SpikeBatch

_OP, _TRACE_OP = "coincidence", "coincidence_trace"
for _op in (_OP, _TRACE_OP):
    registry.register(_op, registry.NUMBA, "spikefuse.kernels.cpu.coincidence")
    registry.register(_op, registry.CUDA, "spikefuse.kernels.gpu.ops.coincidence")


def gate(window: Tensor, saturating: bool) -> Tensor:
    """How far a window is open: its value, or ``1 - exp(-value)`` where it saturates."""
    return 1 - torch.exp(-window.clamp(min=0)) if saturating else window


def coincidence_ref(
    spikes: SpikeBatch | Tensor,  # [T, B, n_in]
    weight: Tensor,  # [n_in, M]
    window: Tensor,  # [T, B, M]
    *,
    saturating: bool = False,
) -> Tensor:
    """`coincidence` in plain torch: its definition."""
    return event_matmul_ref(spikes, weight) * gate(window, saturating)


def coincidence(
    spikes: SpikeBatch | Tensor,  # [T, B, n_in]
    weight: Tensor,  # [n_in, M]
    window: Tensor,  # [T, B, M]
    *,
    saturating: bool = False,
    backend: str | None = None,
) -> Tensor:
    r"""Events of one population, weighted, and multiplied by a window that another opened.

    .. math:: f_{t,b,m} = \Big(\sum_i s_{t,b,i} W_{im}\Big)\, g(z_{t,b,m}), \quad
              g(z) = z \text{ or } 1 - e^{-\max(z, 0)}

    The window is read at steps that hold an event and nowhere else.

    Parameters
    ----------
    spikes : SpikeBatch or Tensor, (T, B, n_in)
        Only a dense tensor carries a gradient.
    weight : Tensor[n_in, M]
    window : Tensor[T, B, M]
    saturating : bool
        Whether further events of the opener add ever less.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    Tensor[T, B, M]
        Zero wherever there is no event.

    Raises
    ------
    ValueError
        If shapes or types do not fit together.
    BackendError
        If an explicit backend cannot run.
    """
    _check(spikes, weight, window)
    chosen = scans.choose(_OP, backend, weight.device.type, scans.refused(weight))
    if chosen == registry.REFERENCE:
        return coincidence_ref(spikes, weight, window, saturating=saturating)
    dense = None if isinstance(spikes, SpikeBatch) else spikes
    indptr, index, value = (None, None, None) if dense is not None else _parts(spikes)
    arguments = (
        dense,
        indptr,
        index,
        value,
        weight,
        window,
        list(spikes.shape),
        saturating,
        chosen,
    )
    if eager.nobody_watches(dense, weight, window):
        return _gated(*arguments, False)[0]
    out: Tensor = torch.ops.spikefuse.coincidence(*arguments)[0]
    return out


def coincidence_trace_ref(
    spikes: SpikeBatch | Tensor,  # [T, B, n_in]
    weight: Tensor,  # [n_in, M]
    opener: SpikeBatch | Tensor,  # [T, B, n_opener]
    opener_weight: Tensor,  # [n_opener, M]
    beta: Tensor,  # [M]
    trace: Tensor | None = None,  # [B, M]
    *,
    same_step: bool = True,
    saturating: bool = False,
) -> tuple[Tensor, Tensor]:
    """`coincidence_trace` in plain torch: its definition."""
    arriving = event_matmul_ref(opener, opener_weight)
    window, last = trace_scan_ref(arriving, beta, trace)
    if not same_step:
        window = _before(window, beta, trace)
    return coincidence_ref(spikes, weight, window, saturating=saturating), last


def coincidence_trace(
    spikes: SpikeBatch | Tensor,  # [T, B, n_in]
    weight: Tensor,  # [n_in, M]
    opener: SpikeBatch | Tensor,  # [T, B, n_opener]
    opener_weight: Tensor,  # [n_opener, M]
    beta: Tensor,  # [M]
    trace: Tensor | None = None,  # [B, M]
    *,
    same_step: bool = True,
    saturating: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""`coincidence` with a window that is the exponential trace of another population.

    .. math:: z_t = \beta z_{t-1} + \sum_i o_{t,i} V_i, \quad f_t = (s_t W)\, g(z_t)

    Without a gradient the trace is brought up to date at events alone, so the work is
    proportional to events.

    Parameters
    ----------
    spikes, weight, saturating, backend
        As of `coincidence`.
    opener : SpikeBatch or Tensor, (T, B, n_opener)
        At least one step.
    opener_weight : Tensor[n_opener, M]
    beta : Tensor[M]
        Decay of the trace per step.
    trace : Tensor[B, M], optional
        Trace before the first step, zero by default.
    same_step : bool
        Whether an event meets openers of its own step. Of the two directions between populations
        one must leave them out, or the pair is counted twice.

    Returns
    -------
    f : Tensor[T, B, M], trace : Tensor[B, M]

    Raises
    ------
    ValueError
        If shapes or types do not fit together.
    BackendError
        If an explicit backend cannot run.
    """
    n_steps, n_batch, _ = opener.shape
    wanted = (n_steps, n_batch, opener_weight.shape[0])
    if n_steps < 1 or tuple(opener.shape) != wanted or tuple(spikes.shape[:2]) != wanted[:2]:
        raise ValueError(
            f"opener must be [T >= 1, B, {wanted[2]}] beside spikes {tuple(spikes.shape)}, "
            f"got shape {tuple(opener.shape)}"
        )
    width = weight.shape[1]
    if beta.shape != (width,) or opener_weight.shape[1] != width:
        raise ValueError(
            f"beta and opener_weight must be of {width} columns as weight is, "
            f"got {tuple(beta.shape)} and {tuple(opener_weight.shape)}"
        )
    if trace is not None and tuple(trace.shape) != (n_batch, width):
        raise ValueError(f"trace must be of shape {(n_batch, width)}, got {tuple(trace.shape)}")
    chosen = scans.choose(_TRACE_OP, backend, weight.device.type, scans.refused(weight))
    options = {"same_step": same_step, "saturating": saturating}
    if chosen == registry.REFERENCE:
        return coincidence_trace_ref(spikes, weight, opener, opener_weight, beta, trace, **options)
    dense = [x for x in (spikes, opener) if isinstance(x, Tensor)]
    if eager.nobody_watches(*dense, weight, opener_weight, beta, trace):
        return _lazily(spikes, weight, opener, opener_weight, beta, trace, chosen, **options)
    window, last = trace_scan(event_matmul(opener, opener_weight), beta, trace)
    if not same_step:
        window = _before(window, beta, trace)
    return coincidence(spikes, weight, window, saturating=saturating, backend=backend), last


def _before(window: Tensor, beta: Tensor, trace: Tensor | None) -> Tensor:
    """The trace at every step without what arrived in that step."""
    first = torch.zeros_like(window[:1]) if trace is None else trace[None]
    return beta * torch.cat([first, window[:-1]])


@registry.twin(_TRACE_OP, "traced")
def _lazily(
    spikes: SpikeBatch | Tensor,
    weight: Tensor,
    opener: SpikeBatch | Tensor,
    opener_weight: Tensor,
    beta: Tensor,
    trace: Tensor | None,
    backend: str,
    same_step: bool,
    saturating: bool,
) -> tuple[Tensor, Tensor]:
    """`coincidence_trace` in one walk over the events of both populations."""
    width, (n_steps, n_batch, _) = weight.shape[1], spikes.shape
    last = weight.new_zeros(n_batch, width) if trace is None else trace.detach().clone()
    out = buffers.empty((n_steps, n_batch, width)).zero_()
    registry.kernel(_TRACE_OP, backend, "decaying_rows")(
        *_arrays(spikes),
        weight.detach().contiguous().view(-1).numpy(),
        *_arrays(opener),
        opener_weight.detach().contiguous().view(-1).numpy(),
        beta.detach().contiguous().numpy(),
        same_step,
        saturating,
        last.contiguous().numpy(),
        out.view(-1).numpy(),
    )
    return out, last


def _parts(spikes: SpikeBatch | Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Row pointer, addresses and amplitudes of the events."""
    batch = spikes if isinstance(spikes, SpikeBatch) else compact(spikes)
    return batch.indptr, batch.index, batch.value


def _arrays(spikes: SpikeBatch | Tensor) -> Events:
    """The same as arrays."""
    return arrays_of(*_parts(spikes))


def _check(spikes: SpikeBatch | Tensor, weight: Tensor, window: Tensor) -> None:
    """Refuse what does not fit together."""
    shape = tuple(spikes.shape)
    if weight.ndim != 2 or len(shape) != 3 or shape[2] != weight.shape[0]:
        raise ValueError(
            f"spikes must be [T, B, n_in] and weight [n_in, M], got {shape} and "
            f"{tuple(weight.shape)}"
        )
    wanted = (*shape[:2], weight.shape[1])
    if tuple(window.shape) != wanted or window.dtype != weight.dtype:
        raise ValueError(
            f"window must be {weight.dtype} of shape {wanted}, got {window.dtype} "
            f"{tuple(window.shape)}"
        )
    if isinstance(spikes, Tensor) and spikes.dtype != weight.dtype:
        raise ValueError(f"spikes must be {weight.dtype} as weight is, got {spikes.dtype}")


@registry.twin(_OP, "gated")
def _gated(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    weight: Tensor,
    window: Tensor,
    shape: list[int],
    saturating: bool,
    backend: str,
    keep: bool = True,
) -> tuple[Tensor, Tensor]:
    """The gated product, and the product before the gate if it is kept."""
    width = weight.shape[1]
    if indptr is not None and index is not None:
        batch = SpikeBatch.trusted(indptr, index, value, (shape[0], shape[1], shape[2]))
        picks = _arrays(batch)
    elif spikes is not None:
        picks = _arrays(spikes)
    else:
        raise ValueError("spikes must be given, dense or as events, got neither")
    out = buffers.empty((shape[0], shape[1], width)).zero_()
    drive = torch.zeros_like(out) if keep else weight.new_empty(0)
    registry.kernel(_OP, backend, "gated_rows")(
        *picks,
        weight.detach().contiguous().view(-1).numpy(),
        window.detach().contiguous().view(-1).numpy(),
        saturating,
        out.view(-1).numpy(),
        drive.view(-1).numpy(),
        width,
    )
    return out, drive


def _kept(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    weight: Tensor,
    window: Tensor,
    shape: list[int],
    saturating: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """As `_gated`, for a backward pass."""
    return _gated(spikes, indptr, index, value, weight, window, shape, saturating, backend)


_forward = torch.library.custom_op(
    "spikefuse::coincidence",
    _kept,
    mutates_args=(),
    schema="(Tensor? spikes, Tensor? indptr, Tensor? index, Tensor? value, Tensor weight, "
    "Tensor window, SymInt[] shape, bool saturating, str backend) -> (Tensor, Tensor)",
)


@_forward.register_fake
def _(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    weight: Tensor,
    window: Tensor,
    shape: list[int],
    saturating: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    both = [weight.new_empty(shape[0], shape[1], weight.shape[1]) for _ in range(2)]
    return both[0], both[1]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep the events, the window and the product before the gate."""
    ctx.save_for_backward(*inputs[:6], output[1])
    ctx.shape, ctx.saturating, ctx.backend = inputs[6:]
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of spikes, weight and window, each only if needed."""
    *events, weight, window, drive = ctx.saved_tensors
    of_spikes, of_weight, of_window = (ctx.needs_input_grad[i] for i in (0, 4, 5))
    d_spikes = d_weight = d_window = None
    if of_spikes or of_weight:
        d_drive = grad * gate(window, ctx.saturating)
        if of_weight:
            d_weight = torch.ops.spikefuse.event_matmul_dweight(
                *events, d_drive, ctx.shape, False, ctx.backend
            )
        d_spikes = d_drive @ weight.t() if of_spikes else None
    if of_window:
        d_window = grad * drive
        if ctx.saturating:
            d_window = d_window * torch.where(window > 0, torch.exp(-window.clamp(min=0)), 0.0)
    return d_spikes, None, None, None, d_weight, d_window, None, None, None


_forward.register_autograd(_backward, setup_context=_setup)
