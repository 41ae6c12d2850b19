"""How many spikes and graded messages each address sent, and what they drive, in one pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikefuse.kernels import registry
from spikefuse.spikes import SpikeBatch

_OP = "tally"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.tally")


def tally_ref(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`tally` in plain torch: its definition."""
    whole, graded, negative = _split(x.detach().double())
    return whole.sum(0), graded.sum(0), negative.sum(0)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def tally(x: Tensor, *, backend: str | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Messages of every column, summed over the rows.

    Parameters
    ----------
    x : Tensor[R, N]
        Contiguous float32 takes the fast path.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    whole, graded, negative : float64 Tensor[N]
        A whole number n is abs(n) messages, and a negative one is in ``negative`` as well; any
        other value but 0 is one graded message.

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
    found = torch.zeros(3, x.shape[1], dtype=torch.float64)
    registry.kernel(_OP, chosen, "tally_columns")(x.detach().contiguous().numpy(), found.numpy())
    whole, graded, negative = found.unbind(0)
    return whole, graded, negative


def tally_events_ref(spikes: SpikeBatch) -> tuple[Tensor, Tensor, Tensor]:
    """`tally_events` in plain torch: its definition."""
    index, n = spikes.index.long(), spikes.shape[2]
    value = torch.ones(len(index)) if spikes.value is None else spikes.value.detach()
    whole, graded, negative = (
        torch.bincount(index, weights=part, minlength=n) for part in _split(value.double())
    )
    return whole, graded, negative


@torch.compiler.disable  # type: ignore[untyped-decorator]
def tally_events(
    spikes: SpikeBatch, *, backend: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """`tally` of events, which are never made dense.

    Parameters
    ----------
    spikes : SpikeBatch of shape (T, B, N)
    backend : str, optional

    Returns
    -------
    whole, graded, negative : float64 Tensor[N]

    Raises
    ------
    BackendError
        If an explicit backend cannot run.
    """
    value = spikes.value
    odd = value is not None and value.dtype != torch.float32
    refused = f"values must be float32, got {value.dtype}" if value is not None and odd else None
    chosen = registry.choose(_OP, backend, spikes.index.device.type, refused)
    if chosen == registry.REFERENCE:
        return tally_events_ref(spikes)
    found = torch.zeros(3, spikes.shape[2], dtype=torch.float64)
    registry.kernel(_OP, chosen, "tally_events")(
        spikes.index.contiguous().numpy(),
        None if value is None else value.detach().contiguous().numpy(),
        found.numpy(),
    )
    whole, graded, negative = found.unbind(0)
    return whole, graded, negative


def weigh_ref(
    whole: Tensor, graded: Tensor, negative: Tensor, used: Tensor, every: Tensor
) -> tuple[int, int, int, int, int]:
    """`weigh` in plain torch: its definition."""
    messages = whole + graded
    parts = (whole * used, graded * used, negative * used, messages * every, messages)
    acs, macs, signed, reads, total = (int(part.sum().round()) for part in parts)
    return acs, macs, signed, reads, total


@torch.compiler.disable  # type: ignore[untyped-decorator]
def weigh(
    whole: Tensor,
    graded: Tensor,
    negative: Tensor,
    used: Tensor,
    every: Tensor,
    *,
    backend: str | None = None,
) -> tuple[int, int, int, int, int]:
    """What messages drive, in whole numbers below 2**53.

    Parameters
    ----------
    whole, graded, negative : float64 Tensor[N]
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
    parts = (whole, graded, negative, used, every)
    chosen = registry.choose(_OP, backend, whole.device.type)
    if chosen == registry.REFERENCE:
        return weigh_ref(*parts)
    sums = np.zeros(5)
    registry.kernel(_OP, chosen, "weigh")(*(p.contiguous().numpy() for p in parts), sums)
    acs, macs, signed, reads, total = (round(s) for s in sums.tolist())
    return acs, macs, signed, reads, total


def _split(value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, graded messages, and the negative ones of the spikes, of every cell."""
    is_whole = (value == value.round()) & value.isfinite()
    whole = torch.where(is_whole, value.abs(), 0.0)
    return whole, (~is_whole).double(), torch.where(value < 0, whole, 0.0)
