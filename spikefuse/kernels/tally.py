"""How many spikes and graded messages each address sent, in one pass over a dense tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from spikefuse.kernels import registry

_OP = "tally"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.tally")


def tally_ref(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`tally` in plain torch: its definition."""
    value = x.detach().double()
    is_whole = (value == value.round()) & value.isfinite()
    whole = torch.where(is_whole, value.abs(), 0.0)
    negative = torch.where(value < 0, whole, 0.0)
    return whole.sum(0), (~is_whole).double().sum(0), negative.sum(0)


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
