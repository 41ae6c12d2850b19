"""Fused inference: synapses and neurons of one layer in one pass, events in and events out.

No current ``[T, B, N]`` is ever stored and nothing carries a gradient; training goes through
`event_matmul` and the neuron scans, which these functions equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spikefuse.kernels import buffers, packing, registry, threads, watching
from spikefuse.kernels.launch import product_kernel
from spikefuse.kernels.neurons import Reset, li_scan_ref, lif_scan_ref
from spikefuse.kernels.products import event_matmul_ref
from spikefuse.spikes import SpikeBatch

_OP = "fused_layer"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.products")
registry.register(_OP, registry.CUDA, "spikefuse.kernels.gpu.ops.layers")

Sources = SpikeBatch | Sequence[SpikeBatch]
Weights = Tensor | Sequence[Tensor]


def fused_event_lif_ref(
    spikes: Sources,
    weight: Weights,
    beta: Tensor | float,
    threshold: Tensor | float,
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,
) -> tuple[SpikeBatch, Tensor]:
    """`fused_event_lif` as a product, a scan and a conversion."""
    current = _current_ref(*_as_lists(spikes, weight))
    out, v_last = lif_scan_ref(current, beta, threshold, reset=reset, v0=v0)
    return SpikeBatch.from_dense(out), v_last


def fused_event_li_ref(
    spikes: Sources, weight: Weights, beta: Tensor | float, *, v0: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`fused_event_li` as a product and a scan."""
    return li_scan_ref(_current_ref(*_as_lists(spikes, weight)), beta, v0)


def fused_event_lif(
    spikes: Sources,
    weight: Weights,
    beta: Tensor | float,
    threshold: Tensor | float,
    *,
    reset: Reset = "zero",
    v0: Tensor | None = None,
    backend: str | None = None,
) -> tuple[SpikeBatch, Tensor]:
    r"""One spiking layer on events: synapses, LIF neurons and the list of their spikes.

    .. math:: x_t = \sum_m S^m_t W^m, \quad \tilde v_t = \beta v_{t-1} + x_t, \quad
              s_t = [\tilde v_t > \theta]

    with the reset of `lif_scan_ref`. Each source's current is summed on its own in event order, as
    `event_matmul` does, and the sources are added one after the other.

    Parameters
    ----------
    spikes : SpikeBatch or sequence of them, each (T, B, n_in)
        The sources, one per modality.
    weight : Tensor[n_in, n_out] or sequence of them
        One per source.
    beta, threshold : float or Tensor[n_out]
    reset : "zero" or "subtract"
    v0 : Tensor[B, n_out], optional
        Membrane before the first step, zero by default; it is not written to.
    backend : str, optional

    Returns
    -------
    spikes : SpikeBatch of shape (T, B, n_out), v_last : Tensor[B, n_out]

    Raises
    ------
    ValueError
        If the pieces do not fit together, or something asks for a gradient.
    BackendError
        If an explicit backend cannot run.
    """
    sources, weights = _as_lists(spikes, weight)
    if reset not in ("zero", "subtract"):
        raise ValueError(f"reset must be 'zero' or 'subtract', got {reset!r}")
    _check(sources, weights, {"beta": beta, "threshold": threshold}, v0)
    chosen = registry.choose(_OP, backend, weights[0].device.type, _refused(weights, v0))
    if chosen == registry.REFERENCE:
        with torch.no_grad():
            return fused_event_lif_ref(sources, weights, beta, threshold, reset=reset, v0=v0)
    if chosen == registry.CUDA:
        return _unfused("event_lif", sources, weights, beta, threshold, reset, v0, backend)
    n_steps, n_batch, _ = sources[0].shape
    n_out = weights[0].shape[1]
    layer = _layer(sources, weights)
    n_tiles = -(-n_out // layer.width)
    v = torch.zeros(n_batch, n_tiles * layer.width)
    if v0 is not None:
        v[:, :n_out] = v0.detach()
    v = v.view(n_batch, n_tiles, layer.width).transpose(0, 1).contiguous()
    n_words = -(-n_out // 64)
    mask = np.zeros((n_steps * n_batch, 4 * n_words), np.uint16)
    active = watching.tally_for(n_batch)
    _over_samples(
        product_kernel(_OP, chosen, "fused_lif"),
        (
            *layer.arrays,
            layer.stride,
            v.numpy(),
            _per_neuron(beta, n_tiles * layer.width, 0.0),
            # Columns that only fill up the last tile never fire (infinity times no spike is NaN).
            _per_neuron(threshold, n_tiles * layer.width, float(np.finfo(np.float32).max)),
            reset == "subtract",
            mask,
            n_out,
            active,
        ),
        float(layer.n_events) * n_out,
        n_batch,
    )
    watching.tell(active)
    bits = mask.view(np.uint64)
    indptr = torch.empty(n_steps * n_batch + 1, dtype=torch.int32)
    product_kernel(_OP, chosen, "count_spikes")(bits, indptr.numpy())
    index = torch.empty(int(indptr[-1]), dtype=torch.int32)
    product_kernel(_OP, chosen, "list_spikes")(bits, index.numpy())
    out = SpikeBatch.trusted(indptr, index, None, (n_steps, n_batch, n_out))
    return out, v.transpose(0, 1).reshape(n_batch, -1)[:, :n_out].contiguous()


def fused_event_li(
    spikes: Sources,
    weight: Weights,
    beta: Tensor | float,
    *,
    v0: Tensor | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""One leaky readout on events: :math:`v_t = \beta v_{t-1} + (1 - \beta) \sum_m S^m_t W^m`.

    Parameters
    ----------
    spikes, weight, v0, backend
        As in `fused_event_lif`.
    beta : float or Tensor[n_out]

    Returns
    -------
    trace : Tensor[T, B, n_out], v_last : Tensor[B, n_out]

    Raises
    ------
    ValueError
        If the pieces do not fit together, or something asks for a gradient.
    BackendError
        If an explicit backend cannot run.
    """
    sources, weights = _as_lists(spikes, weight)
    _check(sources, weights, {"beta": beta}, v0)
    chosen = registry.choose(_OP, backend, weights[0].device.type, _refused(weights, v0))
    if chosen == registry.REFERENCE:
        with torch.no_grad():
            return fused_event_li_ref(sources, weights, beta, v0=v0)
    if chosen == registry.CUDA:
        return _unfused("event_li", sources, weights, beta, v0, backend)
    n_steps, n_batch, _ = sources[0].shape
    n_out = weights[0].shape[1]
    layer = _layer(sources, weights)
    v = torch.zeros(n_batch, n_out)
    if v0 is not None:
        v.copy_(v0.detach())
    out = buffers.empty((n_steps, n_batch, n_out))
    active = watching.tally_for(n_batch)
    _over_samples(
        product_kernel(_OP, chosen, "fused_li"),
        (
            *layer.arrays,
            layer.stride,
            layer.width,
            v.numpy(),
            _per_neuron(beta, n_out, 0.0),
            _per_neuron(1.0 - beta, n_out, 0.0),
            out.view(-1, n_out).numpy(),
            (v.numpy()[: len(active)] != 0).view(np.uint8),
            active,
        ),
        float(layer.n_events) * n_out,
        n_batch,
    )
    watching.tell(active)
    return out, v


@torch.no_grad()
def _unfused(name: str, *arguments: Any) -> tuple[Any, Tensor]:
    """The layer as CUDA runs it."""
    made: tuple[Any, Tensor] = registry.kernel(_OP, registry.CUDA, name)(*arguments)
    return made


def _over_samples(
    kernel: Callable[..., Any], arguments: tuple[Any, ...], work: float, n_batch: int
) -> None:
    """Run a kernel over all samples, in chunks of samples where the work is worth threads."""
    n_chunks = threads.chunk_count(work, max(n_batch, 1))
    cuts = [n_batch * i // n_chunks for i in range(n_chunks + 1)]
    threads.run_chunks(lambda first, last: kernel(*arguments, first, last), cuts)


@dataclass(frozen=True)
class _Layer:
    """What the kernels read: all sources' events and weight tables, end to end.

    ``arrays`` are the row pointers ``[sources, rows + 1]``, indices, values or None, the flat
    table, and per source where its table starts and how far its tiles are apart.
    """

    arrays: tuple[Any, ...]
    stride: int
    width: int

    @property
    def n_events(self) -> int:
        """Events of all sources."""
        return len(self.arrays[1])


def _layer(sources: list[SpikeBatch], weights: list[Tensor]) -> _Layer:
    """Join the sources; one source is passed on without a copy."""
    n_out = weights[0].shape[1]
    if len(sources) == 1:
        (batch,) = sources
        table = packing.table_of(weights[0], batch.n_events)
        value = None if batch.value is None else _floats(batch.value)
        arrays = (
            batch.indptr.contiguous().numpy()[None],
            batch.index.contiguous().numpy(),
            value,
            table.flat,
            np.zeros(1, np.int64),
            np.array([table.tile_step], np.int64),
        )
        return _Layer(arrays, table.stride, table.width)
    width = min(packing.tile_width(w.shape[0], n_out) for w in weights)
    # Joined tables must share one stride, so every source is packed.
    flat, tables = packing.joined_tables(weights, width)
    sizes = np.array([0] + [len(t.flat) for t in tables[:-1]], np.int64)
    counts = np.array([0] + [s.n_events for s in sources[:-1]], np.int64)
    ptr = [s.indptr.numpy() + n for s, n in zip(sources, counts.cumsum(), strict=True)]
    value = None
    if any(s.value is not None for s in sources):
        value = np.concatenate(
            [
                np.ones(s.n_events, np.float32) if s.value is None else _floats(s.value)
                for s in sources
            ]
        )
    arrays = (
        np.stack(ptr).astype(np.int32),
        np.concatenate([s.index.numpy() for s in sources]),
        value,
        flat,
        sizes.cumsum(),
        np.array([t.tile_step for t in tables], np.int64),
    )
    return _Layer(arrays, width, width)


def _as_lists(spikes: Sources, weight: Weights) -> tuple[list[SpikeBatch], list[Tensor]]:
    """Sources and weights as lists of one length."""
    sources = [spikes] if isinstance(spikes, SpikeBatch | Tensor) else list(spikes)
    weights = [weight] if isinstance(weight, Tensor) else list(weight)
    if not sources or len(sources) != len(weights):
        raise ValueError(
            f"weight must be one per source and at least one, got {len(weights)} for "
            f"{len(sources)} sources"
        )
    return sources, weights


def _check(
    sources: list[SpikeBatch],
    weights: list[Tensor],
    neurons: dict[str, Tensor | float],
    v0: Tensor | None,
) -> None:
    """Everything has the shape that the first source and weight ask for."""
    n_steps, n_batch, _ = sources[0].shape
    n_out = weights[0].shape[-1]
    for source, weight in zip(sources, weights, strict=True):
        if not isinstance(source, SpikeBatch):
            raise ValueError(f"spikes must be SpikeBatch, got {type(source).__name__}")
        if weight.ndim != 2 or tuple(weight.shape) != (source.shape[2], n_out):
            raise ValueError(
                f"weight must be [{source.shape[2]}, {n_out}], got shape {tuple(weight.shape)}"
            )
        if source.shape[:2] != (n_steps, n_batch):
            raise ValueError(
                f"spikes must all be of {n_steps} steps and {n_batch} samples, got {source.shape}"
            )
    for name, value in neurons.items():
        if isinstance(value, Tensor) and value.shape not in ((), (n_out,)):
            raise ValueError(f"{name} must be a number or [{n_out}], got {tuple(value.shape)}")
    if v0 is not None and tuple(v0.shape) != (n_batch, n_out):
        raise ValueError(f"v0 must be [{n_batch}, {n_out}], got shape {tuple(v0.shape)}")
    if torch.is_grad_enabled():
        named: dict[str, Any] = {f"weight[{i}]": w for i, w in enumerate(weights)}
        named |= neurons | {"v0": v0}
        for name, given in named.items():
            if isinstance(given, Tensor) and given.requires_grad:
                raise ValueError(
                    f"{name} must not ask for a gradient, got requires_grad=True; call inside "
                    "torch.no_grad(), or train through event_matmul"
                )


def _refused(weights: list[Tensor], v0: Tensor | None) -> str | None:
    """Why no kernel can take these inputs."""
    tensors = weights if v0 is None else [*weights, v0]
    odd = next((t.dtype for t in tensors if t.dtype != torch.float32), None)
    if odd is not None:
        return f"it needs float32, got {odd}"
    return None if weights[0].shape[1] else "it needs at least one output"


def _current_ref(sources: list[SpikeBatch], weights: list[Tensor]) -> Tensor:
    """Sum of the sources' products, one after the other."""
    currents = [event_matmul_ref(s, w) for s, w in zip(sources, weights, strict=True)]
    return sum(currents[1:], currents[0])


def _per_neuron(value: Tensor | float, size: int, filler: float) -> npt.NDArray[np.float32]:
    """One float32 per neuron, ``filler`` beyond the last."""
    out = np.full(size, filler, np.float32)
    if isinstance(value, Tensor) and value.ndim == 1:
        out[: len(value)] = _floats(value)
    else:
        out[:] = np.float32(float(value))
    return out


def _floats(values: Tensor) -> npt.NDArray[np.float32]:
    """A float32 array of the values."""
    return values.detach().to(torch.float32).contiguous().numpy()
