"""spikefuse: spiking multimodal fusion on one clock, with costs counted from what really ran.

Heavy names load on first use, so that ``import spikefuse`` costs almost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikefuse.events import EVENT_DTYPE as EVENT_DTYPE
    from spikefuse.events import EventStream as EventStream
    from spikefuse.events import MultiStream as MultiStream
    from spikefuse.kernels.binning import bin_events as bin_events
    from spikefuse.opcounts import OpCounts as OpCounts
    from spikefuse.spikes import SpikeBatch as SpikeBatch

__version__ = "0.1.0"

_HOME = {
    "EVENT_DTYPE": "spikefuse.events",
    "EventStream": "spikefuse.events",
    "MultiStream": "spikefuse.events",
    "OpCounts": "spikefuse.opcounts",
    "SpikeBatch": "spikefuse.spikes",
    "bin_events": "spikefuse.kernels.binning",
}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'spikefuse' has no attribute {name!r}")
