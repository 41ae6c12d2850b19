"""A trained model on live streams: engines, clocks, snapshots."""

from spikefuse.runtime.decisions import Decision as Decision
from spikefuse.runtime.decisions import Policy as Policy
from spikefuse.runtime.event_engine import EventEngine as EventEngine
from spikefuse.runtime.runner import StreamRunner as StreamRunner
from spikefuse.runtime.snapshot import Part as Part
from spikefuse.runtime.snapshot import load_parts as load_parts
from spikefuse.runtime.snapshot import save_parts as save_parts
from spikefuse.runtime.stepped import SteppedEngine as SteppedEngine
