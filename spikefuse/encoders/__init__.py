"""Spiking encoders: from a modality's events to its hidden spikes."""

from spikefuse.encoders.inference import infer_lif as infer_lif
from spikefuse.encoders.inference import infer_readout as infer_readout
from spikefuse.encoders.spec import ConvSpec as ConvSpec
from spikefuse.encoders.spec import EncoderSpec as EncoderSpec
from spikefuse.encoders.spec import ModalitySpec as ModalitySpec
from spikefuse.encoders.spiking import SpikingEncoder as SpikingEncoder
