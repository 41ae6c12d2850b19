"""Energy and latency: counts of what ran, times cited constants."""

from spikefuse.cost.count import count as count
from spikefuse.cost.count import footprint_bytes as footprint_bytes
from spikefuse.cost.counter import Counter as Counter
from spikefuse.cost.energy import EnergyEstimate as EnergyEstimate
from spikefuse.cost.energy import energy as energy
from spikefuse.cost.placement import Mesh as Mesh
from spikefuse.cost.placement import Placement as Placement
from spikefuse.cost.profile import HardwareProfile as HardwareProfile
from spikefuse.cost.profile import list_profiles as list_profiles
from spikefuse.cost.profile import load_profile as load_profile
from spikefuse.cost.profile import load_sensor as load_sensor
