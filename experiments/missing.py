"""A trained model on test pairs of which one modality never comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from experiments.batches import batches
from experiments.data import PairedData
from experiments.learners import Learner
from spikefuse.objectives.modality_dropout import without


def accuracy_without(learner: Learner, data: PairedData, split: str, absent: str) -> float:
    """Accuracy of the final decisions on the fixed pairs with one modality's streams empty.

    Parameters
    ----------
    learner : Learner
    data : PairedData
    split : "validation" or "test"
    absent : str
        Modality whose streams are empty; "" for none.
    """
    pairs = data.fixed_pairs[split]
    learner.model.eval()
    correct = 0
    for batch in batches(data, split, pairs, 64):
        samples = [without(sample, [absent] if absent else []) for sample in batch.samples]
        with torch.no_grad():
            scores = learner.anytime_scores(samples, [learner.duration_ms])[-1]
        correct += int((scores.argmax(1) == batch.labels).sum())
    return correct / len(pairs)


def describe_missing(learners: Sequence[Learner], data: PairedData) -> dict[str, Any]:
    """Test accuracy with each modality absent, by its name; nothing of models of one modality.

    Parameters
    ----------
    learners : sequence of Learner
        One model, trained with each seed.
    data : PairedData
    """
    if len(learners[0].modalities) < 2:
        return {}
    described: dict[str, Any] = {}
    for name in learners[0].modalities:
        by_seed = [accuracy_without(learner, data, "test", name) for learner in learners]
        described[name] = {"accuracy": sum(by_seed) / len(by_seed), "accuracy_by_seed": by_seed}
    return described
