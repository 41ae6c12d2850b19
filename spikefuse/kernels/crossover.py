"""When a dense product beats the event-driven one: a small cost model with measured constants."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from spikefuse.kernels import packing

# Unit: one multiply-accumulate of a dense product (0.012 to 0.02 ns). A gathered weight costs 0.9
# to 1.7 of them while a tile fits the second-level cache, 2.4 while neighbours load the machine,
# and up to 6 beyond it.
_GATHERED, _GATHERED_FAR = 1.6, 6.5
_ROW_OF_TILE = 300.0  # start and end of one row's sum in one tile
_TRANSPOSED = 1.35  # a weight gradient sorts its events first and packs what it gathers
_CELL_READ = 15.0  # finding the events of a dense input
_DENSE_CELL = 10.0  # a dense product also reads and packs its input
_CELL_WRITTEN, _EVENT_WRITTEN = 15.0, 30.0  # making events dense
_CELL_LISTED = 180.0  # finding the silent cells between the events
_CALL, _SEARCH_CALL = 1e6, 1e6  # one call of an event kernel and of the conversion from Python
_PROBED_ROWS = 32

# The small path has neither conversion nor tiles: a pass over the cells, plain loops over rows of
# weights that the second-level cache holds, and one call, dearer than torch's.
_SMALL_CELL, _SMALL_GATHERED, _SMALL_EVENT, _SMALL_CALL = 6.0, 2.4, 200.0, 1.5e5
_SMALL_PRODUCT, _SMALL_WEIGHT_BYTES = 4e6, 4 << 20


def dense_wins(
    n_events: int,
    shape: list[int],
    n_out: int,
    made: bool,
    transposed: bool = False,
    silent: bool = False,
) -> bool:
    """Whether a dense product is faster than gathering the rows of ``n_events`` events.

    Parameters
    ----------
    n_events : int
        Rows to gather.
    shape : [T, B, n_in]
    n_out : int
    made : bool
        Whether the dense input exists already.
    transposed : bool
        Whether it is the gradient of the weight that is computed.
    silent : bool
        Whether the rows gathered are those of silent inputs, to be listed first.
    """
    cells = shape[0] * shape[1] * shape[2]
    dense = cells * (n_out + _DENSE_CELL)
    if not made:
        dense += _CELL_WRITTEN * cells + _EVENT_WRITTEN * n_events + _CALL
    effective = n_events * (_TRANSPOSED if transposed else 1.0)
    listed = _CELL_LISTED * cells if silent else 0.0
    return listed + _event_cost(effective, shape, n_out) > dense


def silent_wins(n_events: int, shape: list[int], n_out: int) -> bool:
    """Whether binary events are summed faster as the sum of all inputs less the silent ones.

    Listing the silent cells costs a walk over all of them.
    """
    cells = shape[0] * shape[1] * shape[2]
    silent = _event_cost(cells - n_events, shape, n_out) + _CELL_LISTED * cells
    return silent < _event_cost(n_events, shape, n_out)


def small_limit(n_cells: int, n_in: int, n_out: int) -> int | None:
    """Most events for which the pass without conversion is faster than a dense product.

    None if the product is too large for it; 0 where nothing beats a dense product.
    """
    dense = n_cells * (n_out + _DENSE_CELL)
    if dense > _SMALL_PRODUCT or n_in * n_out * 4 > _SMALL_WEIGHT_BYTES:
        return None
    left = dense - _SMALL_CALL - _SMALL_CELL * n_cells
    return max(0, int(left / (_SMALL_GATHERED * n_out + _SMALL_EVENT)))


def tiny(shape: list[int], n_out: int, known: bool) -> bool:
    """Whether a dense product costs less than any call of an event kernel.

    Parameters
    ----------
    shape : [T, B, n_in]
    n_out : int
    known : bool
        Whether the events of the input are known already.
    """
    least = _CALL if known else _CALL + _SEARCH_CALL
    return shape[0] * shape[1] * shape[2] * n_out < least


def skips(spikes: Tensor, n_out: int) -> bool:
    """Whether a dense input is too small or too full to look for its events: a few rows tell."""
    shape = list(spikes.shape)
    cells = spikes.numel()
    dense = cells * (n_out + _DENSE_CELL)
    search = _CELL_READ * cells + _SEARCH_CALL
    if search + _event_cost(0.0, shape, n_out) > dense:
        return True
    rows = spikes.detach().reshape(-1, shape[2])
    probe = rows[:: max(1, len(rows) // _PROBED_ROWS)]
    # Counting bytes is ten times as fast as torch's count of non-zero floats.
    density = int(np.count_nonzero(probe.bool().numpy())) / probe.numel()
    n_events = int(density * cells)
    binary = density > 0.5 and bool(((probe == 0) | (probe == 1)).all())
    if binary and silent_wins(n_events, shape, n_out):
        return search + _CELL_LISTED * cells + _event_cost(cells - n_events, shape, n_out) > dense
    return search + _event_cost(n_events, shape, n_out) > dense


def _event_cost(n_events: float, shape: list[int], n_out: int) -> float:
    """Cost of gathering the rows."""
    width = packing.tile_width(shape[2], n_out)
    n_tiles = -(-n_out // width)
    weight = _GATHERED if packing.fits(shape[2], width) else _GATHERED_FAR
    rows = shape[0] * shape[1]
    return n_tiles * (n_events * width * weight + _ROW_OF_TILE * rows) + _CALL
