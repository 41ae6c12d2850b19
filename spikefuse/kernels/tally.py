"""How many spikes and graded messages each address sent, and what they drive, in one pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikefuse._types import Float32Array
from spikefuse.kernels import registry
from spikefuse.spikes import SpikeBatch

_OP = "tally"
registry.register(_OP, registry.NUMBA, "spikefuse.kernels.cpu.tally")
_READINGS = ("frames", "auto", "whole", "events")


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


def sift_ref(x: Tensor, reading: str) -> Tensor:
    """`sift` in plain torch: its definition."""
    x = x.detach()
    if reading == "frames" or (reading != "events" and not are_spikes(x, reading)):
        graded = (x != 0).sum(0, dtype=torch.float64)
        return torch.stack([torch.zeros_like(graded), graded, torch.zeros_like(graded)])
    return tally_ref(x)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def sift(x: Tensor, reading: str, *, backend: str | None = None) -> Tensor:
    """Messages of every column as `tally` has them, or, of a frame, its non-zeros as graded ones.

    Parameters
    ----------
    x : Tensor[R, N]
        Contiguous float32 takes the fast path.
    reading : "frames", "auto", "whole" or "events"
        It is a frame; unless every non-zero is +1 or -1; unless all are whole numbers; never.
    backend : str, optional
        One of `registry.BACKENDS`.

    Returns
    -------
    float64 Tensor[3, N]

    Raises
    ------
    ValueError
        If ``x`` is not [R, N] or there is no such reading.
    BackendError
        If an explicit backend cannot run.
    """
    chosen = _check(x, reading, backend)
    if chosen == registry.REFERENCE:
        return sift_ref(x, reading)
    found = np.zeros((3, x.shape[1]))
    cells = x.detach().contiguous().numpy()
    registry.kernel(_OP, chosen, "sift_columns")(cells, _READINGS.index(reading), found)
    return torch.from_numpy(found)


def drive_ref(
    x: Tensor, reading: str, used: Tensor, every: Tensor
) -> tuple[int, int, int, int, int, int]:
    """`drive` in plain torch: its definition."""
    table = sift_ref(x, reading)
    return *weigh_ref(table, used, every), int(table[1].sum())


@torch.compiler.disable  # type: ignore[untyped-decorator]
def drive(
    x: Tensor, reading: str, used: Tensor, every: Tensor, *, backend: str | None = None
) -> tuple[int, int, int, int, int, int]:
    """What the messages of x drive: `sift` and `weigh` as one, then how many are graded.

    Parameters
    ----------
    x : Tensor[R, N]
        Contiguous float32 takes the fast path.
    reading : str
        As of `sift`.
    used, every : float64 Tensor[N]
        As of `weigh`.
    backend : str, optional

    Returns
    -------
    acs, macs, signed, reads, total, graded : int

    Raises
    ------
    ValueError
        As of `sift`.
    BackendError
        If an explicit backend cannot run.
    """
    chosen = _check(x, reading, backend)
    if chosen == registry.REFERENCE:
        return drive_ref(x, reading, used, every)
    cells = x.detach().contiguous().numpy()
    code = _READINGS.index(reading)
    sums = registry.kernel(_OP, chosen, "drive")(cells, code, used.numpy(), every.numpy())
    acs, macs, signed, reads, total, graded = map(round, sums)
    return acs, macs, signed, reads, total, graded


def _check(x: Tensor, reading: str, backend: str | None) -> str:
    """The backend that reads x."""
    if x.ndim != 2:
        raise ValueError(f"x must be [R, N], got shape {tuple(x.shape)}")
    if reading not in _READINGS:
        raise ValueError(f"reading must be one of {list(_READINGS)}, got {reading!r}")
    refused = None if x.dtype == torch.float32 else f"x must be float32, got {x.dtype}"
    chosen: str = registry.choose(_OP, backend, x.device.type, refused)
    return chosen


def are_spikes(x: Tensor, reading: str) -> bool:
    """Whether all can be spikes, ``"whole"`` ones or else of +1 and -1."""
    if x.is_complex():
        return False
    found = x == x.round() if reading == "whole" else (x == 0) | (x.abs() == 1)
    return bool(found.all())


@torch.compiler.disable  # type: ignore[untyped-decorator]
def count_some(x: Tensor, other: Tensor | None = None, *, backend: str | None = None) -> int:
    """Cells in which ``x``, or ``other`` of the same shape, is not zero.

    Raises
    ------
    BackendError
        If an explicit backend cannot run.
    """
    fits = _fits(x) and (other is None or _fits(other))
    refused = None if fits else "x must be dense float32"
    chosen = registry.choose(_OP, backend, x.device.type, refused)
    if chosen == registry.REFERENCE:
        return int((x != 0).sum() if other is None else ((x != 0) | (other != 0)).sum())
    if other is None:
        n: int = registry.kernel(_OP, chosen, "count_some")(_flat(x))
    else:
        n = registry.kernel(_OP, chosen, "count_either")(_flat(x), _flat(other))
    return n


@torch.compiler.disable  # type: ignore[untyped-decorator]
def count_spikes(x: Tensor, reading: str, *, backend: str | None = None) -> int | None:
    """Spikes in x read as by `sift`; None if one of its messages is graded.

    Raises
    ------
    BackendError
        If an explicit backend cannot run.
    """
    refused = None if _fits(x) else "x must be dense float32"
    chosen = registry.choose(_OP, backend, x.device.type, refused)
    if chosen == registry.REFERENCE:
        whole, graded, _ = sift_ref(x.reshape(-1, 1), reading)
        return None if graded.any() else int(whole)
    code = _READINGS.index(reading)
    total = registry.kernel(_OP, chosen, "count_spikes")(_flat(x), code)
    return None if total < 0 else int(total)


def _fits(x: Tensor) -> bool:
    """Whether a kernel can look at its values."""
    return x.dtype == torch.float32 and x.layout == torch.strided


def _flat(x: Tensor) -> Float32Array:
    """Its values in a row."""
    flat: Float32Array = x.detach().reshape(-1).numpy()
    return flat


def tally_events_ref(spikes: SpikeBatch) -> Tensor:
    """`tally_events` in plain torch: its definition."""
    index, n = spikes.index.long(), spikes.shape[2]
    ones = index.new_ones(len(index), dtype=torch.float32)
    value = ones if spikes.value is None else spikes.value.detach()
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
