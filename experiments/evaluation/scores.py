"""Class log-probabilities of final decisions: kept on disk, and made truer by temperature."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.calibration import normalised
from experiments.files import write_bytes
from experiments.loading.batches import batches
from experiments.loading.data import PairedData
from experiments.training.learners import Learner
from spikefuse._types import FloatArray, Int64Array
from spikefuse.fusion import LateFusion, fit_temperature
from spikefuse.models import FusionSNN

_COLDEST, _HOTTEST = 0.1, 10.0


@dataclass(frozen=True)
class FinalScores:
    """What one trained model said of every pair of a split after the whole sample.

    Parameters
    ----------
    log_probs : float [n, C]
        Log-softmax of the scores of the final decision.
    labels : int [n]
    """

    log_probs: FloatArray
    labels: Int64Array

    @classmethod
    def from_logits(cls, logits: Tensor, labels: Tensor) -> FinalScores:
        """Scores ``[n, C]`` of a model and labels ``[n]``."""
        return cls(normalised(logits.double().numpy()), labels.numpy())

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float((self.log_probs.argmax(1) == self.labels).mean())

    @property
    def temperature(self) -> float:
        """The temperature that makes these labels most likely: see `bounded_temperature`."""
        return bounded_temperature(torch.from_numpy(self.log_probs), torch.from_numpy(self.labels))


def bounded_temperature(scores: Tensor, labels: Tensor) -> float:
    """`fit_temperature` within 0.1 to 10.

    Without a wrong answer among few validation pairs the fit would go to 0, and a late fusion would
    hear that modality alone.
    """
    return min(max(fit_temperature(scores, labels), _COLDEST), _HOTTEST)


def final_scores(learner: Learner, data: PairedData, split: str) -> FinalScores:
    """Scores of the final decision on a split's fixed pairs."""
    learner.model.eval()
    scores: list[Tensor] = []
    labels: list[Tensor] = []
    with torch.no_grad():
        for batch in batches(data, split, data.fixed_pairs[split], 64):
            scores.append(learner.anytime_scores(batch.samples, [learner.duration_ms])[-1])
            labels.append(batch.labels)
    return FinalScores.from_logits(torch.cat(scores), torch.cat(labels))


def calibrate_late(learner: Learner, data: PairedData) -> dict[str, float]:
    """Fit and set the temperature of each modality of a late fusion; none for any other model.

    A modality's own decision is the mean over steps of ``log softmax(z_t / T)``. Up to a constant
    over classes that is ``mean(z_t) / T``, so its temperature is fitted on its mean evidence over
    the validation pairs. The evidence does not depend on temperatures: fitting again changes
    nothing.
    """
    model = learner.model
    if not isinstance(model, FusionSNN) or not isinstance(model.fusion, LateFusion):
        return {}
    model.eval()
    means: dict[str, list[Tensor]] = {name: [] for name in model.modalities}
    labels: list[Tensor] = []
    with torch.no_grad():
        for batch in batches(data, "validation", data.fixed_pairs["validation"], 64):
            traces, _ = model.fusion.evidence(model.infer(learner.events(batch.samples)).encoded)
            for name, trace in traces.items():
                means[name].append(trace.mean(0))
            labels.append(batch.labels)
    truth = torch.cat(labels)
    found = {name: bounded_temperature(torch.cat(parts), truth) for name, parts in means.items()}
    model.fusion.set_temperature(found)
    return found


def write_answers(
    path: Path,
    seeds: Sequence[int],
    tested: Mapping[str, Sequence[tuple[FloatArray, Int64Array]]],
) -> None:
    """``answers.npz``, whole or absent: times and answers [k, n] of each model and seed;

    `analysis.records.RunRecord` says what it holds.
    """
    arrays: dict[str, Any] = {}
    for name, by_seed in tested.items():
        for seed, (times_ms, answers) in zip(seeds, by_seed, strict=True):
            arrays[f"{name}.times_ms"] = times_ms
            arrays[f"{name}.seed{seed}"] = answers.astype(np.int16)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def write_scores(
    path: Path,
    data: PairedData,
    seeds: Sequence[int],
    by_split: Mapping[str, Mapping[str, Sequence[FinalScores]]],
) -> None:
    """``scores.npz``, whole or absent; `analysis.records.RunRecord` says what it holds."""
    arrays: dict[str, Any] = {"modalities": np.array(list(data.splits["test"]), dtype=np.str_)}
    for split, models in by_split.items():
        arrays[f"{split}.pairs"] = np.array(data.fixed_pairs[split], dtype=np.int32)
        for name, by_seed in models.items():
            for seed, scores in zip(seeds, by_seed, strict=True):
                arrays[f"{split}.{name}.seed{seed}"] = scores.log_probs.astype(np.float32)
                arrays[f"{split}.labels"] = scores.labels.astype(np.int32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())
