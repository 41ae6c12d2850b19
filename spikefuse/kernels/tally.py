"""How many spikes and graded messages each address sent, and what they drive, in one pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels import registry
from spikefuse.spikes import SpikeBatch

_OP = "tally"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.tally")


def tally_ref(x: Tensor) -> Tensor:
    """`tally` in plain torch: its definition."""
    return _split(x.detach().double()).sum(1)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def tally(x: Tensor, *, backend: str | None = None) -> Tensor:
    """Messages of every column, summed over the rows.

    Parameters
    ----------
    x : Tensor[R, N]
        Contiguous float32 takes the fast path.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    float64 Tensor[3, N]
        Whole, graded and negative messages: a whole number n is abs(n) whole ones, and a negative
        one is among the negative as well; any other value but 0 is one graded message.

    Raises
    ------
    ValueError
        If ``x`` is not [R, N].
    BackendError
        If an explicit backend cannot run.
    """
    if x.ndim != 2:
        raise ValueError(f"x must be [R, N], got shape {tuple(x.shape)}")
    refused = None if x.dtype == torch.float32 else f"x must be float32, got {x.dtype}"
    chosen = registry.choose(_OP, backend, x.device.type, refused)
    if chosen == registry.REFERENCE:
        return tally_ref(x)
    found = np.zeros((3, x.shape[1]))
    registry.kernel(_OP, chosen, "tally_columns")(x.detach().contiguous().numpy(), found)
    return torch.from_numpy(found)


def tally_events_ref(spikes: SpikeBatch) -> Tensor:
    """`tally_events` in plain torch: its definition."""
    index, n = spikes.index.long(), spikes.shape[2]
    value = torch.ones(len(index)) if spikes.value is None else spikes.value.detach()
    parts = _split(value.double())
    return torch.stack([torch.bincount(index, weights=part, minlength=n) for part in parts])


@torch.compiler.disable  # type: ignore[untyped-decorator]
def tally_events(spikes: SpikeBatch, *, backend: str | None = None) -> Tensor:
    """`tally` of events, which are never made dense.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, N)
    backend : str, optional

    Returns
    -------
    float64 Tensor[3, N]

    Raises
    ------
    BackendError
        If an explicit backend cannot run.
    """
    index, value = spikes.index, spikes.value
    refused = None
    if value is not None and value.dtype != torch.float32:
        refused = f"values must be float32, got {value.dtype}"
    chosen = registry.choose(_OP, backend, index.device.type, refused)
    if chosen == registry.REFERENCE:
        return tally_events_ref(spikes)
    found = np.zeros((3, spikes.shape[2]))
    amplitudes = None if value is None else value.detach().contiguous().numpy()
    kernel = registry.kernel(_OP, chosen, "tally_events")
    kernel(index.contiguous().numpy(), amplitudes, found)
    return torch.from_numpy(found)


def weigh_ref(table: Tensor, used: Tensor, every: Tensor) -> tuple[int, int, int, int, int]:
    """`weigh` in plain torch: its definition."""
    messages = table[0] + table[1]
    parts = (*(table * used), messages * every, messages)
    acs, macs, signed, reads, total = (int(part.sum().round()) for part in parts)
    return acs, macs, signed, reads, total


@torch.compiler.disable  # type: ignore[untyped-decorator]
def weigh(
    table: Tensor, used: Tensor, every: Tensor, *, backend: str | None = None
) -> tuple[int, int, int, int, int]:
    """What messages drive, in whole numbers below 2**53.

    Parameters
    ----------
    table : float64 Tensor[3, N]
        As of `tally`.
    used, every : float64 Tensor[N]
        Weights that one message of each address drives: those other than zero, and all.
    backend : str, optional

    Returns
    -------
    acs, macs, signed, reads, total : int
        Whole, graded and negative messages times ``used``, all messages times ``every``, and their
        number.
    """
    chosen = registry.choose(_OP, backend, table.device.type)
    if chosen == registry.REFERENCE:
        return weigh_ref(table, used, every)
    sums = registry.kernel(_OP, chosen, "weigh")(table.numpy(), used.numpy(), every.numpy())
    acs, macs, signed, reads, total = map(round, sums)
    return acs, macs, signed, reads, total


def _split(value: Tensor) -> Tensor:
    """Spikes, graded messages, and the negative ones of the spikes, of every cell: ``[3, ...]``."""
    is_whole = (value == value.round()) & value.isfinite()
    whole = torch.where(is_whole, value.abs(), 0.0)
    return torch.stack([whole, (~is_whole).double(), torch.where(value < 0, whole, 0.0)])
