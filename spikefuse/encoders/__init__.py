"""Spiking encoders: events to hidden spikes, and sampled signals to spikes."""

from spikefuse.encoders.delta import decode_delta as decode_delta
from spikefuse.encoders.delta import encode_delta as encode_delta
from spikefuse.encoders.direct import encode_direct as encode_direct
from spikefuse.encoders.inference import infer_lif as infer_lif
from spikefuse.encoders.inference import infer_readout as infer_readout
from spikefuse.encoders.latency import encode_latency as encode_latency
from spikefuse.encoders.latency import first_spikes as first_spikes
from spikefuse.encoders.latency import latency_steps as latency_steps
from spikefuse.encoders.phase import decode_phase as decode_phase
from spikefuse.encoders.phase import encode_phase as encode_phase
from spikefuse.encoders.phase import phase_weights as phase_weights
from spikefuse.encoders.population import PopulationSpec as PopulationSpec
from spikefuse.encoders.population import encode_population as encode_population
from spikefuse.encoders.population import population_activity as population_activity
from spikefuse.encoders.protocol import Encoder as Encoder
from spikefuse.encoders.protocol import freeze as freeze
from spikefuse.encoders.protocol import infer_encoder as infer_encoder
from spikefuse.encoders.rate import encode_rate as encode_rate
from spikefuse.encoders.rate import spike_probability as spike_probability
from spikefuse.encoders.rate import window_rates as window_rates
from spikefuse.encoders.spec import ConvSpec as ConvSpec
from spikefuse.encoders.spec import EncoderSpec as EncoderSpec
from spikefuse.encoders.spec import ModalitySpec as ModalitySpec
from spikefuse.encoders.spiking import SpikingEncoder as SpikingEncoder
from spikefuse.encoders.streams import to_streams as to_streams
