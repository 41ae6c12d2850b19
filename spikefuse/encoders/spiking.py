"""SpikingEncoder: convolutions and a linear map, each followed by LIF neurons."""

from __future__ import annotations

from torch import Tensor, nn

from spikefuse.encoders.dropout import SpikeDropout
from spikefuse.encoders.spec import ModalitySpec
from spikefuse.neurons import LIF, LIFParams
from spikefuse.spikes import SpikeBatch
from spikefuse.synapses import DelayedLinear, EventConv2d, EventLinear

EncoderState = tuple[Tensor, ...]


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
        neurons.append(LIF(hidden, lif, dt_ms))
        self.synapses = nn.ModuleList(synapses)
        self.neurons = nn.ModuleList(neurons)
        self.dropout = SpikeDropout(spec.encoder.dropout)
        self.n_out = hidden

    def forward(
        self, spikes: SpikeBatch | Tensor, state: EncoderState | None = None
    ) -> tuple[Tensor, EncoderState]:
        """Spikes (T, B, N), events or dense, to hidden spikes ``[T, B, hidden]`` and new state.

        The state holds a membrane per layer, then the currents under way if there are delays.
        """
        n_layers = len(self.neurons)
        before = state if state is not None else (None,) * (n_layers + 1)
        membranes: list[Tensor] = []
        under_way: list[Tensor] = []
        arriving: SpikeBatch | Tensor = spikes
        for synapse, neuron, v in zip(self.synapses, self.neurons, before[:n_layers], strict=True):
            if isinstance(synapse, DelayedLinear):
                current, pending = synapse(arriving, before[n_layers])
                under_way.append(pending)
            else:
                current = synapse(arriving)
            fired, v_last = neuron(current, v)
            membranes.append(v_last)
            arriving = hidden = self.dropout(fired)
        return hidden, (*membranes, *under_way)
