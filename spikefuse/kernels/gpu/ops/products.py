"""`event_matmul` and its gradients on a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels.gpu import compaction, dispatch, launch, products
from spikefuse.kernels.gpu.compaction import Events


def events_of(
    spikes: Tensor | None, indptr: Tensor | None, index: Tensor | None, value: Tensor | None
) -> Events:
    """The given events, or those of the dense input, which the host does not wait for."""
    if indptr is not None and index is not None:
        return indptr, index, None if value is None else value.float()
    if spikes is None:
        raise ValueError("spikes must be given, dense or as events, got neither")
    rows = spikes.detach().reshape(-1, spikes.shape[-1]).contiguous()
    return compaction.compact_unread(launch.current(), rows)


def product(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    weight: Tensor,  # [n_in, n_out]
    active_indptr: Tensor | None,
    active_index: Tensor | None,
    shape: list[int],
    dense_too: bool,
) -> Tensor:
    """The product [T, B, n_out], by events or dense."""
    n_events = None if index is None else len(index)
    if dense_too and dispatch.dense_wins(n_events, shape, weight.shape[1], weight.device):
        return torch.matmul(dense_of(spikes, indptr, index, value, shape), weight)
    events = events_of(spikes, indptr, index, value)
    out = products.gather(launch.current(), *events, weight.detach().contiguous())
    return out.view(shape[0], shape[1], weight.shape[1])


def weight_gradient(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    grad: Tensor,  # [T, B, n_out]
    shape: list[int],
    dense_too: bool,
) -> Tensor:
    """``X^T grad`` as [n_in, n_out], the same bits each time."""
    n_in, n_out = shape[2], grad.shape[2]
    rows = grad.reshape(-1, n_out).contiguous()
    n_events = None if index is None else len(index)
    if dense_too and dispatch.dense_wins(n_events, shape, n_out, grad.device):
        x = dense_of(spikes, indptr, index, value, shape)
        return torch.matmul(x.reshape(-1, n_in).t(), rows)
    events = events_of(spikes, indptr, index, value)
    columns = compaction.transpose(launch.current(), events, n_in)
    return products.gather(launch.current(), *columns, rows)


def input_gradient(grad: Tensor, weight: Tensor, indptr: Tensor, index: Tensor) -> Tensor:
    """``grad W^T`` at the given cells, zero elsewhere, [T, B, n_in]."""
    n_steps, n_batch, n_out = grad.shape
    rows = grad.reshape(-1, n_out).contiguous()
    weight = weight.detach().contiguous()
    out = products.site_gradient(launch.current(), indptr, index, rows, weight)
    return out.view(n_steps, n_batch, len(weight))


def dense_of(
    spikes: Tensor | None,
    indptr: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    shape: list[int],
) -> Tensor:
    """The input as a dense tensor."""
    if spikes is not None:
        return spikes.detach()
    events = events_of(None, indptr, index, value)
    return compaction.expand(launch.current(), events, shape[2]).view(shape)
