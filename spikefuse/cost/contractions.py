"""Products with weights, and products of two activations: what their non-zero entries cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikefuse.cost.messages import Messages, ReadAs, messages_in, on_host
from spikefuse.kernels.tally import count_some
from spikefuse.opcounts import PathCounts


@dataclass(frozen=True)
class Setting:
    """How a call is read, and who pays for it.

    Parameters
    ----------
    read_as : "auto", "whole", "events" or "frames"
        See `spikefuse.cost.messages.messages_in`.
    spiking : bool
        Whether spikes arrive as events, so that the path works per spike; else it works per frame.
    batch : int
        Samples of the call.
    modality : str
    """

    read_as: ReadAs
    spiking: bool
    batch: int
    modality: str


@dataclass(frozen=True)
class Convolution:
    """Options of ``aten::convolution`` after its weight and bias."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    transposed: bool
    output_padding: Sequence[int]
    groups: int

    def fixed(self) -> Convolution:
        """The same, as a key: torch hands out lists."""
        return Convolution(
            tuple(self.stride),
            tuple(self.padding),
            tuple(self.dilation),
            self.transposed,
            tuple(self.output_padding),
            self.groups,
        )

    def of(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution of x [B, C, ...]."""
        result: Tensor = torch.ops.aten.convolution(x, weight, None, *self._options())
        return result

    def fan_out(self, shape: torch.Size, weight: Tensor, targets: Tensor | None = None) -> Tensor:
        r"""How many weights each input drives, border effects exact, float64 ``[C, ...]``.

        The adjoint of the convolution with weights of 0 and 1, applied to ones.

        Parameters
        ----------
        shape : [C, ...]
            Of one sample.
        weight : float64 Tensor of zeros and ones
        targets : float64 Tensor of zeros and ones, optional
            Which outputs count; all of them by default.
        """
        x = torch.zeros(1, *shape, dtype=torch.float64)
        there = torch.ones_like(self.of(x, weight)) if targets is None else targets[None]
        gradient = torch.ops.aten.convolution_backward(
            there, x, weight, None, *self._options(), [True, False, False]
        )
        result: Tensor = gradient[0][0].round()
        return result

    def _options(self) -> tuple[Any, ...]:
        return (
            self.stride,
            self.padding,
            self.dilation,
            self.transposed,
            self.output_padding,
            self.groups,
        )


class Fans(NamedTuple):
    """Weights that one message of each address drives.

    Parameters
    ----------
    used, every : float64 Tensor
        Those other than zero, and all.
    n_every : int
        Sum of ``every``.
    """

    used: Tensor
    every: Tensor
    n_every: int


def convolution_fans(options: Convolution, shape: torch.Size, weight: Tensor) -> Fans:
    """Fan-out of the inputs ``[C, ...]`` of a convolution."""
    every, n_every = _all_taps(options.fixed(), shape, weight.shape)
    weight = weight.detach()
    full = not weight.numel() or count_some(weight, backend=on_host(weight)) == weight.numel()
    used = every if full else options.fan_out(shape, (weight != 0).double())
    return Fans(used, every, n_every)


def matrix_fans(weight: Tensor) -> Fans:
    """Fan-out of the inputs of ``weight [..., K, N]``."""
    used = (weight != 0).sum(-1, dtype=torch.float64)
    every = torch.full_like(used, weight.shape[-1])
    return Fans(used, every, weight.numel())


@lru_cache(maxsize=256)
def _all_taps(
    options: Convolution, shape: torch.Size, weight_shape: torch.Size
) -> tuple[Tensor, int]:
    """Fan-out by all weights of a convolution, and its sum: of no values, so found once."""
    every = options.fan_out(shape, torch.ones(weight_shape, dtype=torch.float64))
    return every, int(every.sum().round())


class Driven(NamedTuple):
    """What messages did: by weights other than zero, and by all.

    Parameters
    ----------
    acs, macs, signed, reads, total : int
        As of `spikefuse.kernels.tally.weigh`.
    graded : int
        How many of the messages have to be multiplied.
    """

    acs: int
    macs: int
    signed: int
    reads: int
    total: int
    graded: int


def driven_by(sent: Messages, fans: Fans) -> Driven:
    """What the messages of every input address did."""
    acs, signed, macs, reads, total = sent.weighed(fans.used, fans.every)
    return Driven(acs, macs, signed, reads, total, 0 if sent.are_spikes else 1)


def synapses(
    driven: Driven,
    n_every: int,
    sizes: tuple[int, int, int],
    rows: int,
    setting: Setting,
) -> PathCounts:
    """Messages through weights.

    Parameters
    ----------
    driven : Driven
    n_every : int
        Weights that one message of every input would drive.
    sizes : (int, int, int)
        Elements of the input, of the output, and of the weight.
    rows : int
        How often the weights are applied.
    """
    acs, macs, signed, reads, total, graded = driven
    dense = n_every * rows
    n_in, n_out, n_weights = sizes
    if setting.spiking and not graded:
        return PathCounts(
            effective_acs=acs,
            signed_acs=signed,
            dense_macs=dense,
            spikes_routed=total,
            weight_reads=reads,
            weight_words=n_weights,
            modality=setting.modality,
        )
    return PathCounts(
        effective_acs=acs,
        signed_acs=signed,
        effective_macs=macs,
        dense_macs=dense,
        weight_reads=dense,
        state_reads=n_in,
        state_writes=n_out,
        weight_words=n_weights,
        state_words=(n_in + n_out) // max(setting.batch, 1),
        kind="dense",
        modality=setting.modality,
    )


def weighted_product(x: Tensor, weight: Tensor, setting: Setting) -> tuple[Messages, PathCounts]:
    """``x [..., M, K] @ weight [..., K, N]``: the messages of the K inputs, and what they cause."""
    sent = messages_in(x, (x.ndim - 2,), setting.read_as)
    rows = x.shape[-2]
    sizes = x.numel(), x.numel() // max(x.shape[-1], 1) * weight.shape[-1], weight.numel()
    fans = matrix_fans(weight)
    return sent, synapses(driven_by(sent, fans), fans.n_every, sizes, rows, setting)


def activation_product(a: Tensor, b: Tensor, setting: Setting) -> PathCounts:
    """``a [..., M, K] @ b [..., K, N]`` of two activations.

    Two spikes meet in an AND, a spike adds the other factor, all else is multiplied.
    """
    left = messages_in(a, (a.ndim - 2,), setting.read_as)
    right = messages_in(b, (b.ndim - 1,), setting.read_as)
    n_out = a.numel() // max(a.shape[-1], 1) * b.shape[-1]
    return _met(left, right, a.numel() * b.shape[-1], (a.numel() + b.numel(), n_out), setting)


def elementwise_product(a: Tensor, b: Tensor, setting: Setting) -> PathCounts:
    """``a * b`` of two activations of one shape; in registers, as its factors are made."""
    left, right = (messages_in(x, (), setting.read_as) for x in (a, b))
    return _met(left, right, a.numel(), (0, 0), setting)


def scaled(x: Tensor, factor: Tensor, setting: Setting) -> PathCounts:
    """``x * factor`` by constants of the same shape: a spike adds its constant."""
    sent = messages_in(x, (), setting.read_as)
    acs, signed, macs = sent.driving((factor != 0).double())
    return PathCounts(
        effective_acs=acs,
        signed_acs=signed,
        effective_macs=macs,
        dense_macs=x.numel(),
        spikes_routed=sent.total if setting.spiking and sent.are_spikes else 0,
        kind="event" if setting.spiking and sent.are_spikes else "dense",
        modality=setting.modality,
    )


def _met(
    left: Messages, right: Messages, dense: int, traffic: tuple[int, int], setting: Setting
) -> PathCounts:
    """Every pair of messages that meet."""
    macs = _pairs(left.graded, right.graded)
    acs = _pairs(left.whole, right.graded) + _pairs(left.graded, right.whole)
    signed = sum(
        _pairs(one.negative, other.graded)
        for one, other in ((left, right), (right, left))
        if one.negative is not None
    )
    ands = _pairs(left.whole, right.whole)
    spikes = [side for side in (left, right) if side.are_spikes]
    event = setting.spiking and bool(spikes)
    n_read, n_written = traffic
    return PathCounts(
        effective_acs=acs,
        effective_macs=macs,
        signed_acs=signed,
        and_ops=ands,
        dense_macs=dense,
        spikes_routed=sum(side.total for side in spikes) if event else 0,
        state_reads=(acs if n_read else 0) if event else n_read,
        state_writes=0 if event else n_written,
        state_words=(n_read + n_written) // max(setting.batch, 1),
        kind="event" if event else "dense",
        modality=setting.modality,
    )


def _pairs(left: Tensor, right: Tensor) -> int:
    return int((left * right).sum().round())
