"""Neuron layers with explicit state."""

from spikefuse.neurons.alif import ALIF as ALIF
from spikefuse.neurons.alif import ALIFParams as ALIFParams
from spikefuse.neurons.alif import ALIFState as ALIFState
from spikefuse.neurons.cuba import CubaLIF as CubaLIF
from spikefuse.neurons.cuba import CubaLIFParams as CubaLIFParams
from spikefuse.neurons.cuba import CubaState as CubaState
from spikefuse.neurons.fixed import FixedFormat as FixedFormat
from spikefuse.neurons.fixed import FixedLIF as FixedLIF
from spikefuse.neurons.fixed import FixedReadout as FixedReadout
from spikefuse.neurons.lif import LIF as LIF
from spikefuse.neurons.lif import LIFParams as LIFParams
from spikefuse.neurons.lif import RecurrentState as RecurrentState
from spikefuse.neurons.readout import LIReadout as LIReadout
