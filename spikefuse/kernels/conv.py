"""Convolution of spike maps, driven by events: true fan-out at borders, strides and padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from spikefuse.kernels import buffers, conv_crossover, eager, registry
from spikefuse.kernels.compaction import compact, expand
from spikefuse.kernels.conv_geometry import ConvGeometry, Pair, checked, geometry_from
from spikefuse.kernels.event_arrays import given_or_found
from spikefuse.kernels.scans import choose
from spikefuse.spikes import SpikeBatch

_OP = "event_conv2d"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.conv")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.conv")


def event_conv2d_ref(
    spikes: SpikeBatch | Tensor,
    weight: Tensor,
    in_shape: tuple[int, int, int],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Tensor:
    """`event_conv2d` as torch's own convolution of every step: its definition."""
    dense = spikes.to_dense(weight.dtype) if isinstance(spikes, SpikeBatch) else spikes
    return _dense(dense, weight, in_shape, stride, padding)


def event_conv2d(
    spikes: SpikeBatch | Tensor,  # [T, B, C * H * W]
    weight: Tensor,  # [C_out, C, kh, kw]
    in_shape: tuple[int, int, int],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    *,
    events: SpikeBatch | None = None,
    active: SpikeBatch | None = None,
    backend: str | None = None,
) -> Tensor:
    r"""Currents of a convolutional layer of synapses from the spikes that arrive.

    .. math:: y_{t,b,o,i,j} = \sum_{c,u,v} W_{o,c,u,v} \,
              s_{t,b,c,\; i s_y + u - p_y,\; j s_x + v - p_x}

    Each event adds the taps of the kernel that it meets to the positions it reaches, and nothing
    is done for the rest. The weight's gradient visits the same events; the gradient of the spikes
    is a dense transposed convolution, left out where nobody asks for it. Where many cells hold
    events the automatic choice takes torch's dense convolution.

    Parameters
    ----------
    spikes : SpikeBatch or Tensor, (T, B, C * H * W)
        Only a dense tensor carries a gradient. Values are amplitudes.
    weight : Tensor[C_out, C, kh, kw]
    in_shape : (C, H, W)
    stride, padding : (rows, columns)
    events : SpikeBatch, optional
        The non-zero cells of a dense ``spikes``, where the caller has them: saves the conversion.
    active : SpikeBatch, optional
        Cells at which the gradient of ``spikes`` is wanted; it is zero elsewhere. Exact where the
        surrogate gradient of the presynaptic neurons vanishes outside those cells. The default
        computes all of it.
    backend : str, optional
        One of `registry.BACKENDS`; an explicit one never takes the dense convolution instead.

    Returns
    -------
    Tensor[T, B, C_out * H' * W']
        ``H' = (H + 2 p_y - kh) // s_y + 1``, and likewise ``W'``.

    Raises
    ------
    ValueError
        If shapes, types or devices do not fit together.
    BackendError
        If an explicit backend cannot run.
    """
    geometry = checked(spikes, weight, in_shape, stride, padding, events, active)
    given = spikes if isinstance(spikes, SpikeBatch) else events
    dense = None if isinstance(spikes, SpikeBatch) else spikes
    dense_too = eager.left_to_us(backend)
    if dense is not None and active is not None:
        wanted = dense.requires_grad and torch.is_grad_enabled()
        active = active if wanted else None
    if (
        dense_too
        and dense is not None
        and active is None
        and conv_crossover.tiny(dense.shape, geometry)
    ):
        return _dense(dense, weight, in_shape, stride, padding)
    gpu = registry.on_gpu(backend, weight.device.type)
    chosen = choose(_OP, backend, weight.device.type, _refused(weight, geometry, gpu))
    if chosen == registry.REFERENCE:
        if active is not None and dense is not None:
            cells = active.to_dense() != 0
            spikes = torch.where(cells, dense, dense.detach())
        return event_conv2d_ref(spikes, weight, in_shape, stride, padding)
    if not gpu and not eager.tracing() and eager.plain(dense, weight):
        # The choice looks at the data, so it is made here; what it leaves is plain torch.
        if dense_too and active is None and conv_crossover.dense_wins(dense, given, geometry):
            made = expand(spikes) if isinstance(spikes, SpikeBatch) else spikes
            return _dense(made, weight, in_shape, stride, padding)
        dense_too = False
        given = compact(spikes) if isinstance(spikes, Tensor) and given is None else given
    arguments = (
        dense,
        None if given is None else given.indptr,
        None if given is None else given.index,
        None if given is None else given.value,
        weight,
        None if active is None else active.indptr,
        None if active is None else active.index,
        list(spikes.shape),
        list(in_shape),
        list(stride),
        list(padding),
        dense_too,
        chosen,
    )
    if eager.nobody_watches(dense, weight):
        return _convolved(*arguments)
    result: Tensor = torch.ops.spikefuse.event_conv2d(*arguments)
    return result


@registry.twin(_OP, "convolved")
def _convolved(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    weight: Tensor,
    active_indptr: Tensor | None,
    active_index: Tensor | None,
    shape: list[int],
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    dense_too: bool,
    backend: str,
) -> Tensor:
    """The currents, by events or dense."""
    geometry = geometry_from(weight.shape, in_shape, stride, padding)
    if dense_too and spikes is not None and conv_crossover.dense_wins(spikes, None, geometry):
        return _dense(spikes, weight, geometry.in_shape, geometry.stride, geometry.padding)
    out = buffers.empty((shape[0], shape[1], geometry.n_out))
    registry.kernel(_OP, backend, "conv_forward")(
        *given_or_found(spikes, indptr, index, value),
        geometry.reach,
        geometry.patches_of(weight).numpy(),
        geometry.place,
        geometry.sizes,
        out.view(-1).numpy(),
    )
    return out


_SCHEMA = (
    "(Tensor? spikes, Tensor? indptr, Tensor? index, Tensor? value, {}, SymInt[] shape, "
    "int[] in_shape, int[] stride, int[] padding, {}bool dense_too, str backend) -> Tensor"
)
_forward = torch.library.custom_op(
    "spikefuse::event_conv2d",
    _convolved,
    mutates_args=(),
    schema=_SCHEMA.format("Tensor weight, Tensor? active_indptr, Tensor? active_index", ""),
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
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    dense_too: bool,
    backend: str,
) -> Tensor:
    n_out = geometry_from(weight.shape, in_shape, stride, padding).n_out
    return weight.new_empty(shape[0], shape[1], n_out)


@torch.library.custom_op(
    "spikefuse::event_conv2d_dweight",
    mutates_args=(),
    schema=_SCHEMA.format("Tensor grad", "int[] weight_shape, "),
)
@registry.twin(_OP, "weight_gradient")
def _dweight(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    grad: Tensor,
    shape: list[int],
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    weight_shape: list[int],
    dense_too: bool,
    backend: str,
) -> Tensor:
    """Gradient of the weight, summed in float64 over groups of rows."""
    geometry = geometry_from(weight_shape, in_shape, stride, padding)
    if dense_too and spikes is not None and conv_crossover.dense_wins(spikes, None, geometry):
        maps = spikes.reshape(-1, *in_shape)
        out = grad.reshape(-1, *geometry.out_shape)
        d_weight: Tensor = conv2d_weight(maps, weight_shape, out, stride, padding)  # type: ignore[no-untyped-call]
        return d_weight
    n_patches = in_shape[0] * stride[0] * stride[1]
    total = torch.zeros(n_patches * geometry.patch[0] * geometry.run, dtype=torch.float64)
    registry.kernel(_OP, backend, "conv_dweight")(
        *given_or_found(spikes, indptr, index, value),
        geometry.reach,
        grad.contiguous().view(-1).numpy(),
        geometry.place,
        geometry.sizes,
        total.numpy(),
    )
    return geometry.weight_of(total).to(torch.float32, memory_format=torch.contiguous_format)


@_dweight.register_fake
def _(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    grad: Tensor,
    shape: list[int],
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    weight_shape: list[int],
    dense_too: bool,
    backend: str,
) -> Tensor:
    return grad.new_empty(weight_shape)


@torch.library.custom_op(
    "spikefuse::event_conv2d_dspikes",
    mutates_args=(),
    schema="(Tensor grad, Tensor weight, Tensor indptr, Tensor index, int[] in_shape, "
    "int[] stride, int[] padding, str backend) -> Tensor",
)
@registry.twin(_OP, "input_gradient")
def _dspikes(
    grad: Tensor,
    weight: Tensor,
    indptr: Tensor,
    index: Tensor,
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    backend: str,
) -> Tensor:
    """Gradient of the spikes at the given cells, zero elsewhere."""
    geometry = geometry_from(weight.shape, in_shape, stride, padding)
    out = buffers.empty((grad.shape[0], grad.shape[1], geometry.n_in)).zero_()
    registry.kernel(_OP, backend, "conv_dspikes")(
        indptr.contiguous().numpy(),
        index.contiguous().numpy(),
        geometry.reach,
        geometry.patches_of(weight).numpy(),
        grad.contiguous().view(-1).numpy(),
        geometry.place,
        geometry.sizes,
        out.view(-1).numpy(),
    )
    return out


@_dspikes.register_fake
def _(
    grad: Tensor,
    weight: Tensor,
    indptr: Tensor,
    index: Tensor,
    in_shape: list[int],
    stride: list[int],
    padding: list[int],
    backend: str,
) -> Tensor:
    n_in = in_shape[0] * in_shape[1] * in_shape[2]
    return grad.new_empty(grad.shape[0], grad.shape[1], n_in)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what the gradients asked for will read: the events rather than the dense spikes."""
    spikes, indptr, index, value, weight, active_indptr, active_index, *ctx.rest = inputs
    ctx.weight_shape = list(weight.shape)
    events = (spikes if indptr is None else None, indptr, index, value)
    ctx.save_for_backward(
        *(events if ctx.needs_input_grad[4] else (None,) * 4),
        *((weight, active_indptr, active_index) if ctx.needs_input_grad[0] else (None,) * 3),
    )


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the spikes and of the weight, each only if needed."""
    *events, weight, active_indptr, active_index = ctx.saved_tensors
    shape, in_shape, stride, padding, dense_too, backend = ctx.rest
    d_spikes = d_weight = None
    if ctx.needs_input_grad[4]:
        d_weight = torch.ops.spikefuse.event_conv2d_dweight(
            *events, grad, shape, in_shape, stride, padding, ctx.weight_shape, dense_too, backend
        )
    if ctx.needs_input_grad[0] and active_index is not None:
        d_spikes = torch.ops.spikefuse.event_conv2d_dspikes(
            grad, weight, active_indptr, active_index, in_shape, stride, padding, backend
        )
    elif ctx.needs_input_grad[0]:
        geometry = geometry_from(ctx.weight_shape, in_shape, stride, padding)
        maps = grad.reshape(shape[0] * shape[1], *geometry.out_shape)
        d_spikes = _transposed(maps, weight, geometry).reshape(shape)
    return d_spikes, None, None, None, d_weight, *(None,) * 8


_forward.register_autograd(_backward, setup_context=_setup)


def _dense(
    spikes: Tensor, weight: Tensor, in_shape: tuple[int, int, int], stride: Pair, padding: Pair
) -> Tensor:
    """torch's convolution of flat maps."""
    n_steps, n_batch, _ = spikes.shape
    maps = spikes.reshape(n_steps * n_batch, *in_shape)
    out = functional.conv2d(maps, weight, stride=stride, padding=padding)
    return out.reshape(n_steps, n_batch, out.shape[1] * out.shape[2] * out.shape[3])


def _transposed(grad: Tensor, weight: Tensor, geometry: ConvGeometry) -> Tensor:
    """Gradient of the input maps, all of it: the transposed convolution.

    `torch.nn.grad.conv2d_input` is the same, but first copies an input that it does not read.
    """
    if max(geometry.stride) > 1:
        # Strided, channels side by side are up to twice as fast.
        grad = grad.contiguous(memory_format=torch.channels_last)
        weight = weight.contiguous(memory_format=torch.channels_last)
    rest = [
        size + 2 * pad - (place - 1) * step - taps
        for size, pad, place, step, taps in zip(
            geometry.in_shape[1:],
            geometry.padding,
            geometry.out_shape[1:],
            geometry.stride,
            geometry.kernel,
            strict=True,
        )
    ]
    return functional.conv_transpose2d(
        grad, weight, stride=geometry.stride, padding=geometry.padding, output_padding=rest
    )


def _refused(weight: Tensor, geometry: ConvGeometry, gpu: bool) -> str | None:
    """Why no kernel can take these inputs."""
    if weight.dtype != torch.float32:
        return f"it needs float32, got {weight.dtype}"
    if gpu:
        return geometry.too_large_for_gpu()
    if (
        max(geometry.grid[0] * geometry.grid[1] * geometry.width, geometry.n_in)
        > np.iinfo(np.int32).max
    ):
        return "it needs maps of fewer than 2**31 cells"
    reason: str | None = eager.simd_refused()
    return reason
