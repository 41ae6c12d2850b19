"""Frame-based opponents, built from the same spec as the spiking models."""

from spikefuse.baselines.delta import DeltaFusion as DeltaFusion
from spikefuse.baselines.dense_fusion import Anytime as Anytime
from spikefuse.baselines.dense_fusion import DenseFusion as DenseFusion
from spikefuse.baselines.frame_sensor import frame_sensor_spec as frame_sensor_spec
from spikefuse.baselines.frames import blank_after as blank_after
from spikefuse.baselines.frames import event_frames as event_frames
from spikefuse.baselines.frames import frame_counts as frame_counts
from spikefuse.baselines.memory import n_parameters as n_parameters
from spikefuse.baselines.operator import DenseOperator as DenseOperator
from spikefuse.baselines.qnn import QNNTwin as QNNTwin
from spikefuse.baselines.qnn import bits_for as bits_for
from spikefuse.baselines.qnn import reasons_against as reasons_against
from spikefuse.baselines.quantise import quantised as quantised
from spikefuse.baselines.selection import capacity_sweep as capacity_sweep
from spikefuse.baselines.selection import choose_frames as choose_frames
from spikefuse.baselines.sparsity import with_zero_skipping as with_zero_skipping
from spikefuse.baselines.sparsity import without_skipping as without_skipping
from spikefuse.baselines.twins import DENSE_OPERATORS as DENSE_OPERATORS
from spikefuse.baselines.twins import DENSE_TWINS as DENSE_TWINS
from spikefuse.baselines.twins import build_dense as build_dense
