"""Models built from a frozen spec."""

from spikefuse.models.assemble import start_from_unimodal as start_from_unimodal
from spikefuse.models.chunks import forward_in_chunks as forward_in_chunks
from spikefuse.models.fixed_point import AwareSNN as AwareSNN
from spikefuse.models.fixed_point import fixed_point as fixed_point
from spikefuse.models.fusion_snn import FusionEvents as FusionEvents
from spikefuse.models.fusion_snn import FusionOutput as FusionOutput
from spikefuse.models.fusion_snn import FusionSNN as FusionSNN
from spikefuse.models.fusion_snn import FusionState as FusionState
from spikefuse.models.fusion_snn import running_mean as running_mean
from spikefuse.models.spec import ModelSpec as ModelSpec
