"""What fused layers share: checks, parameters as padded lanes, and spikes from bits to lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spikefuse.kernels import eager, registry, threads
from spikefuse.spikes import SpikeBatch

Floats = npt.NDArray[np.float32]

# Threshold of lanes that only fill up a block (infinity times no spike would be NaN).
NEVER = float(np.finfo(np.float32).max)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def listed(bits: Tensor, shape: tuple[int, int, int], op: str, backend: str) -> SpikeBatch:
    """Spikes as events from int64 bits ``[T * B, words]``; how many there are depends on the data.

    Parameters
    ----------
    bits : int64 Tensor[T * B, words]
        Bit i of word k is neuron 64 k + i.
    shape : (T, B, N)
    op, backend : str
        Whose kernels list them.
    """
    words = bits.numpy().view(np.uint64)
    indptr = torch.empty(len(words) + 1, dtype=torch.int32)
    registry.kernel(op, backend, "count_spikes")(words, indptr.numpy())
    index = torch.empty(int(indptr[-1]), dtype=torch.int32)
    registry.kernel(op, backend, "list_spikes")(words, index.numpy())
    return SpikeBatch.trusted(indptr, index, None, shape)


def over_samples(
    kernel: Callable[..., Any], arguments: tuple[Any, ...], work: float, n_batch: int
) -> None:
    """Run a kernel over all samples, in chunks of samples where the work is worth threads."""
    n_chunks = threads.chunk_count(work, max(n_batch, 1))
    cuts = [n_batch * i // n_chunks for i in range(n_chunks + 1)]
    threads.run_chunks(lambda first, last: kernel(*arguments, first, last), cuts)


def check_neurons(
    shape: tuple[int, int, int], parameters: dict[str, Tensor | float], v0: Tensor | None
) -> None:
    """Neuron parameters and membrane fit ``(T, B, N)``."""
    _, n_batch, n = shape
    for name, value in parameters.items():
        if isinstance(value, Tensor) and value.shape not in ((), (n,)):
            raise ValueError(f"{name} must be a number or [{n}], got {tuple(value.shape)}")
    if v0 is not None and tuple(v0.shape) != (n_batch, n):
        raise ValueError(f"v0 must be [{n_batch}, {n}], got shape {tuple(v0.shape)}")


def check_no_gradient(**named: Tensor | float | None) -> None:
    """Refuse what asks for a gradient, which inference would lose without a word."""
    for name, given in named.items():
        if isinstance(given, Tensor) and eager.wants_grad(given):
            raise ValueError(
                f"{name} must not ask for a gradient, got requires_grad=True; call inside "
                "torch.no_grad(), or train through the separate operations"
            )


def refused(weight: Tensor, *states: Tensor | None, backend: str | None = None) -> str | None:
    """Why no kernel of ``backend`` can take these float tensors."""
    tensors = [weight, *(state for state in states if state is not None)]
    odd = next((t.dtype for t in tensors if t.dtype != torch.float32), None)
    if odd is not None:
        return f"it needs float32, got {odd}"
    if registry.on_gpu(backend, weight.device.type):
        return None
    reason: str | None = eager.simd_refused()
    return reason


def lanes(value: Tensor | float, n: int) -> Tensor:
    """A neuron parameter as float32 ``[n]``."""
    if isinstance(value, Tensor):
        return value.detach().to(torch.float32).expand(n)
    return torch.full((n,), value, dtype=torch.float32)


def padded(values: Tensor, size: int, filler: float) -> Floats:
    """Values ``[n]``, then ``filler`` up to ``size``."""
    out = np.full(size, filler, np.float32)
    out[: len(values)] = values.numpy()
    return out
