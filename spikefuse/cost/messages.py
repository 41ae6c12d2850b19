"""Spikes as the messages they are: how many each address sent, whether dense or as events."""

from __future__ import annotations

import math
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from spikefuse.kernels import registry
from spikefuse.kernels.tally import are_spikes, sift, tally, tally_events, weigh
from spikefuse.spikes import SpikeBatch

Spikes = Tensor | SpikeBatch
ReadAs = Literal["auto", "events", "frames", "whole"]


@dataclass(frozen=True)
class Messages:
    """Messages of every address, summed over time and batch; float64, exact for whole numbers.

    Parameters
    ----------
    whole : Tensor[N]
        Spikes: an amplitude of whole number n is abs(n) of them.
    graded : Tensor[N]
        Messages of any other amplitude but 0, which has to be multiplied.
    negative : Tensor[N], optional
        Those of ``whole`` of negative amplitude, which are subtracted; none by default.
    table : Tensor[3, N], optional
        The three as one, where they were counted together; addresses may have dimensions elsewhere.
    """

    whole: Tensor
    graded: Tensor
    negative: Tensor | None = None
    table: Tensor | None = None

    @property
    def all(self) -> Tensor:
        """Messages of both kinds, [N]."""
        return self.whole + self.graded

    @cached_property
    def total(self) -> int:
        """Number of messages."""
        return int((self.all if self.table is None else self.table[:2]).sum())

    @cached_property
    def are_spikes(self) -> bool:
        """Whether none of them has to be multiplied."""
        return not bool(self.graded.any())

    def weighed(self, used: Tensor, every: Tensor) -> tuple[int, int, int, int, int]:
        """As `driving` by ``used``, then all messages by ``every``, and their number."""
        table = self.table
        if table is None:
            nothing = torch.zeros_like(self.whole)
            negative = nothing if self.negative is None else self.negative
            table = torch.stack([self.whole, self.graded, negative])
        flat = table.reshape(3, -1)
        flat_used, flat_every = used.reshape(-1), every.reshape(-1)
        acs, macs, signed, reads, total = weigh(flat, flat_used, flat_every, backend=on_host())
        return acs, signed, macs, reads, total

    def driving(self, fan_out: Tensor) -> tuple[int, int, int]:
        """Accumulates, those of them that subtract, and multiply-accumulates.

        Parameters
        ----------
        fan_out : float64 Tensor, of the shape of the addresses
            Operations that one message of each address causes.
        """
        signed = 0 if self.negative is None else _dot(self.negative, fan_out)
        return _dot(self.whole, fan_out), signed, _dot(self.graded, fan_out)


class Remembered:
    """As a context: spikes that several layers read, or one sends and another reads, are read once.

    Spikes must not be written from outside of torch meanwhile.
    """

    def __init__(self) -> None:
        self._token: Token[Any] | None = None

    def __enter__(self) -> Remembered:
        self._token = _remembered.set(WeakIdKeyDictionary())
        return self

    def __exit__(self, *reason: Any) -> None:
        if self._token is not None:
            _remembered.reset(self._token)
            self._token = None


# Spikes -> (how often they had been written, their messages).
_remembered: ContextVar[Any] = ContextVar("spikefuse_messages", default=None)


def messages_of(spikes: Spikes) -> Messages:
    """The messages in spikes (T, B, N); events are never made dense."""
    known = _remembered.get()
    if known is None:
        return _read(spikes)
    version = _version(spikes)
    found = known.get(spikes)
    if found is None or found[0] != version or version < 0:
        found = version, _read(spikes)
        known[spikes] = found
    messages: Messages = found[1]
    return messages


def _read(spikes: Spikes) -> Messages:
    """One pass over the spikes."""
    if isinstance(spikes, SpikeBatch):
        table = tally_events(spikes)
    else:
        table = tally(spikes.reshape(-1, spikes.shape[2]))
    whole, graded, negative = table.unbind(0)
    return Messages(whole, graded, negative, table)


def _version(spikes: Spikes) -> int:
    """How often they were written; negative where nobody keeps count."""
    tensor = spikes.index if isinstance(spikes, SpikeBatch) else spikes
    return -1 if tensor.is_inference() else int(tensor._version)


def messages_in(x: Tensor, over: tuple[int, ...], read_as: ReadAs) -> Messages:
    """The messages in a dense tensor, summed over some of its dimensions.

    Parameters
    ----------
    x : Tensor
    over : tuple of int
        Dimensions to sum over; the others are addresses.
    read_as : "events", "frames", "whole" or "auto"
        Whole numbers are spikes, each for itself; everything is multiplied; whole numbers are
        spikes if all are whole; or ones are spikes if every non-zero is +1 or -1.

    Raises
    ------
    ValueError
        If ``read_as`` is unknown.
    """
    if read_as not in ("events", "frames", "whole", "auto"):
        raise ValueError(f"read_as must be 'events', 'frames', 'whole' or 'auto', got {read_as!r}")
    x = x.detach()
    rows = _as_rows(x, over)
    if rows is not None:
        table = sift(rows[0], read_as, backend=on_host())
        if not rows[1]:
            table = table.sum(1)
        whole, graded, negative = table.reshape(3, *rows[1]).unbind(0)
        return Messages(whole, graded, negative, table)
    if x.numel() == 0:
        kept = [n for d, n in enumerate(x.shape) if d not in {i % x.ndim for i in over}]
        nothing = x.new_zeros(kept, dtype=torch.double)
        return Messages(nothing, nothing)
    uniform = None if x.is_complex() else _of_one_amplitude(x, over)
    if uniform is not None:
        amount, amplitude = uniform
        nothing = torch.zeros_like(amount)
        is_spike = amplitude == 1 or (read_as != "auto" and amplitude == round(amplitude))
        if is_spike and read_as != "frames":
            return Messages(amount * amplitude, nothing)
        return Messages(nothing, amount)
    if read_as == "frames" or (read_as != "events" and not are_spikes(x, read_as)):
        graded = _summed(x != 0, over)
        return Messages(torch.zeros_like(graded), graded)
    whole, graded, negative = (_summed(part, over) for part in _split(x.double()))
    return Messages(whole, graded, negative)


def on_host(x: Tensor | None = None) -> str | None:
    """The backend that adds up x: as asked, but plain torch where what was asked for cannot."""
    asked = registry.asked()
    fits = x is None or (x.dtype == torch.float32 and x.layout == torch.strided)
    return None if asked is None or (asked == registry.NUMBA and fits) else registry.REFERENCE


def n_rows(spikes: Spikes) -> int:
    """Steps times samples: how often a layer that never rests would run."""
    return spikes.shape[0] * spikes.shape[1]


def _as_rows(x: Tensor, over: tuple[int, ...]) -> tuple[Tensor, torch.Size] | None:
    """x as rows to be summed and the shape of what is left, where a kernel does it in one pass."""
    n = len(over)
    plain = x.dtype == torch.float32 and x.device.type == "cpu" and x.layout == torch.strided
    if not plain or not 0 < n <= x.ndim or over != tuple(range(n)) or x.numel() == 0:
        return None
    kept = x.shape[n:]
    return x.reshape(-1, math.prod(kept) if kept else x.shape[-1]), kept


def _split(value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, graded messages, and the negative ones of the spikes, of every cell."""
    is_whole = (value == value.round()) & value.isfinite()
    size = value.abs()
    whole = torch.where(is_whole, size, 0.0)
    return whole, (~is_whole).double(), torch.where(value < 0, whole, 0.0)


def _of_one_amplitude(x: Tensor, over: tuple[int, ...]) -> tuple[Tensor, float] | None:
    """How many non-zeros there are, and their amplitude, if it is one and positive.

    Values from 0 to the largest add up to their number times the largest only if all are that.
    """
    if x.dtype == torch.bool:
        return _summed(x, over), 1.0
    least, most = (float(bound) for bound in x.aminmax())
    if not 0 <= least <= most < math.inf:
        return None
    if most == 0:
        return _summed(x, over), 1.0
    total = _summed(x, over)
    if float(total.sum()) != int(x.count_nonzero()) * most:
        return None
    return (total / most).round(), most


def _summed(x: Tensor, over: tuple[int, ...]) -> Tensor:
    """Sum in float64 over the given dimensions, or over none."""
    return x.sum(over, dtype=torch.float64) if over else x.double()


def _dot(messages: Tensor, fan_out: Tensor) -> int:
    """Their products summed: a whole number below 2**53."""
    return int((messages * fan_out).sum().round())
