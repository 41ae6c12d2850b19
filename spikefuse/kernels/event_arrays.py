"""Events as the arrays that kernels read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spikefuse.kernels.compaction import compact

Events = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32] | None]


def arrays_of(indptr: Tensor, index: Tensor, value: Tensor | None) -> Events:
    """Row pointers, addresses and amplitudes (None where all are 1)."""
    scale = None if value is None else value.detach().to(torch.float32).contiguous().numpy()
    return indptr.contiguous().numpy(), index.contiguous().numpy(), scale


def given_or_found(
    spikes: Tensor | None, indptr: Tensor | None, index: Tensor | None, value: Tensor | None
) -> Events:
    """The given events, or those of the dense input."""
    if indptr is None or index is None:
        if spikes is None:
            raise ValueError("spikes must be given, dense or as events, got neither")
        batch = compact(spikes)
        indptr, index, value = batch.indptr, batch.index, batch.value
    return arrays_of(indptr, index, value)
