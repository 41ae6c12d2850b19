"""Synaptic layers driven by events, and what stands between them and the neurons."""

from spikefuse.synapses.conv import EventConv2d as EventConv2d
from spikefuse.synapses.delay import SpikeDelay as SpikeDelay
from spikefuse.synapses.delayed import DelayedLinear as DelayedLinear
from spikefuse.synapses.linear import EventLinear as EventLinear
from spikefuse.synapses.norm import ConstantCurrent as ConstantCurrent
from spikefuse.synapses.norm import SpikeBatchNorm as SpikeBatchNorm
from spikefuse.synapses.pooling import SpikePool as SpikePool
from spikefuse.synapses.residual import SpikeAdd as SpikeAdd
from spikefuse.synapses.trace import SpikeTrace as SpikeTrace
