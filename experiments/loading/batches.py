"""From pairs of recordings to the tensors that spiking and dense models read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from experiments.config import AugmentConfig
from experiments.loading.augment import augment
from experiments.loading.data import PairedData
from sensors.paired import Pair, assemble
from spikefuse.baselines.frames import event_frames
from spikefuse.events import MultiStream
from spikefuse.kernels.binning import bin_events
from spikefuse.spikes import SpikeBatch


@dataclass(frozen=True)
class Batch:
    """Samples on one clock, and their labels."""

    samples: list[MultiStream]
    labels: Tensor  # int64 [B]


def batches(
    data: PairedData,
    split: str,
    pairs: Sequence[Pair],
    batch_size: int,
    augmentation: AugmentConfig | None = None,
    rng: np.random.Generator | None = None,
) -> Iterator[Batch]:
    """Samples of ``pairs`` in order, augmented if ``augmentation`` (with ``rng``) is given."""
    recordings = data.splits[split]
    for start in range(0, len(pairs), batch_size):
        samples = [assemble(recordings, p, data.clock) for p in pairs[start : start + batch_size]]
        if augmentation is not None:
            if rng is None:
                raise ValueError("rng must be given with augmentation, got None")
            samples = [_augmented(sample, augmentation, rng) for sample in samples]
        yield Batch(samples, torch.tensor([sample.label for sample in samples]))


def _augmented(
    sample: MultiStream, augmentation: AugmentConfig, rng: np.random.Generator
) -> MultiStream:
    """A sample with every stream changed; stretched events are recorded ones wherever they lie."""
    streams = {name: augment(s, augmentation, rng) for name, s in sample.streams.items()}
    recorded = sample.recorded_us
    if recorded is not None:
        last = (int(s.events["t"][-1]) + 1 for s in streams.values() if len(s))
        recorded = max([recorded, *last])
    return replace(sample, streams=streams, recorded_us=recorded)


def spiking_inputs(
    samples: Sequence[MultiStream], modalities: Sequence[str], dt_ms: float, n_steps: int
) -> dict[str, SpikeBatch]:
    """Events per step and modality, (T, B, N); several events of an address in a step are kept."""
    return {
        name: bin_events([sample[name] for sample in samples], dt_ms, n_steps)
        for name in modalities
    }


def dense_inputs(
    samples: Sequence[MultiStream],
    modalities: Sequence[str],
    frame_ms: dict[str, float],
    window_ms: float,
) -> dict[str, Tensor]:
    """Frames and cochleagrams of the whole window, ``{modality: [B, F * P, H, W]}``."""
    return {
        name: event_frames([s[name] for s in samples], frame_ms[name], window_ms)
        for name in modalities
    }
