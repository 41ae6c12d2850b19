"""Integer delays: every group of addresses arrives a fixed number of steps later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from spikefuse._types import Int64Array
from spikefuse.kernels import buffers, eager, registry
from spikefuse.kernels.scans import choose
from spikefuse.spikes import SpikeBatch

_OP = "delay"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.delays")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.events")

_FEW_ADDRESSES = 16  # in a group, on average: fewer are moved cell by cell

Spikes = TypeVar("Spikes", SpikeBatch, Tensor)


def delay_ref(
    spikes: Spikes,  # [T, B, N]
    steps: Sequence[int],
    sizes: Sequence[int] | None = None,
    history: Spikes | None = None,  # [max(steps), B, N]
) -> tuple[Spikes, Spikes]:
    """`delay` by a gather over time: its definition."""
    if isinstance(spikes, SpikeBatch):
        before = history.to_dense() if isinstance(history, SpikeBatch) else None
        out, rest = delay_ref(spikes.to_dense(), steps, sizes, before)
        return SpikeBatch.from_dense(out), SpikeBatch.from_dense(rest)
    n_steps, n_batch, n = spikes.shape
    longest = max(steps)
    device = spikes.device
    counts = torch.tensor(_sizes(steps, sizes, n), device=device)
    per_address = torch.tensor(steps, device=device).repeat_interleave(counts)
    before = spikes.new_zeros(longest, n_batch, n) if history is None else history
    everything = torch.cat([before, spikes])
    source = longest + torch.arange(n_steps, device=device)[:, None] - per_address
    picks = source[:, None].expand(n_steps, n_batch, n)
    return everything.gather(0, picks), everything[n_steps:]


def delay(
    spikes: Spikes,  # [T, B, N]
    steps: Sequence[int],
    sizes: Sequence[int] | None = None,
    history: Spikes | None = None,  # [max(steps), B, N]
    *,
    backend: str | None = None,
) -> tuple[Spikes, Spikes]:
    r"""Spikes of every group of addresses, a whole number of steps later.

    .. math:: y_{t,b,n} = x_{t - d_{g(n)},\, b,\, n}

    What comes before the first step is taken from ``history``, and what has not arrived after the
    last one is in the history that is returned: a sequence cut into pieces gives the same as a
    whole one.

    Parameters
    ----------
    spikes : SpikeBatch or Tensor, (T, B, N)
        Only a dense tensor carries a gradient, which its history carries as well.
    steps : sequence of int
        Delay of each group, at least 0.
    sizes : sequence of int, optional
        Addresses in each group, in order; they sum to N. By default one delay holds for all
        addresses, or N delays for one each.
    history : as spikes, of shape (max(steps), B, N), optional
        The steps before the first one; nothing by default.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    delayed : as spikes, (T, B, N)
    history : as spikes, (max(steps), B, N)
        The last steps that went in.

    Raises
    ------
    ValueError
        If shapes or types do not fit together, or a delay is negative.
    BackendError
        If an explicit backend cannot run.
    """
    _check(spikes, steps, sizes, history)
    n_steps, n_batch, n = spikes.shape
    if isinstance(spikes, SpikeBatch):
        reason = None
        device = spikes.index.device.type
    else:
        reason = None if spikes.dtype == torch.float32 else f"it needs float32, got {spikes.dtype}"
        device = spikes.device.type
    chosen = choose(_OP, backend, device, reason)
    if chosen == registry.REFERENCE:
        return delay_ref(spikes, steps, sizes, history)
    sizes = _sizes(steps, sizes, n)
    longest = max(steps)
    if isinstance(spikes, SpikeBatch):
        silence = _silence(longest, n_batch, n, spikes.index.device)
        before = history if isinstance(history, SpikeBatch) else silence
        everything = _joined(before, spikes)
        ahead = [longest - step for step in steps]
        return _moved(everything, ahead, sizes, n_steps, chosen), _from_step(everything, n_steps)
    if history is None:
        short = max(0, longest - n_steps)
        last = spikes[max(0, n_steps - longest) :]
        rest = torch.cat([spikes.new_zeros(short, n_batch, n), last]) if short else last.clone()
        everything_dense, ahead = spikes, [-step for step in steps]
    else:
        everything_dense = torch.cat([history, spikes])
        rest, ahead = everything_dense[n_steps:].clone(), [longest - step for step in steps]
    if eager.nobody_watches(everything_dense):
        return _shifted(everything_dense, ahead, sizes, n_steps, chosen), rest
    out = torch.ops.spikefuse.delay(everything_dense, ahead, sizes, n_steps, chosen)
    return out, rest


@registry.twin(_OP, "delay_dense")
def _shifted(x: Tensor, ahead: list[int], sizes: list[int], n_steps: int, backend: str) -> Tensor:
    """``out[t, b, n] = x[t + ahead[group of n], b, n]``, zero where x has no such step."""
    out = buffers.empty((n_steps, x.shape[1], x.shape[2]))
    small = _FEW_ADDRESSES * len(sizes) > x.shape[2]
    registry.kernel(_OP, backend, "shift_addresses" if small else "shift_groups")(
        x.detach().contiguous().numpy(), _bounds(sizes), np.array(ahead, np.int64), out.numpy()
    )
    return out


_operator = torch.library.custom_op(
    "spikefuse::delay",
    _shifted,
    mutates_args=(),
    schema="(Tensor x, SymInt[] ahead, SymInt[] sizes, SymInt n_steps, str backend) -> Tensor",
)


@_operator.register_fake
def _(x: Tensor, ahead: list[int], sizes: list[int], n_steps: int, backend: str) -> Tensor:
    return x.new_empty(n_steps, x.shape[1], x.shape[2])


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep the shift; no tensor is needed."""
    x, ctx.ahead, ctx.sizes, _, ctx.backend = inputs
    ctx.n_steps = x.shape[0]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradient goes back by the same shift."""
    back = [-step for step in ctx.ahead]
    d_x = torch.ops.spikefuse.delay(grad, back, ctx.sizes, ctx.n_steps, ctx.backend)
    return d_x, None, None, None, None


_operator.register_autograd(_backward, setup_context=_setup)


@registry.twin(_OP, "delay_events")
def _moved(
    spikes: SpikeBatch, ahead: list[int], sizes: list[int], n_steps: int, backend: str
) -> SpikeBatch:
    """As `_shifted`, on events: to columns, and from there to the rows they move to."""
    _, n_batch, n = spikes.shape
    value = None
    if spikes.value is not None:
        value = spikes.value.detach().to(torch.float32).contiguous().numpy()
    column_ptr, row = np.empty(n + 1, np.int32), np.empty(spikes.n_events, np.int32)
    column_value = None if value is None else np.empty_like(value)
    index = spikes.index.contiguous().numpy()
    registry.kernel(_OP, backend, "transpose_events")(
        spikes.indptr.contiguous().numpy(), index, value, column_ptr, row, column_value
    )
    groups = (_bounds(sizes), np.array(ahead, np.int64), n_batch)
    ptr = torch.empty(n_steps * n_batch + 1, dtype=torch.int32)
    registry.kernel(_OP, backend, "count_moved")(column_ptr, row, *groups, ptr.numpy())
    out = torch.empty(int(ptr[-1]), dtype=torch.int32)
    out_value = None if value is None else torch.empty(len(out))
    registry.kernel(_OP, backend, "place_moved")(
        column_ptr,
        row,
        column_value,
        *groups,
        ptr.numpy(),
        out.numpy(),
        None if out_value is None else out_value.numpy(),
    )
    return SpikeBatch.trusted(ptr, out, out_value, (n_steps, n_batch, n))


def _joined(before: SpikeBatch, after: SpikeBatch) -> SpikeBatch:
    """Two batches one after the other in time."""
    value = None
    if before.value is not None or after.value is not None:
        parts = [
            torch.ones(b.n_events, device=b.index.device) if b.value is None else b.value
            for b in (before, after)
        ]
        value = torch.cat(parts)
    indptr = torch.cat([before.indptr, after.indptr[1:] + before.indptr[-1]])
    shape = (before.shape[0] + after.shape[0], *after.shape[1:])
    return SpikeBatch.trusted(indptr, torch.cat([before.index, after.index]), value, shape)


def _from_step(spikes: SpikeBatch, step: int) -> SpikeBatch:
    """The steps from ``step`` on; values that are all 1 are left out, as everywhere."""
    n_steps, n_batch, n = spikes.shape
    first = int(spikes.indptr[step * n_batch])
    value = None if spikes.value is None else spikes.value[first:].clone()
    if value is not None and bool((value == 1).all()):
        value = None
    indptr = spikes.indptr[step * n_batch :] - first
    shape = (n_steps - step, n_batch, n)
    return SpikeBatch.trusted(indptr, spikes.index[first:].clone(), value, shape)


def _silence(n_steps: int, n_batch: int, n: int, device: torch.device) -> SpikeBatch:
    """Steps without a spike."""
    indptr = torch.zeros(n_steps * n_batch + 1, dtype=torch.int32, device=device)
    index = torch.empty(0, dtype=torch.int32, device=device)
    return SpikeBatch.trusted(indptr, index, None, (n_steps, n_batch, n))


def _sizes(steps: Sequence[int], sizes: Sequence[int] | None, n: int) -> list[int]:
    """Addresses of each group."""
    if sizes is not None:
        return list(sizes)
    return [n] if len(steps) == 1 else [1] * n


def _bounds(sizes: Sequence[int]) -> Int64Array:
    """First address of each group, and N."""
    bounds = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=bounds[1:])
    return bounds


def _check(
    spikes: SpikeBatch | Tensor,
    steps: Sequence[int],
    sizes: Sequence[int] | None,
    history: SpikeBatch | Tensor | None,
) -> None:
    """Refuse what does not fit together."""
    shape = tuple(spikes.shape)
    if len(shape) != 3:
        raise ValueError(f"spikes must be [T, B, N], got shape {shape}")
    if not len(steps) or min(steps) < 0:
        raise ValueError(f"steps must be at least one delay of 0 or more, got {list(steps)}")
    groups = _sizes(steps, sizes, shape[2])
    if len(groups) != len(steps) or sum(groups) != shape[2] or min(groups) < 0:
        raise ValueError(
            f"sizes must be {len(steps)} group sizes that sum to {shape[2]}, got {groups}"
            if sizes is not None
            else f"steps must be 1 or {shape[2]} delays where sizes is not given, got {len(steps)}"
        )
    if history is None:
        return
    if isinstance(history, SpikeBatch) is not isinstance(spikes, SpikeBatch):
        raise ValueError(f"history must be a {type(spikes).__name__}, got {type(history).__name__}")
    wanted = (max(steps), *shape[1:])
    if tuple(history.shape) != wanted:
        raise ValueError(f"history must be of shape {wanted}, got {tuple(history.shape)}")
