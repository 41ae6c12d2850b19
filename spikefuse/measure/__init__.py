"""Measured energy and time of this host, apart from every model: never in one figure with it."""

from spikefuse.measure.host import measure as measure
from spikefuse.measure.meter import EnergyMeter as EnergyMeter
from spikefuse.measure.meter import Reading as Reading
from spikefuse.measure.meter import Unavailable as Unavailable
from spikefuse.measure.meter import best_meter as best_meter
