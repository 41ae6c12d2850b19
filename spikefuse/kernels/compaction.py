"""Dense tensors to events and back, at the speed of reading or writing the tensor once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels import buffers, eager, registry
from spikefuse.spikes import SpikeBatch

_OP = "compact"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.events")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.events")

_WORD = 64


def compact_ref(dense: Tensor) -> SpikeBatch:
    """`SpikeBatch.from_dense`: the definition of `compact`."""
    return SpikeBatch.from_dense(dense)


def expand_ref(spikes: SpikeBatch, dtype: torch.dtype = torch.float32) -> Tensor:
    """`SpikeBatch.to_dense`: the definition of `expand`."""
    return spikes.to_dense(dtype)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def compact(dense: Tensor, *, backend: str | None = None) -> SpikeBatch:
    """Events of a dense tensor, row by row.

    One pass turns cells into bits, 64 to a word; a second lists the set bits. How many events come
    out depends on the data, so ``torch.compile`` leaves its graph here.

    Parameters
    ----------
    dense : Tensor[T, B, N]
        Any strides; float32 takes the fast path. A cell that is not 0 (NaN too) is an event.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    SpikeBatch of shape (T, B, N)
        Values are kept unless all of them are 1. It carries no gradient.

    Raises
    ------
    ValueError
        If ``dense`` is not [T, B, N] or has more cells than int32 can count.
    BackendError
        If an explicit backend cannot run.
    """
    if dense.ndim != 3:
        raise ValueError(f"dense must be [T, B, N], got shape {tuple(dense.shape)}")
    chosen = registry.choose(
        _OP,
        backend,
        dense.device.type,
        _refused(dense.dtype, registry.on_gpu(backend, dense.device.type)),
    )
    if chosen == registry.REFERENCE:
        return compact_ref(dense)
    return _compacted(dense, chosen)


@registry.twin(_OP, "compact")
def _compacted(dense: Tensor, backend: str) -> SpikeBatch:
    """`compact` of a checked tensor."""
    n_steps, n_batch, n = dense.shape
    flat = dense.detach().contiguous().view(-1).numpy()
    # Bits beyond the last column are never set, so every word is written whole.
    mask = np.empty((n_steps * n_batch, -(-n // _WORD)), np.uint64)
    binary = registry.kernel(_OP, backend, "mark_spikes")(flat, n, mask)
    indptr = torch.empty(len(mask) + 1, dtype=torch.int32)
    registry.kernel(_OP, backend, "count_spikes")(mask, indptr.numpy())
    n_events = int(indptr[-1])
    if dense.numel() > np.iinfo(np.int32).max and int(torch.count_nonzero(dense)) != n_events:
        raise ValueError(f"dense must hold fewer than 2**31 events, got {tuple(dense.shape)}")
    index = torch.empty(n_events, dtype=torch.int32)
    registry.kernel(_OP, backend, "list_spikes")(mask, index.numpy())
    value = None
    if not binary:
        value = torch.empty(n_events)
        registry.kernel(_OP, backend, "take_values")(
            flat, n, indptr.numpy(), index.numpy(), value.numpy()
        )
    return SpikeBatch.trusted(indptr, index, value, (n_steps, n_batch, n))


@torch.compiler.disable  # type: ignore[untyped-decorator]
def expand(
    spikes: SpikeBatch, dtype: torch.dtype = torch.float32, *, backend: str | None = None
) -> Tensor:
    """The same spikes as a dense tensor.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, N)
    dtype : torch.dtype
        float32 takes the fast path.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    Tensor[T, B, N]

    Raises
    ------
    BackendError
        If an explicit backend cannot run.
    """
    device = spikes.index.device.type
    chosen = registry.choose(
        _OP, backend, device, _refused(dtype, registry.on_gpu(backend, device))
    )
    if chosen == registry.REFERENCE:
        return expand_ref(spikes, dtype)
    return _expanded(spikes, chosen)


@registry.twin(_OP, "expand")
def _expanded(spikes: SpikeBatch, backend: str) -> Tensor:
    """`expand` to float32."""
    out = buffers.empty(spikes.shape)
    value = spikes.value
    registry.kernel(_OP, backend, "scatter_events")(
        spikes.indptr.contiguous().numpy(),
        spikes.index.contiguous().numpy(),
        None if value is None else value.detach().to(torch.float32).contiguous().numpy(),
        out.view(-1, spikes.shape[2]).numpy(),
    )
    return out


def _refused(dtype: torch.dtype, gpu: bool) -> str | None:
    """Why no kernel can take this type here."""
    if dtype != torch.float32:
        return f"it needs float32, got {dtype}"
    if gpu:
        return None
    reason: str | None = eager.simd_refused()
    return reason
