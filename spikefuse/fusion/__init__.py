"""Cross-modal fusion operators."""

from spikefuse.fusion.concat import ConcatFusion as ConcatFusion
from spikefuse.fusion.late import LateFusion as LateFusion
from spikefuse.fusion.late import side_by_side as side_by_side
