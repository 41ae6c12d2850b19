"""What runs for the answer at each time: models asked again, changes alone, front ends so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from experiments.config import Config
from experiments.evaluation.evaluate import framing_counts
from experiments.loading.batches import Batch
from experiments.loading.data import Hearing
from experiments.training.learners import Learner
from spikefuse.baselines.delta import DeltaFusion
from spikefuse.baselines.dense_fusion import Anytime, DenseFusion
from spikefuse.baselines.frames import blank_after, n_frames_in
from spikefuse.cost import count
from spikefuse.cost.counter import Counter
from spikefuse.opcounts import COUNT_FIELDS, OpCounts, PathCounts


def answer_counts(
    learner: Learner, frames: Mapping[str, torch.Tensor], times_ms: list[float]
) -> list[OpCounts]:
    """Operations for the answer at each time: a run on what there is, or on what is new."""
    model = learner.model
    if getattr(model, "reads", "") == "tokens":
        so_far = [count(Anytime(model, times_ms[: i + 1]), frames) for i in range(len(times_ms))]
        return [so_far[0], *(difference(b, a) for a, b in pairwise(so_far))]
    return [
        count(model, blank_after(frames, learner.frame_ms, t, learner.duration_ms))
        for t in times_ms
    ]


def delta_counts(
    learner: Learner, frames: Mapping[str, torch.Tensor], times_ms: list[float]
) -> list[OpCounts] | None:
    """As `answer_counts` of a model that is driven by changes; None where it reuses its past.

    Weights of inputs that have not changed are not read.
    """
    model = learner.model
    if not isinstance(model, DenseFusion) or model.reads == "tokens":
        return None
    delta, state = DeltaFusion(model).eval(), None
    found: list[OpCounts] = []
    for time_ms in times_ms:
        seen = blank_after(frames, learner.frame_ms, time_ms, learner.duration_ms)
        counter = Counter(delta, batch_dim=0)
        with torch.no_grad(), counter:
            _, state = delta(seen, state)
        counted = counter.counts(len(next(iter(frames.values()))))
        read = {
            name: replace(path, weight_reads=min(path.weight_reads, path.effective_macs))
            for name, path in counted.by_path.items()
        }
        found.append(replace(counted, by_path=read))
    return found


def difference(later: OpCounts, earlier: OpCounts) -> OpCounts:
    """Counts of the same samples that came after ``earlier``."""
    paths: dict[str, PathCounts] = {}
    for name, path in later.by_path.items():
        before = earlier.by_path.get(name, PathCounts())
        left: dict[str, Any] = {f: getattr(path, f) - getattr(before, f) for f in COUNT_FIELDS}
        paths[name] = replace(path, **left)
    return OpCounts(paths, later.n_samples)


def frontends_until(
    learner: Learner,
    batch: Batch,
    frames: Mapping[str, torch.Tensor],
    config: Config,
    hearing: Hearing | None,
    time_ms: float,
) -> OpCounts:
    """Digital front ends up to a time: the cochlea, and the frames that are complete then."""
    n = len(batch.samples)
    found: dict[str, PathCounts] = {}
    digital = "audio" in learner.modalities and config.cost.audio_frontend == "digital"
    if digital and hearing is not None:
        found["frontend.audio.cochlea"] = hearing.counts(time_ms, n)
    for name, cells in frames.items():
        n_frames = n_frames_in(learner.frame_ms[name], learner.duration_ms)
        whole = time_ms >= learner.duration_ms
        n_seen = n_frames if whole else int(time_ms / learner.frame_ms[name] + 1e-9)
        until_us = np.inf if whole else n_seen * learner.frame_ms[name] * 1e3
        n_events = sum(int((s[name].events["t"] < until_us).sum()) for s in batch.samples)
        framing = framing_counts(n_events, cells.numel() * n_seen // n_frames, name, n)
        memory = cells.numel() // n
        found[f"frontend.{name}.framing"] = replace(framing, state_words=memory)
    return OpCounts(found, n)
