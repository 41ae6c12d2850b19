"""SpikingEncoder: convolutions and a linear map, each followed by LIF neurons."""

from __future__ import annotations

from torch import Tensor, nn

from spikefuse.encoders.dropout import SpikeDropout
from spikefuse.encoders.spec import ModalitySpec
from spikefuse.neurons import LIF, LIFParams
from spikefuse.synapses import EventConv2d, EventLinear

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
        synapses.append(EventLinear(n_features, spec.encoder.hidden, gain=gain))
        neurons.append(LIF(spec.encoder.hidden, lif, dt_ms))
        self.synapses = nn.ModuleList(synapses)
        self.neurons = nn.ModuleList(neurons)
        self.dropout = SpikeDropout(spec.encoder.dropout)
        self.n_out = spec.encoder.hidden

    def forward(
        self, spikes: Tensor, state: EncoderState | None = None
    ) -> tuple[Tensor, EncoderState]:
        """Spikes ``[T, B, N]`` and state to hidden spikes ``[T, B, hidden]`` and new state."""
        before = state if state is not None else (None,) * len(self.neurons)
        after: list[Tensor] = []
        for synapse, neuron, v in zip(self.synapses, self.neurons, before, strict=True):
            spikes, v_last = neuron(synapse(spikes), v)
            after.append(v_last)
            spikes = self.dropout(spikes)
        return spikes, tuple(after)
