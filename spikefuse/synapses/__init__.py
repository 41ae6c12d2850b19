"""Synaptic layers driven by events."""

from spikefuse.synapses.conv import EventConv2d as EventConv2d
from spikefuse.synapses.delayed import DelayedLinear as DelayedLinear
from spikefuse.synapses.linear import EventLinear as EventLinear
