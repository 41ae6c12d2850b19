"""When torch's dense convolution beats the event-driven one: a cost model of measured constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from spikefuse.kernels.conv_geometry import ConvGeometry
from spikefuse.spikes import SpikeBatch

# Nanoseconds, measured; where a dense convolution varies with its shape, the faster one.
_CALL, _DENSE_CALL = 30e3, 30e3
_SUM_ZEROED, _FLOAT_OUT = 0.08, 0.18  # one cell of the grid; one brought into the maps' order
_EVENT, _FLOAT_ADDED = 2.0, 0.05
_CELL_READ, _EVENT_FOUND, _CELL_WRITTEN = 0.2, 1.0, 0.15
_PRODUCT, _PRODUCT_FEW_MAPS = 0.0125, 0.022
_FEW_MAPS = 8
# Larger results come from the system in fresh pages each time: 0.25 ns a float, 3 on a virtual
# machine. Those of the event kernel come from a pool.
_KEPT_FLOATS, _FLOAT_FAULTED = 1 << 23, 0.5
_PROBED_ROWS = 16


def dense_wins(spikes: Tensor | None, events: SpikeBatch | None, geometry: ConvGeometry) -> bool:
    """Whether torch's convolution is faster; of a dense input a few rows tell how full it is."""
    if events is not None:
        n_rows = events.shape[0] * events.shape[1]
        extra = 0.0 if spikes is not None else _CALL + n_rows * geometry.n_in * _CELL_WRITTEN
        return (
            _cost(float(events.n_events), n_rows, geometry) > _dense_cost(n_rows, geometry) + extra
        )
    if spikes is None:
        raise ValueError("spikes must be given, dense or as events, got neither")
    if tiny(spikes.shape, geometry):
        return True
    n_rows = spikes.shape[0] * spikes.shape[1]
    probe = spikes.detach().reshape(n_rows, -1)[:: max(1, n_rows // _PROBED_ROWS)]
    n_events = float(np.count_nonzero(probe.numpy())) * n_rows / len(probe)
    search = n_rows * geometry.n_in * _CELL_READ + n_events * _EVENT_FOUND
    return search + _cost(n_events, n_rows, geometry) > _dense_cost(n_rows, geometry)


def tiny(shape: Any, geometry: ConvGeometry) -> bool:
    """Whether a dense convolution is faster than an event-driven one of no events."""
    n_rows = shape[0] * shape[1]
    search = n_rows * geometry.n_in * _CELL_READ
    return bool(search + _cost(0.0, n_rows, geometry) > _dense_cost(n_rows, geometry))


def _cost(n_events: float, n_rows: int, geometry: ConvGeometry) -> float:
    """Nanoseconds of the event kernel."""
    added = n_events * (_EVENT + geometry.patch[0] * geometry.run * _FLOAT_ADDED)
    zeroed = geometry.grid[0] * geometry.grid[1] * geometry.width * _SUM_ZEROED
    return _CALL + n_rows * (zeroed + geometry.n_out * _FLOAT_OUT) + added


def _dense_cost(n_rows: int, geometry: ConvGeometry) -> float:
    """Nanoseconds of torch's convolution."""
    taps = geometry.in_shape[0] * geometry.kernel[0] * geometry.kernel[1]
    product = _PRODUCT_FEW_MAPS if geometry.in_shape[0] < _FEW_MAPS else _PRODUCT
    faults = _FLOAT_FAULTED if n_rows * geometry.n_out > _KEPT_FLOATS else 0.0
    return _DENSE_CALL + n_rows * geometry.n_out * (taps * product + faults)
