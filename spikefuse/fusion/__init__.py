"""Cross-modal fusion operators, by name: see `OPERATORS` and `build`."""

from spikefuse.fusion.build import OPERATORS as OPERATORS
from spikefuse.fusion.build import build as build
from spikefuse.fusion.build import check_options as check_options
from spikefuse.fusion.build import operator_class as operator_class
from spikefuse.fusion.build import option_names as option_names
from spikefuse.fusion.concat import ConcatFusion as ConcatFusion
from spikefuse.fusion.early import EarlyFusion as EarlyFusion
from spikefuse.fusion.events import side_by_side as side_by_side
from spikefuse.fusion.late import LateFusion as LateFusion
from spikefuse.fusion.operator import FusionOperator as FusionOperator
from spikefuse.fusion.temperature import fit_temperature as fit_temperature
