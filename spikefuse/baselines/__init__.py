"""Frame-based opponents, built from the same spec as the spiking models."""

from spikefuse.baselines.dense_fusion import DenseFusion as DenseFusion
from spikefuse.baselines.frames import event_frames as event_frames
