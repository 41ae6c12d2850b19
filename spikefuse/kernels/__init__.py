"""The event-driven operations, by family."""

from spikefuse.kernels.adaptive import alif_scan as alif_scan
from spikefuse.kernels.band import near_threshold as near_threshold
from spikefuse.kernels.binning import bin_events as bin_events
from spikefuse.kernels.compaction import compact as compact
from spikefuse.kernels.compaction import expand as expand
from spikefuse.kernels.conv import event_conv2d as event_conv2d
from spikefuse.kernels.delays import delay as delay
from spikefuse.kernels.delta import send_on_delta as send_on_delta
from spikefuse.kernels.fused import fused_event_li as fused_event_li
from spikefuse.kernels.fused import fused_event_lif as fused_event_lif
from spikefuse.kernels.neurons import lif_scan as lif_scan
from spikefuse.kernels.pooling import spike_join as spike_join
from spikefuse.kernels.pooling import spike_pool as spike_pool
from spikefuse.kernels.products import event_matmul as event_matmul
from spikefuse.kernels.readout import li_scan as li_scan
from spikefuse.kernels.recurrent import recurrent_lif_scan as recurrent_lif_scan
from spikefuse.kernels.registry import use_backend as use_backend
from spikefuse.kernels.synaptic import cuba_lif_scan as cuba_lif_scan
from spikefuse.kernels.traces import trace_scan as trace_scan
