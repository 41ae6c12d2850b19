"""Neuron layers with explicit state."""

from spikefuse.neurons.lif import LIF as LIF
from spikefuse.neurons.lif import LIFParams as LIFParams
from spikefuse.neurons.readout import LIReadout as LIReadout
