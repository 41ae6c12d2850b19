"""Pooling of spike maps, and sums of spike trains: events stay events."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from spikefuse.kernels import eager, registry
from spikefuse.spikes import SpikeBatch

_POOL, _JOIN = "spike_pool", "spike_join"
registry.register(_POOL, registry.NUMBA, "spikefuse.kernels.cpu.pooling")
registry.register(_JOIN, registry.NUMBA, "spikefuse.kernels.cpu.pooling")
for _op in (_POOL, _JOIN):
    registry.register(_op, registry.CUDA, "spikefuse.kernels.gpu.ops.events")

Spikes = TypeVar("Spikes", SpikeBatch, Tensor)
Pair = tuple[int, int]
Ints = npt.NDArray[np.int32]
Mode = Literal["sum", "max"]
Rule = Literal["add", "or", "and", "iand"]
RULES = ("add", "or", "and", "iand")


def spike_pool_ref(
    spikes: Spikes,
    in_shape: tuple[int, int, int],
    kernel: Pair,
    stride: Pair | None = None,
    mode: Mode = "sum",
) -> Spikes:
    """`spike_pool` by torch's own pooling of every step: its definition."""
    if isinstance(spikes, SpikeBatch):
        dense = spike_pool_ref(spikes.to_dense(), in_shape, kernel, stride, mode)
        return SpikeBatch.from_dense(dense)
    n_steps, n_batch, _ = spikes.shape
    maps = spikes.reshape(n_steps * n_batch, *in_shape)
    step = kernel if stride is None else stride
    if mode == "sum":
        out = functional.avg_pool2d(maps, kernel, step, divisor_override=1)
    else:
        out = functional.max_pool2d(maps, kernel, step)
    return out.reshape(n_steps, n_batch, out.shape[1] * out.shape[2] * out.shape[3])


def spike_pool(
    spikes: Spikes,
    in_shape: tuple[int, int, int],
    kernel: Pair,
    stride: Pair | None = None,
    mode: Mode = "sum",
    *,
    backend: str | None = None,
) -> Spikes:
    """Pool the maps of every step over windows of cells.

    Parameters
    ----------
    spikes : SpikeBatch or Tensor, (T, B, C * H * W)
        Events come out as events, at a cost that follows their number; a dense tensor, which
        carries a gradient, comes out dense and is pooled by torch, whatever `use_backend` says.
    in_shape : (C, H, W)
    kernel, stride : (rows, columns)
        ``stride`` defaults to ``kernel``. Cells that fill no window at the far border are left out.
    mode : "sum" or "max"
        "sum" keeps the number of spikes, so that a window may send several at once. "max" sends
        one where any cell fired: the OR of binary spikes.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    as spikes, (T, B, C * H' * W')

    Raises
    ------
    ValueError
        If the sizes do not fit together, or ``mode`` is unknown.
    BackendError
        If an explicit backend cannot run.
    """
    step: Pair = kernel if stride is None else stride
    _check_windows(spikes, in_shape, kernel, step, mode)
    if isinstance(spikes, Tensor):
        # Torch's pooling is the fast path of dense maps on every device.
        if backend not in (None, registry.REFERENCE):
            registry.choose(_POOL, backend, spikes.device.type, "it needs events, got a Tensor")
        return spike_pool_ref(spikes, in_shape, kernel, step, mode)
    chosen = registry.choose(_POOL, backend, *_where(spikes, backend))
    if chosen == registry.REFERENCE:
        return spike_pool_ref(spikes, in_shape, kernel, step, mode)
    return _pooled(spikes, in_shape, kernel, step, mode == "max", chosen)


@registry.twin(_POOL, "pool")
def _pooled(
    spikes: SpikeBatch,
    in_shape: tuple[int, int, int],
    kernel: Pair,
    stride: Pair,
    largest: bool,
    backend: str,
) -> SpikeBatch:
    """Events of the pooled maps."""
    first, window = _windows(in_shape, kernel, stride)
    rows, columns = ((in_shape[1 + i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    n_out, full = in_shape[0] * rows * columns, kernel[0] * kernel[1]
    out = _Room(spikes, spikes.n_events * int(np.diff(first).max()))
    registry.kernel(_POOL, backend, "pool_events")(
        *_arrays(spikes), first, window, n_out, full, int(largest), *out.arrays
    )
    return out.batch((*spikes.shape[:2], n_out))


def _where(spikes: SpikeBatch, backend: str | None) -> tuple[str, str | None]:
    """Where the events lie, and why no kernel there can take them."""
    device = spikes.index.device.type
    reason: str | None = None if registry.on_gpu(backend, device) else eager.simd_refused()
    return device, reason


def spike_join_ref(left: Spikes, right: Spikes, rule: Rule = "add") -> Spikes:
    """`spike_join` cell by cell in plain torch: its definition."""
    if isinstance(left, SpikeBatch) and isinstance(right, SpikeBatch):
        return SpikeBatch.from_dense(spike_join_ref(left.to_dense(), right.to_dense(), rule))
    if not isinstance(left, Tensor) or not isinstance(right, Tensor):
        raise ValueError(f"right must be a {type(left).__name__}, got {type(right).__name__}")
    if rule == "add":
        return left + right
    if rule == "or":
        return torch.maximum(left, right)
    return left * right if rule == "and" else (1.0 - left) * right


def spike_join(
    left: Spikes, right: Spikes, rule: Rule = "add", *, backend: str | None = None
) -> Spikes:
    """Bring two spike trains of one shape together, cell by cell.

    Parameters
    ----------
    left, right : SpikeBatch or Tensor, (T, B, N)
        Both of one kind. Events are merged at a cost that follows their number; dense tensors
        carry gradients.
    rule : "add", "or", "and" or "iand"
        ``a + b`` (two spikes at once count twice), ``max(a, b)``, ``a b``, ``(1 - a) b`` (the
        left train holds the right one back). The first keeps an identity path: a silent branch
        changes nothing.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    as left and right

    Raises
    ------
    ValueError
        If shapes or kinds differ, or ``rule`` is unknown.
    BackendError
        If an explicit backend cannot run.

    References
    ----------
    W. Fang et al., "Deep residual learning in spiking neural networks", NeurIPS 2021: the
    element-wise functions ADD, AND and IAND.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {list(RULES)}, got {rule!r}")
    if isinstance(left, SpikeBatch) is not isinstance(right, SpikeBatch):
        raise ValueError(f"right must be a {type(left).__name__}, got {type(right).__name__}")
    if tuple(left.shape) != tuple(right.shape):
        raise ValueError(f"right must be of shape {tuple(left.shape)}, got {tuple(right.shape)}")
    if not isinstance(left, SpikeBatch) or not isinstance(right, SpikeBatch):
        if backend not in (None, registry.REFERENCE):
            registry.choose(_JOIN, backend, left.device.type, "it needs events, got a Tensor")
        return spike_join_ref(left, right, rule)
    chosen = registry.choose(_JOIN, backend, *_where(left, backend))
    if chosen == registry.REFERENCE:
        return spike_join_ref(left, right, rule)
    return _joined(left, right, RULES.index(rule), chosen)


@registry.twin(_JOIN, "join")
def _joined(left: SpikeBatch, right: SpikeBatch, rule: int, backend: str) -> SpikeBatch:
    """Events of the two trains brought together."""
    out = _Room(left, left.n_events + right.n_events)
    registry.kernel(_JOIN, backend, "join_events")(
        *_arrays(left), *_arrays(right), rule, *out.arrays
    )
    return out.batch(left.shape)


class _Room:
    """Arrays for at most ``n_events`` events in the rows of a batch, and the batch they become."""

    def __init__(self, like: SpikeBatch, n_events: int) -> None:
        self.indptr = torch.empty(like.shape[0] * like.shape[1] + 1, dtype=torch.int32)
        self.index = torch.empty(n_events, dtype=torch.int32)
        self.value = torch.empty(n_events)

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Row pointer, index and value, to be written."""
        return self.indptr.numpy(), self.index.numpy(), self.value.numpy()

    def batch(self, shape: tuple[int, int, int]) -> SpikeBatch:
        """What has been written, in memory of its own size; no values where all of them are 1."""
        n = int(self.indptr[-1])
        value = self.value[:n]
        kept = None if bool((value == 1).all()) else value.clone()
        return SpikeBatch.trusted(self.indptr, self.index[:n].clone(), kept, shape)


@lru_cache(maxsize=64)
def _windows(in_shape: tuple[int, int, int], kernel: Pair, stride: Pair) -> tuple[Ints, Ints]:
    """Windows that every address lies in, as rows: ``window[first[a] : first[a + 1]]``."""
    channels, height, wide = in_shape
    rows, columns = ((in_shape[1 + i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    channel, i, j, u, v = np.indices((channels, rows, columns, *kernel)).reshape(5, -1)
    address = (channel * height + i * stride[0] + u) * wide + j * stride[1] + v
    window = (channel * rows + i) * columns + j
    first = np.zeros(channels * height * wide + 1, np.int32)
    np.cumsum(np.bincount(address, minlength=len(first) - 1), out=first[1:])
    order = np.argsort(address, kind="stable")
    return first, window[order].astype(np.int32)


def _arrays(spikes: SpikeBatch) -> tuple[Any, ...]:
    """Row pointer, index and value (None where all are 1) as arrays."""
    value = spikes.value
    return (
        spikes.indptr.contiguous().numpy(),
        spikes.index.contiguous().numpy(),
        None if value is None else value.detach().to(torch.float32).contiguous().numpy(),
    )


def _check_windows(
    spikes: SpikeBatch | Tensor,
    in_shape: tuple[int, int, int],
    kernel: Pair,
    stride: Pair,
    mode: str,
) -> None:
    """Refuse what does not fit together."""
    if mode not in ("sum", "max"):
        raise ValueError(f"mode must be 'sum' or 'max', got {mode!r}")
    if len(in_shape) != 3 or min(in_shape) < 1:
        raise ValueError(f"in_shape must be (C, H, W) of at least 1 each, got {tuple(in_shape)}")
    for name, pair in (("kernel", kernel), ("stride", stride)):
        if len(pair) != 2 or min(pair) < 1:
            raise ValueError(f"{name} must be two numbers of at least 1, got {pair}")
    channels, height, wide = in_shape
    shape = tuple(spikes.shape)
    if len(shape) != 3 or shape[2] != channels * height * wide:
        raise ValueError(f"spikes must be [T, B, {channels * height * wide}], got shape {shape}")
    if kernel[0] > height or kernel[1] > wide:
        raise ValueError(f"kernel must fit maps of {height} by {wide}, got {kernel}")
