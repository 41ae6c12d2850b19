"""SpikeBatchNorm: normalised currents while training, folded into the weights for inference."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from spikefuse.synapses.conv import EventConv2d
from spikefuse.synapses.linear import EventLinear


class ConstantCurrent(nn.Module):
    """A current that flows into every neuron in every step, spikes or not.

    It is what a centred normalisation leaves behind after folding. On an event-driven machine it
    is not free: one accumulate per neuron and step, and one stored word per channel.

    Parameters
    ----------
    shift : Tensor[C]
    share : int
        Neurons per channel, side by side: the positions of a map.
    """

    batch_dim = 1

    def __init__(self, shift: Tensor, share: int = 1) -> None:
        super().__init__()
        self.shift = nn.Parameter(shift.detach().clone(), requires_grad=False)
        self.share = share

    def forward(self, current: Tensor) -> Tensor:
        """``[T, B, C * share]`` to the same shape."""
        return current + self.shift.repeat_interleave(self.share)


class SpikeBatchNorm(nn.Module):
    r"""Batch normalisation of currents over time, batch and map positions.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    per channel, with the statistics of all steps together. Not centred, it only scales:
    :math:`y = \gamma x / \sqrt{\overline{x^2} + \epsilon}`; then silence stays silence, and folding
    leaves no constant current behind.

    Parameters
    ----------
    n_channels : int
    share : int
        Neurons per channel, side by side: the positions of a map.
    centred : bool
        Whether the mean is taken out and a shift learned.
    gain : float
        Initial scale; about the threshold of the neurons behind.
    momentum, eps : float
        Weight of the newest batch in the running statistics; floor of the variance.

    Raises
    ------
    ValueError
        If there is no channel or no neuron in one.

    Notes
    -----
    The running statistics are buffers, as in torch's batch normalisation: they belong to the
    weights. No state is carried from one sequence to the next.
    """

    batch_dim = 1
    mean: Tensor
    power: Tensor

    def __init__(
        self,
        n_channels: int,
        share: int = 1,
        centred: bool = True,
        gain: float = 1.0,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if min(n_channels, share) < 1:
            raise ValueError(f"n_channels and share must be at least 1, got {n_channels}, {share}")
        self.n_channels, self.share, self.centred = n_channels, share, centred
        self.momentum, self.eps = momentum, eps
        self.scale = nn.Parameter(torch.full((n_channels,), gain))
        self.shift = nn.Parameter(torch.zeros(n_channels)) if centred else None
        self.register_buffer("mean", torch.zeros(n_channels))
        # The variance, or the mean square where the mean stays in.
        self.register_buffer("power", torch.ones(n_channels))

    def forward(self, current: Tensor) -> Tensor:
        """Currents ``[T, B, C * share]`` to currents of the same shape."""
        n_steps, n_batch, n = current.shape
        if n != self.n_channels * self.share:
            raise ValueError(
                f"current must be [T, B, {self.n_channels * self.share}], got shape "
                f"{tuple(current.shape)}"
            )
        maps = current.reshape(n_steps * n_batch, self.n_channels, self.share)
        if self.centred:
            out = nn.functional.batch_norm(
                maps, self.mean, self.power, self.scale, self.shift, self.training,
                self.momentum, self.eps,
            )  # fmt: skip
        else:
            power = self.power
            if self.training:
                power = maps.square().mean((0, 2))
                with torch.no_grad():
                    self.power.lerp_(power, self.momentum)
            out = maps * (self.scale * (power + self.eps).rsqrt())[:, None]
        return out.reshape(n_steps, n_batch, n)

    @torch.no_grad()
    def fold(
        self, layer: EventLinear | EventConv2d
    ) -> tuple[EventLinear | EventConv2d, ConstantCurrent | None]:
        """Synapses that do at inference what ``layer`` and this normalisation do.

        Parameters
        ----------
        layer : EventLinear or EventConv2d
            The synapses in front; they are copied, not changed.

        Returns
        -------
        layer
            The copy, with weights scaled by :math:`\\gamma / \\sqrt{\\sigma^2 + \\epsilon}`.
        constant : ConstantCurrent or None
            To be put behind it: :math:`\\beta - \\gamma \\mu / \\sqrt{\\sigma^2 + \\epsilon}` per
            channel. None if this normalisation is not centred.

        Raises
        ------
        ValueError
            If the layer's outputs are not the channels of this normalisation.
        """
        factor = self.scale * (self.power + self.eps).rsqrt()
        folded = copy.deepcopy(layer)
        if isinstance(folded, EventConv2d):
            channels, rows, columns = folded.out_shape
            if (channels, rows * columns) != (self.n_channels, self.share):
                raise ValueError(
                    f"layer must have {self.n_channels} maps of {self.share} positions, got "
                    f"{channels} of {rows * columns}"
                )
            folded.weight.mul_(factor[:, None, None, None])
        else:
            if folded.weight.shape[1] != self.n_channels * self.share:
                raise ValueError(
                    f"layer must have {self.n_channels * self.share} outputs, got "
                    f"{folded.weight.shape[1]}"
                )
            folded.weight.mul_(factor.repeat_interleave(self.share))
        if self.shift is None:
            return folded, None
        return folded, ConstantCurrent(self.shift - self.mean * factor, self.share)
