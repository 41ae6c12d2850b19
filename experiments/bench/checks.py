"""Before anything is timed: does every contender compute what it should?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels.compaction import expand
from spikefuse.spikes import SpikeBatch

# Sums in another order flip a spike now and then where a membrane meets the threshold, and a flip
# spreads through the layers behind. A wrong formula differs in percents.
SPIKE_SHARE, FEW_CELLS = 1e-3, 3
# Relative error in the L2 norm: a wrong formula is off by percents, a flipped spike by far less.
RELATIVE_ERROR = 5e-3


class CheckError(Exception):
    """A contender does not compute what it should; the message says what is off by how much."""


def check(outputs: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, float]:
    """Distance of every expected output.

    Parameters
    ----------
    outputs, expected : mappings of name to Tensor, array or SpikeBatch
        Names that start with "spikes" are compared cell by cell, others in the L2 norm.

    Returns
    -------
    dict
        Share of differing cells, or relative L2 error, by name.

    Raises
    ------
    CheckError
        If an output is missing, of another size, not finite, or too far off.
    """
    distances: dict[str, float] = {}
    for name, wanted in expected.items():
        if name not in outputs:
            raise CheckError(f"{name} must be computed, got {sorted(outputs)}")
        right, got = _dense(wanted), _dense(outputs[name])
        if got.numel() != right.numel():
            raise CheckError(f"{name} must be of {right.numel()} elements, got {got.numel()}")
        distance, limit = _distance(name, got.reshape(right.shape), right)
        if not distance <= limit:
            kind = "differing cells" if name.startswith("spikes") else "relative error"
            raise CheckError(f"{name} must be within {limit:g} ({kind}), got {distance:.3g}")
        distances[name] = distance
    return distances


def _distance(name: str, got: Tensor, right: Tensor) -> tuple[float, float]:
    """How far off an output is, and how far it may be."""
    if name.startswith("spikes"):
        share = float((got != right).double().mean()) if right.numel() else 0.0
        return share, max(SPIKE_SHARE, FEW_CELLS / max(right.numel(), 1))
    scale = float(right.double().norm())
    return float((got.double() - right.double()).norm()) / max(scale, 1e-30), RELATIVE_ERROR


def _dense(value: Any) -> Tensor:
    """Any output as a tensor."""
    if isinstance(value, SpikeBatch):
        made: Tensor = expand(value)
        return made
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, Tensor):
        dense = value.detach()
        return dense if dense.layout == torch.strided else dense.to_dense()
    raise CheckError(f"an output must be a tensor, an array or events, got {type(value).__name__}")
