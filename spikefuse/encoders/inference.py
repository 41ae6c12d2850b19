"""Trained modules as fused layers: what inference shares over all models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spikefuse.encoders.observing import FusedLayer, observed
from spikefuse.kernels.compaction import compact
from spikefuse.kernels.fused import fused_event_li, fused_event_lif
from spikefuse.kernels.fused_conv import fused_conv_lif
from spikefuse.kernels.fused_delay import fused_delayed_lif
from spikefuse.neurons import LIF, FixedLIF, FixedReadout, LIReadout
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import DelayedLinear, EventConv2d, EventLinear


@torch.no_grad()
def infer_lif(
    events: Sequence[SpikeBatch],
    synapses: Sequence[nn.Module],
    neuron: nn.Module,
    v0: Tensor | None = None,
    weights: Sequence[Tensor] | None = None,
) -> tuple[SpikeBatch, Tensor]:
    """Linear synapses of one or more sources and the LIF neurons that they drive, fused.

    Parameters
    ----------
    events : sequence of SpikeBatch, each (T, B, n_in)
    synapses : sequence of EventLinear
        One per source.
    neuron : LIF or FixedLIF
        A layer without recurrence. Whole numbers have no fused kernel: their currents are dense.
    v0 : Tensor[B, n_out], optional
        Membrane before the first step, zero by default.
    weights : sequence of Tensor[n_in, n_out], optional
        What the synapses multiply by, where that is not their ``weight``.

    Returns
    -------
    events : SpikeBatch of shape (T, B, n_out), v_last : Tensor[B, n_out]

    Raises
    ------
    ValueError
        If a module is of another kind, or the layer is recurrent.

    See Also
    --------
    spikefuse.kernels.fused_event_lif : the operation.
    """
    if isinstance(neuron, FixedLIF):
        currents = [synapse(part) for part, synapse in zip(events, synapses, strict=True)]
        fired, v = neuron(sum(currents[1:], currents[0]), v0)
        return compact(fired), v
    plain = _plain_lif(neuron)
    p = plain.params
    used = [_weight(synapse) for synapse in synapses]
    if weights is not None:
        used = list(weights)
    return observed(
        FusedLayer(events, synapses, plain, v0),
        lambda: fused_event_lif(events, used, plain.beta(), p.threshold, reset=p.reset, v0=v0),
    )


@torch.no_grad()
def infer_conv(
    events: SpikeBatch, synapse: EventConv2d, neuron: nn.Module, v0: Tensor | None = None
) -> tuple[SpikeBatch, Tensor]:
    """Convolutional synapses and the LIF neurons that they drive, fused.

    Parameters
    ----------
    events : SpikeBatch of shape (T, B, C * H * W)
    synapse : EventConv2d
    neuron : LIF
        A layer without recurrence.
    v0 : Tensor[B, n_out], optional
        Membrane before the first step, zero by default.

    Returns
    -------
    events : SpikeBatch of shape (T, B, n_out), v_last : Tensor[B, n_out]

    Raises
    ------
    ValueError
        If the neurons are of another kind, or recurrent.

    See Also
    --------
    spikefuse.kernels.fused_conv.fused_conv_lif : the operation.
    """
    plain = _plain_lif(neuron)
    p = plain.params
    return observed(
        FusedLayer([events], [synapse], plain, v0),
        lambda: fused_conv_lif(
            events,
            synapse.weight,
            synapse.in_shape,
            plain.beta(),
            p.threshold,
            stride=synapse.stride,
            padding=synapse.padding,
            reset=p.reset,
            v0=v0,
        ),
    )


@torch.no_grad()
def infer_delayed(
    events: SpikeBatch,
    synapse: DelayedLinear,
    neuron: nn.Module,
    v0: Tensor | None = None,
    pending: Tensor | None = None,
) -> tuple[SpikeBatch, Tensor, Tensor]:
    """Delayed synapses and the LIF neurons that they drive, fused.

    Parameters
    ----------
    events : SpikeBatch of shape (T, B, n_in)
    synapse : DelayedLinear
    neuron : LIF
        A layer without recurrence.
    v0 : Tensor[B, n_out], optional
        Membrane before the first step, zero by default.
    pending : Tensor[longest, B, n_out], optional
        Currents under way, as of `DelayedLinear.forward`.

    Returns
    -------
    events : SpikeBatch of shape (T, B, n_out), v_last : Tensor[B, n_out]
    pending : Tensor[longest, B, n_out]

    Raises
    ------
    ValueError
        If the neurons are of another kind, or recurrent.

    See Also
    --------
    spikefuse.kernels.fused_delay.fused_delayed_lif : the operation.
    """
    plain = _plain_lif(neuron)
    p = plain.params
    return observed(
        FusedLayer([events], [synapse], plain, v0, pending),
        lambda: fused_delayed_lif(
            events,
            synapse.synapses.weight,
            synapse.delays_steps,
            plain.beta(),
            p.threshold,
            reset=p.reset,
            v0=v0,
            pending=pending,
        ),
    )


@torch.no_grad()
def infer_readout(
    events: SpikeBatch, synapse: nn.Module, readout: nn.Module, v0: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Linear synapses and the leaky readout that they drive, fused.

    The readout's gain goes into the weights, so scores equal those of `LIReadout` to rounding.

    Parameters
    ----------
    events : SpikeBatch of shape (T, B, n_in)
    synapse : EventLinear
    readout : LIReadout or FixedReadout
    v0 : Tensor[B, n_out], optional

    Returns
    -------
    trace : Tensor[T, B, n_out], v_last : Tensor[B, n_out]

    Raises
    ------
    ValueError
        If a module is of another kind.

    See Also
    --------
    spikefuse.kernels.fused_event_li : the operation.
    """
    if isinstance(readout, FixedReadout):
        evidence: tuple[Tensor, Tensor] = readout(synapse(events), v0)
        return evidence
    if not isinstance(readout, LIReadout):
        raise ValueError(f"readout must be a LIReadout, got {type(readout).__name__}")
    weight, gain, logit = _weight(synapse), readout.log_gain, readout.beta_logit
    return observed(
        FusedLayer([events], [synapse], readout, v0),
        lambda: fused_event_li(events, weight * gain.exp(), torch.sigmoid(logit), v0=v0),
    )


def _plain_lif(neuron: nn.Module) -> LIF:
    """The neurons, if they are LIF without recurrence."""
    if not isinstance(neuron, LIF) or neuron.recurrent_weight is not None:
        kind = "a recurrent LIF" if isinstance(neuron, LIF) else type(neuron).__name__
        raise ValueError(f"neuron must be a LIF without recurrence, got {kind}")
    return neuron


def _weight(synapse: nn.Module) -> Tensor:
    """Weight ``[n_in, n_out]`` of linear synapses."""
    if not isinstance(synapse, EventLinear):
        raise ValueError(f"synapse must be an EventLinear, got {type(synapse).__name__}")
    return synapse.weight
