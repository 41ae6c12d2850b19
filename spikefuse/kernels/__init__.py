"""The event-driven operations, by family."""

from spikefuse.kernels.binning import bin_events as bin_events
