"""Products so small that preparing an event kernel costs as much as the product itself."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels import crossover, eager, registry

# The kernel lives beside the conversion it does without: both read spikes as bits.
_OP = "compact"


def small_product(spikes: Tensor, weight: Tensor, backend: str | None) -> Tensor | None:
    """``spikes @ weight`` of a small dense input in one pass, dense where that has many events.

    It serves the automatic choice alone, where no gradient and no tracer watches; None leaves the
    call, with its checks and its messages, to `event_matmul`.

    Parameters
    ----------
    spikes : Tensor[T, B, n_in]
    weight : Tensor[n_in, n_out]
    backend : str or None
        As the caller of `event_matmul` gave it.

    Returns
    -------
    Tensor[T, B, n_out] or None
    """
    if (
        weight.ndim != 2
        or spikes.ndim != 3
        or spikes.shape[2] != weight.shape[0]
        or spikes.dtype != torch.float32
        or weight.dtype != torch.float32
    ):
        return None
    (n_steps, n_batch, n_in), n_out = spikes.shape, weight.shape[1]
    most = crossover.small_limit(spikes.numel(), n_in, n_out)
    if (
        most is None
        or not (spikes.is_cpu and weight.is_cpu)
        or not eager.left_to_us(backend)
        or not eager.nobody_watches(spikes, weight)
        or not (spikes.is_contiguous() and weight.is_contiguous())
        or eager.simd_refused() is not None
    ):
        return None
    if most > 0:
        out = torch.empty(n_steps, n_batch, n_out)
        done = registry.kernel(_OP, registry.NUMBA, "small_product")(
            spikes.detach().view(-1).numpy(),
            n_in,
            weight.detach().view(-1).numpy(),
            n_out,
            most,
            out.view(-1).numpy(),
        )
        if done:
            return out
    return torch.matmul(spikes, weight)
