"""Cross-modal fusion operators."""

from spikefuse.fusion.concat import ConcatFusion as ConcatFusion
from spikefuse.fusion.late import LateFusion as LateFusion
