"""SpikingEncoder: convolutions and a linear map, each followed by LIF neurons."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from spikefuse.encoders.decay import SilentDecay
from spikefuse.encoders.dropout import SpikeDropout
from spikefuse.encoders.inference import infer_conv, infer_delayed, infer_lif
from spikefuse.encoders.spec import ModalitySpec
from spikefuse.kernels import eager, registry
from spikefuse.kernels.band import near_threshold
from spikefuse.kernels.compaction import compact
from spikefuse.neurons import LIF, FixedLIF, LIFParams, RecurrentState
from spikefuse.spikes import SpikeBatch
from spikefuse.surrogate import Surrogate
from spikefuse.synapses import DelayedLinear, EventConv2d, EventLinear

# A membrane per layer (with its last spikes where it is recurrent), then currents under way.
EncoderState = tuple[Any, ...]
Sidecars = tuple[SpikeBatch | None, SpikeBatch | None]

# Synapses that are told where gradients are wanted never take a dense product forward; fuller
# spikes than this are better off with one.
_MOST_DENSE = 0.25


class SpikingEncoder(nn.Module):
    """Input spikes of one modality to its hidden spikes.

    Parameters
    ----------
    spec : ModalitySpec
    lif : LIFParams
    dt_ms : float
    gain : float
        Initial weight gain; about the value at which hidden neurons fire at first.
    """

    batch_dim = 1

    def __init__(self, spec: ModalitySpec, lif: LIFParams, dt_ms: float, gain: float = 3.0) -> None:
        super().__init__()
        width, height, polarities = spec.sensor_size
        shape = (polarities, height, width)
        synapses: list[nn.Module] = []
        neurons: list[nn.Module] = []
        n_features = spec.n_inputs
        for conv in spec.encoder.convs:
            layer = EventConv2d(shape, conv.channels, conv.kernel, conv.stride, gain=gain)
            shape, n_features = layer.out_shape, layer.n_out
            synapses.append(layer)
            neurons.append(LIF(shape[0], lif, dt_ms, share=shape[1] * shape[2]))
        delays = spec.encoder.delays_steps(dt_ms)
        hidden = spec.encoder.hidden
        if delays == (0,):
            synapses.append(EventLinear(n_features, hidden, gain=gain))
        else:
            synapses.append(DelayedLinear(n_features, hidden, delays, gain=gain))
        neurons.append(LIF(hidden, lif, dt_ms, recurrent=spec.encoder.recurrent))
        self.synapses = nn.ModuleList(synapses)
        self.neurons = nn.ModuleList(neurons)
        self.dropout = SpikeDropout(spec.encoder.dropout)
        self.decay = SilentDecay()
        self.n_out = hidden

    def forward(
        self, spikes: SpikeBatch | Tensor, state: EncoderState | None = None
    ) -> tuple[Tensor, EncoderState]:
        """Spikes (T, B, N), events or dense, to hidden spikes ``[T, B, hidden]`` and new state.

        The state holds a membrane per layer, then the currents under way if there are delays.
        """
        n_layers = len(self.neurons)
        before = state if state is not None else (None,) * (n_layers + 1)
        membranes: list[Any] = []
        under_way: list[Tensor] = []
        arriving: SpikeBatch | Tensor = spikes
        sidecars: Sidecars = (None, None)
        for i, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
            if isinstance(synapse, DelayedLinear):
                current, pending = synapse(arriving, before[n_layers], *sidecars)
                under_way.append(pending)
            else:
                current = synapse(arriving, *sidecars)
            fired, v_last = neuron(current, before[i])
            membranes.append(v_last)
            arriving = hidden = self.dropout(fired)
            if i + 1 < n_layers:
                sidecars = spike_sidecars(neuron, current, before[i], hidden)
        return hidden, (*membranes, *under_way)

    @torch.no_grad()
    def infer(
        self, events: SpikeBatch, state: EncoderState | None = None
    ) -> tuple[SpikeBatch, EncoderState]:
        """`forward` in evaluation, events in and events out, without a gradient.

        Parameters
        ----------
        events : SpikeBatch of shape (T, B, N)
        state : as of `forward`, optional

        Returns
        -------
        events : SpikeBatch of shape (T, B, hidden), state : as of `forward`
        """
        n_layers = len(self.neurons)
        before = state if state is not None else (None,) * (n_layers + 1)
        membranes: list[Any] = []
        under_way: list[Tensor] = []
        for i, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
            v: Any
            if isinstance(neuron, FixedLIF) or (
                isinstance(neuron, LIF) and neuron.recurrent_weight is not None
            ):
                if isinstance(synapse, DelayedLinear):
                    current, pending = synapse(events, before[n_layers])
                    under_way.append(pending)
                else:
                    current = synapse(events)
                fired, v = neuron(current, before[i])
                events = compact(fired)
            elif isinstance(synapse, EventConv2d):
                events, v = infer_conv(events, synapse, neuron, before[i])
            elif isinstance(synapse, DelayedLinear):
                events, v, pending = infer_delayed(
                    events, synapse, neuron, before[i], before[n_layers]
                )
                under_way.append(pending)
            else:
                events, v = infer_lif([events], [synapse], neuron, before[i])
            membranes.append(v)
        return events, (*membranes, *under_way)

    def batch_dims(self, state: EncoderState) -> tuple[int, ...]:
        """Which dimension of each part is the batch: 1 of currents under way, else 0."""
        n_layers = len(self.neurons)
        return tuple(int(i >= n_layers) for i in range(len(state)))

    def skip(self, state: EncoderState, n_steps: int) -> EncoderState:
        """State after steps for which the encoder is not run.

        Membranes decay, as they would in silence. Spikes that come back to a recurrent layer and
        delayed currents that would have arrived in these steps are lost.
        """
        n_layers = len(self.neurons)
        after: list[Any] = []
        for neuron, v in zip(self.neurons, state[:n_layers], strict=True):
            beta: Tensor = neuron.beta()  # type: ignore[operator]
            if isinstance(v, RecurrentState):
                after.append(RecurrentState(self.decay(v.v, beta, n_steps), torch.zeros_like(v.s)))
            else:
                after.append(self.decay(v, beta, n_steps))
        for pending in state[n_layers:]:
            gone = min(n_steps, len(pending))
            after.append(torch.cat([pending[gone:], torch.zeros_like(pending[:gone])]))
        return tuple(after)


def spike_sidecars(
    neuron: nn.Module, current: Tensor, v0: Tensor | None, hidden: Tensor
) -> Sidecars:
    """Events of the hidden spikes, and the cells at which a gradient can get through the neurons.

    Both only where they save work: a surrogate that is nowhere zero wants all gradients, and the
    synapses then find the events as fast themselves. Dropout behind the neurons scales the
    gradient, so it stays zero where it was.
    """
    if not isinstance(neuron, LIF) or eager.tracing() or not eager.plain(current, hidden):
        return None, None
    if registry.on_gpu(None, current.device.type):
        return None, None  # finding them would make the host wait for the device
    p = neuron.params
    surrogate = Surrogate(p.surrogate, p.slope)
    if not math.isfinite(surrogate.half_width) or not eager.wants_grad(hidden):
        return None, None
    events = compact(hidden)
    if events.density > _MOST_DENSE:
        return events, None
    near = near_threshold(current, neuron.beta(), p.threshold, surrogate, reset=p.reset, v0=v0)
    return events, near
