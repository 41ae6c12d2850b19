"""Whole layers at inference on a GPU: a product, a scan and a compaction, one after the other.

No kernel fuses them here: a thread that walked through the events of every step by itself would
wait for memory at each. ``backend`` is what the caller asked for, so that the automatic choice
still weighs events against a dense product.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from spikefuse.kernels.compaction import compact
from spikefuse.kernels.conv import event_conv2d
from spikefuse.kernels.conv_geometry import Pair
from spikefuse.kernels.fused_delay import arrivals_ref
from spikefuse.kernels.neurons import lif_scan
from spikefuse.kernels.products import event_matmul
from spikefuse.kernels.readout import li_scan
from spikefuse.kernels.scans import Reset
from spikefuse.spikes import SpikeBatch


def event_lif(
    sources: Sequence[SpikeBatch],
    weights: Sequence[Tensor],
    beta: Tensor | float,
    threshold: Tensor | float,
    reset: Reset,
    v0: Tensor | None,
    backend: str | None,
) -> tuple[SpikeBatch, Tensor]:
    """`fused.fused_event_lif`."""
    return _fired(_currents(sources, weights, backend), beta, threshold, reset, v0, backend)


def event_li(
    sources: Sequence[SpikeBatch],
    weights: Sequence[Tensor],
    beta: Tensor | float,
    v0: Tensor | None,
    backend: str | None,
) -> tuple[Tensor, Tensor]:
    """`fused.fused_event_li`."""
    return li_scan(_currents(sources, weights, backend), beta, v0, backend=backend)


def conv_lif(
    spikes: SpikeBatch,
    weight: Tensor,
    in_shape: tuple[int, int, int],
    beta: Tensor | float,
    threshold: Tensor | float,
    stride: Pair,
    padding: Pair,
    reset: Reset,
    v0: Tensor | None,
    backend: str | None,
) -> tuple[SpikeBatch, Tensor]:
    """`fused_conv.fused_conv_lif`."""
    current = event_conv2d(spikes, weight, in_shape, stride, padding, backend=backend)
    return _fired(current, beta, threshold, reset, v0, backend)


def delayed_lif(
    spikes: SpikeBatch,
    weight: Tensor,
    delays: Sequence[int],
    beta: Tensor | float,
    threshold: Tensor | float,
    reset: Reset,
    v0: Tensor | None,
    pending: Tensor | None,
    backend: str | None,
) -> tuple[SpikeBatch, Tensor, Tensor]:
    """`fused_delay.fused_delayed_lif`; the shifted sums are torch's, on the device."""
    wide = event_matmul(spikes, weight, backend=backend)
    current, left = arrivals_ref(wide, delays, pending)
    return *_fired(current, beta, threshold, reset, v0, backend), left


def _currents(
    sources: Sequence[SpikeBatch], weights: Sequence[Tensor], backend: str | None
) -> Tensor:
    """Sum of the sources' products, one after the other."""
    parts = [event_matmul(s, w, backend=backend) for s, w in zip(sources, weights, strict=True)]
    return sum(parts[1:], parts[0])


def _fired(
    current: Tensor,
    beta: Tensor | float,
    threshold: Tensor | float,
    reset: Reset,
    v0: Tensor | None,
    backend: str | None,
) -> tuple[SpikeBatch, Tensor]:
    """Events of LIF neurons, and their last membranes."""
    fired, v_last = lif_scan(current, beta, threshold, reset=reset, v0=v0, backend=backend)
    return compact(fired, backend=backend), v_last
