"""Synaptic products: currents from spikes, reading only the weight rows of active inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from spikefuse.kernels import buffers, crossover, eager, packing, registry, scans, threads
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.event_arrays import Events, given_or_found
from spikefuse.kernels.launch import product_kernel
from spikefuse.kernels.small import small_product
from spikefuse.spikes import SpikeBatch

_OP = "event_matmul"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.products")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.products")

# Events of a dense input, kept from the forward to the backward pass and no longer trusted after.
_converted: Any = WeakTensorKeyDictionary()


def event_matmul_ref(spikes: SpikeBatch | Tensor, weight: Tensor) -> Tensor:
    """``spikes @ weight`` in plain torch: the definition of `event_matmul`."""
    if isinstance(spikes, SpikeBatch):
        return spikes.to_dense(weight.dtype).to(weight.device) @ weight
    return spikes @ weight


def event_matmul(
    spikes: SpikeBatch | Tensor,  # [T, B, n_in]
    weight: Tensor,  # [n_in, n_out]
    *,
    events: SpikeBatch | None = None,
    active: SpikeBatch | None = None,
    backend: str | None = None,
) -> Tensor:
    r"""Currents of a layer of synapses from the spikes that arrive.

    .. math:: y_{t,b} = \sum_{j \in \text{events}(t, b)} s_{t,b,j} \, W_j

    Only the rows :math:`W_j` of active inputs are read, from column tiles packed once per version
    of the weight. The weight's gradient visits the same events. The automatic choice takes what
    is fastest: of binary spikes that fill more than half of the cells it subtracts the silent
    inputs from the sum of all, and it takes a dense product where that is faster still.

    Parameters
    ----------
    spikes : SpikeBatch or Tensor, (T, B, n_in)
        Only a dense tensor carries a gradient. Values are amplitudes: a whole number n counts as
        n events, any other value multiplies.
    weight : Tensor[n_in, n_out]
    events : SpikeBatch, optional
        The non-zero cells of a dense ``spikes``, where the caller has them: saves the conversion.
    active : SpikeBatch, optional
        Cells at which the gradient of ``spikes`` is wanted; it is zero elsewhere. Exact where the
        surrogate gradient of the presynaptic neurons vanishes outside those cells. The default
        computes all of it.
    backend : str, optional
        One of `registry.BACKENDS`; an explicit one never takes the dense product instead.

    Returns
    -------
    Tensor[T, B, n_out]

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together.
    BackendError
        If an explicit backend cannot run.
    """
    if events is None and active is None and isinstance(spikes, Tensor):
        quick = small_product(spikes, weight, backend)
        if quick is not None:
            return quick
    shape = _checked(spikes, weight, events, active)
    dense = None if isinstance(spikes, SpikeBatch) else spikes
    chosen = scans.choose(_OP, backend, weight.device.type, _refused(dense, weight))
    if chosen == registry.REFERENCE:
        if active is not None and dense is not None:
            spikes = _only_at(dense, active)
        return event_matmul_ref(spikes, weight)
    # Only what nobody asked for may take a dense product instead.
    dense_too = eager.left_to_us(backend)
    if (
        dense_too
        and dense is not None
        and active is None
        and crossover.tiny(shape, weight.shape[1], known=events is not None)
    ):
        return event_matmul_ref(dense, weight)
    given = spikes if isinstance(spikes, SpikeBatch) else events
    arguments = (
        dense,
        None if given is None else given.indptr,
        None if given is None else given.index,
        None if given is None else given.value,
        weight,
        None if active is None else active.indptr,
        None if active is None else active.index,
        shape,
        dense_too,
        chosen,
    )
    if eager.nobody_watches(dense, weight):
        return _product(*arguments)
    result: Tensor = torch.ops.spikefuse.event_matmul(*arguments)
    return result


def _checked(
    spikes: SpikeBatch | Tensor,
    weight: Tensor,
    events: SpikeBatch | None,
    active: SpikeBatch | None,
) -> list[int]:
    """Shape of the spikes, once everything fits it."""
    if weight.ndim != 2:
        raise ValueError(f"weight must be [n_in, n_out], got shape {tuple(weight.shape)}")
    shape = list(spikes.shape)
    if len(shape) != 3 or shape[2] != weight.shape[0]:
        raise ValueError(f"spikes must be [T, B, {weight.shape[0]}], got shape {tuple(shape)}")
    if isinstance(spikes, Tensor):
        if spikes.dtype != weight.dtype:
            raise ValueError(f"spikes must be {weight.dtype} as weight is, got {spikes.dtype}")
        if spikes.device != weight.device:
            raise ValueError(f"spikes must be on {weight.device}, got {spikes.device}")
    for name, batch in (("events", events), ("active", active)):
        if batch is None:
            continue
        if isinstance(spikes, SpikeBatch):
            raise ValueError(f"{name} must be None with a SpikeBatch, got a second SpikeBatch")
        if list(batch.shape) != shape:
            raise ValueError(f"{name} must be of shape {tuple(shape)}, got {batch.shape}")
    return shape


def _refused(spikes: Tensor | None, weight: Tensor) -> str | None:
    """Why no kernel can take these inputs."""
    if weight.dtype != torch.float32:
        return f"it needs float32, got {weight.dtype}"
    if weight.shape[1] == 0 or weight.is_sparse or (spikes is not None and spikes.is_sparse):
        return "it needs strided tensors with at least one output"
    return None


def _only_at(dense: Tensor, active: SpikeBatch) -> Tensor:
    """``dense``, with its gradient cut to the active cells."""
    cells = active.to_dense(torch.float32) != 0
    return torch.where(cells, dense, dense.detach())


@registry.twin(_OP, "product")
def _product(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    weight: Tensor,
    active_indptr: Tensor | None,
    active_index: Tensor | None,
    shape: list[int],
    dense_too: bool,
    backend: str,
) -> Tensor:
    """The product, by events or dense."""
    n_steps, n_batch, _ = shape
    n_out = weight.shape[1]
    if dense_too and spikes is not None and indptr is None and crossover.skips(spikes, n_out):
        return torch.matmul(spikes, weight)
    ptr, picks, scale = _events(spikes, indptr, index, value, keep=weight.requires_grad)
    n_gathered, made = len(picks), spikes is not None
    silent_too = dense_too and scale is None and crossover.silent_wins(n_gathered, shape, n_out)
    if silent_too:
        n_gathered = n_steps * n_batch * shape[2] - n_gathered
    if dense_too and crossover.dense_wins(n_gathered, shape, n_out, made, silent=silent_too):
        x = _scattered(ptr, picks, scale, shape, backend) if spikes is None else spikes
        return torch.matmul(x, weight)
    out = buffers.empty((n_steps, n_batch, n_out))
    table = packing.table_of(weight, n_gathered)
    if not silent_too:
        _gather(table, ptr, picks, scale, out, backend)
        return out
    silent = np.empty(n_gathered, np.int32)
    silent_ptr = np.arange(len(ptr), dtype=np.int32) * shape[2] - ptr
    product_kernel(_OP, backend, "silent_cells")(ptr, picks, silent_ptr, silent)
    _gather(table, silent_ptr, silent, None, out, backend)
    return torch.sub(weight.detach().sum(0), out, out=out)


_forward = torch.library.custom_op(
    "spikefuse::event_matmul",
    _product,
    mutates_args=(),
    schema="(Tensor? spikes, Tensor? indptr, Tensor? index, Tensor? value, Tensor weight, "
    "Tensor? active_indptr, Tensor? active_index, SymInt[] shape, bool dense_too, str backend) "
    "-> Tensor",
)


@_forward.register_fake
def _(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    weight: Tensor,
    active_indptr: Tensor | None,
    active_index: Tensor | None,
    shape: list[int],
    dense_too: bool,
    backend: str,
) -> Tensor:
    return weight.new_empty(shape[0], shape[1], weight.shape[1])


@torch.library.custom_op(
    "spikefuse::event_matmul_dweight",
    mutates_args=(),
    schema="(Tensor? spikes, Tensor? indptr, Tensor? index, Tensor? value, Tensor grad, "
    "SymInt[] shape, bool dense_too, str backend) -> Tensor",
)
@registry.twin(_OP, "weight_gradient")
def _dweight(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    grad: Tensor,
    shape: list[int],
    dense_too: bool,
    backend: str,
) -> Tensor:
    """``X^T grad`` over the transposed events, as ``[n_in, n_out]``."""
    n_in, n_out = shape[2], grad.shape[2]
    rows = grad.reshape(-1, n_out)
    if dense_too and spikes is not None and indptr is None and crossover.skips(spikes, n_out):
        return torch.matmul(spikes.reshape(-1, n_in).t(), rows)
    ptr, picks, scale = _events(spikes, indptr, index, value, keep=False)
    made = spikes is not None
    if dense_too and crossover.dense_wins(len(picks), shape, n_out, made, transposed=True):
        x = _scattered(ptr, picks, scale, shape, backend) if spikes is None else spikes
        return torch.matmul(x.reshape(-1, n_in).t(), rows)
    column_ptr = np.empty(n_in + 1, np.int32)
    row = np.empty_like(picks)
    column_scale = None if scale is None else np.empty_like(scale)
    transpose = product_kernel(_OP, backend, "transpose_events")
    transpose(ptr, picks, scale, column_ptr, row, column_scale)
    out = buffers.empty((n_in, n_out))
    table = packing.table_of(rows, len(picks), memo=False)
    _gather(table, column_ptr, row, column_scale, out, backend)
    return out


@_dweight.register_fake
def _(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    grad: Tensor,
    shape: list[int],
    dense_too: bool,
    backend: str,
) -> Tensor:
    return grad.new_empty(shape[2], grad.shape[2])


@torch.library.custom_op(
    "spikefuse::event_matmul_dspikes",
    mutates_args=(),
    schema="(Tensor grad, Tensor weight, Tensor indptr, Tensor index, str backend) -> Tensor",
)
@registry.twin(_OP, "input_gradient")
def _dspikes(grad: Tensor, weight: Tensor, indptr: Tensor, index: Tensor, backend: str) -> Tensor:
    """``grad W^T`` at the given cells, zero elsewhere."""
    n_steps, n_batch, n_out = grad.shape
    out = buffers.empty((n_steps, n_batch, weight.shape[0])).zero_()
    product_kernel(_OP, backend, "event_dots")(
        indptr.numpy(),
        index.numpy(),
        grad.contiguous().view(-1, n_out).numpy(),
        weight.detach().contiguous().numpy(),
        out.view(-1, weight.shape[0]).numpy(),
    )
    return out


@_dspikes.register_fake
def _(grad: Tensor, weight: Tensor, indptr: Tensor, index: Tensor, backend: str) -> Tensor:
    return grad.new_empty(grad.shape[0], grad.shape[1], weight.shape[0])


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what the gradients asked for will read."""
    spikes, indptr, index, value, weight, active_indptr, active_index, *rest = inputs
    ctx.shape, ctx.dense_too, ctx.backend = rest
    wants_weight, wants_spikes = ctx.needs_input_grad[4], ctx.needs_input_grad[0]
    ctx.save_for_backward(
        *((spikes, indptr, index, value) if wants_weight else (None,) * 4),
        *((weight, active_indptr, active_index) if wants_spikes else (None,) * 3),
    )


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the spikes and of the weight, each only if needed."""
    spikes, indptr, index, value, weight, active_indptr, active_index = ctx.saved_tensors
    d_spikes = d_weight = None
    if ctx.needs_input_grad[4]:
        d_weight = torch.ops.spikefuse.event_matmul_dweight(
            spikes, indptr, index, value, grad, ctx.shape, ctx.dense_too, ctx.backend
        )
    if ctx.needs_input_grad[0]:
        if active_indptr is None:
            d_spikes = grad @ weight.t()
        else:
            d_spikes = torch.ops.spikefuse.event_matmul_dspikes(
                grad, weight, active_indptr, active_index, ctx.backend
            )
    return d_spikes, None, None, None, d_weight, None, None, None, None, None


_forward.register_autograd(_backward, setup_context=_setup)


def _events(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    keep: bool,
) -> Events:
    """The given events as arrays, or those of the dense input."""
    if spikes is not None and indptr is None:
        # The forward pass always converts anew: the caller may have written into the tensor.
        batch = None if keep else _converted.pop(spikes, None)
        if batch is None:
            batch = compact(spikes)
            if keep:
                _converted[spikes] = batch
        indptr, index, value = batch.indptr, batch.index, batch.value
    return given_or_found(spikes, indptr, index, value)


def _gather(
    table: packing.Table,
    ptr: npt.NDArray[np.int32],
    picks: npt.NDArray[np.int32],
    scale: npt.NDArray[np.float32] | None,
    out: Tensor,
    backend: str,
) -> None:
    """Fill ``out`` with the sums of the table rows that each CSR row picks."""
    kernel = product_kernel(_OP, backend, "event_tiles" if table.packed else "event_rows")
    n_out = out.shape[-1]
    flat = out.view(-1).numpy()

    def run(first: int, last: int) -> None:
        kernel(
            ptr[first : last + 1],
            picks,
            scale,
            table.flat,
            table.tile_step,
            table.stride,
            table.width,
            flat[first * n_out : last * n_out],
            n_out,
        )

    n_chunks = threads.chunk_count(float(len(picks)) * n_out, len(ptr) - 1)
    threads.run_chunks(run, threads.even_cuts(ptr, n_chunks))


def _scattered(
    ptr: npt.NDArray[np.int32],
    picks: npt.NDArray[np.int32],
    scale: npt.NDArray[np.float32] | None,
    shape: list[int],
    backend: str,
) -> Tensor:
    """The events as a dense tensor."""
    out = buffers.empty(shape)
    flat = out.view(-1, shape[2]).numpy()
    product_kernel(_OP, backend, "scatter_events")(ptr, picks, scale, flat)
    return out
