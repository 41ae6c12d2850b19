"""Few paired examples: pretrained encoders, frozen, against everything from scratch.

``python -m experiments.studies.few_shot --json FILE`` pretrains a model of each modality of the
embedded default on its own recordings, then trains fusions on a few pairs of each class, and
writes what they reach on the test pairs; with ``--document FILE`` it puts the table between the
marks in that page.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from experiments.config import Config, load_config
from experiments.loading.batches import batches
from experiments.loading.data import PairedData, load_data
from experiments.training.learners import Learner, build_learner
from sensors.paired import Pair
from spikefuse.atomic import write_bytes
from spikefuse.encoders import freeze
from spikefuse.fusion.cross_synapse import CrossSynapseFusion
from spikefuse.models import FusionSNN, start_from_unimodal
from spikefuse.pages import markdown_table, write_tables
from spikefuse.synapses.annealing import AnnealedDelays

MODALITIES = ("vision", "audio")
Trained = Literal["cross", "fusion", "all"]
# Arm of the study: operator, its options, and what is trained of it. All but "all" start from the
# unimodal models: "fusion" freezes the encoders, "cross" everything but the cross-modal synapses.
ARMS: dict[str, tuple[str, dict[str, Any], Trained]] = {
    "gated cross synapses between frozen models": ("cross_synapse", {"gated": True}, "cross"),
    "gated cross synapses, encoders frozen": ("cross_synapse", {"gated": True}, "fusion"),
    "cross synapses without gates, encoders frozen": ("cross_synapse", {}, "fusion"),
    "new concatenation, encoders frozen": ("concat", {}, "fusion"),
    "concatenation, all from scratch": ("concat", {}, "all"),
}


@dataclass(frozen=True)
class FewShotProtocol:
    """How much is trained on what.

    Parameters
    ----------
    shots : tuple of int
        Pairs of each class that fusions are trained on.
    pretraining_epochs : int
        Passes over all recordings of one modality.
    updates, batch_size : int
        Updates of a fusion, the same for every arm and number of pairs.
    hidden : int
        Neurons of each modality's population; fusions have both.
    delay_max_ms : float
        Longest cross-modal delay.
    """

    shots: tuple[int, ...] = (1, 5, 20)
    pretraining_epochs: int = 20
    updates: int = 200
    batch_size: int = 32
    hidden: int = 96
    delay_max_ms: float = 60.0


def few_pairs(data: PairedData, shots: int, seed: int) -> list[Pair]:
    """``shots`` training pairs of each class, no recording twice."""
    rng = np.random.default_rng([seed, shots, 7])
    chosen: list[Pair] = []
    for label in range(len(data.classes)):
        columns = []
        for recordings in data.splits["train"].values():
            of_class = [i for i, r in enumerate(recordings) if r.label == label]
            columns.append([int(i) for i in rng.permutation(of_class)[:shots]])
        chosen += list(zip(*columns, strict=True))
    return chosen


def fit(
    learner: Learner,
    data: PairedData,
    pairs: Sequence[Pair],
    config: Config,
    updates: int,
    seed: int,
) -> None:
    """Train on these pairs alone for a number of updates; what the last one leaves is kept."""
    rng = np.random.default_rng([seed, len(pairs), 8])
    torch.manual_seed(int(rng.integers(2**31)))
    rate = config.train.learning_rate
    trained = [p for p in learner.model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, rate, weight_decay=config.train.weight_decay)
    delays = [m for m in learner.model.modules() if isinstance(m, AnnealedDelays)]
    learner.model.train()
    size = min(config.train.batch_size, len(pairs))
    order: list[int] = []
    for step in range(updates):
        for group in optimiser.param_groups:
            group["lr"] = rate * max(0.5 * (1 + math.cos(math.pi * step / updates)), 0.02)
        for layer in delays:
            layer.set_anneal(step / max(updates - 1, 1))
        if len(order) < size:
            order += [int(i) for i in rng.permutation(len(pairs))]
        drawn, order = [pairs[i] for i in order[:size]], order[size:]
        batch = next(batches(data, "train", drawn, size, config.train.augment, rng))
        scores = learner.training_scores(batch.samples, config.cost.windows_ms, rng)
        loss = torch.nn.functional.cross_entropy(scores.final, batch.labels)
        early = torch.nn.functional.cross_entropy(scores.early, batch.labels)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss + config.train.window_weight * early)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()


@torch.no_grad()
def answers(learner: Learner, data: PairedData) -> tuple[Tensor, Tensor]:
    """Log-probabilities [n, classes] and labels [n] of the test pairs."""
    learner.model.eval()
    scores, labels = [], []
    for batch in batches(data, "test", data.fixed_pairs["test"], 64):
        found = learner.anytime_scores(batch.samples, [learner.duration_ms])[-1]
        scores.append(found.log_softmax(1))
        labels.append(batch.labels)
    return torch.cat(scores), torch.cat(labels)


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Share of right answers."""
    return float((scores.argmax(1) == labels).float().mean())


def pretrain(data: PairedData, config: Config, p: FewShotProtocol, seed: int) -> dict[str, Learner]:
    """A model of each modality, trained on all of its recordings."""
    found: dict[str, Learner] = {}
    everything = data.epoch_pairs(seed, 0, 1)
    updates = p.pretraining_epochs * math.ceil(len(everything) / p.batch_size)
    for name in MODALITIES:
        learner = build_learner(f"snn_{name}", config, data.sensor_sizes, seed, len(data.classes))
        fit(learner, data, everything, config, updates, seed)
        found[name] = learner
    return found


def fusion_of(
    arm: str,
    unimodal: Mapping[str, Learner],
    data: PairedData,
    config: Config,
    p: FewShotProtocol,
    seed: int,
) -> Learner:
    """An untrained fusion, with what its arm takes over from the unimodal models."""
    operator, options, trained = ARMS[arm]
    if operator == "cross_synapse":
        options = options | {"delay_max_ms": p.delay_max_ms}
    model = replace(
        config.model,
        fusion=operator,
        fusion_hidden=len(MODALITIES) * config.model.fusion_hidden,
        fusion_options=options,
    )
    sizes = data.sensor_sizes
    learner = build_learner("snn", replace(config, model=model), sizes, seed, len(data.classes))
    fused = learner.model
    if not isinstance(fused, FusionSNN):
        raise ValueError(f"learner must be a spiking model, got {type(fused).__name__}")
    if trained == "all":
        return learner
    sources = {k: v.model for k, v in unimodal.items() if isinstance(v.model, FusionSNN)}
    if operator == "cross_synapse":
        start_from_unimodal(fused, sources)
    for name, encoder in fused.encoders.items():
        encoder.load_state_dict(sources[name].encoders[name].state_dict())
        freeze(encoder)
    if isinstance(fused.fusion, CrossSynapseFusion) and trained == "cross":
        fused.requires_grad_(False)
        fused.fusion.cross.requires_grad_(True)
    return learner


def study_seed(data: PairedData, config: Config, p: FewShotProtocol, seed: int) -> dict[str, Any]:
    """Everything of one seed."""
    before = time.process_time()
    unimodal = pretrain(data, config, p, seed)
    scores = {name: answers(learner, data) for name, learner in unimodal.items()}
    labels = scores["vision"][1]
    alone = {name: accuracy(found, labels) for name, (found, _) in scores.items()}
    pool = accuracy(torch.stack([found for found, _ in scores.values()]).sum(0), labels)
    cells: list[dict[str, Any]] = []
    for arm, (operator, _, _) in ARMS.items():
        for shots in (0, *p.shots) if operator == "cross_synapse" else p.shots:
            learner = fusion_of(arm, unimodal, data, config, p, seed)
            if shots:
                fit(learner, data, few_pairs(data, shots, seed), config, p.updates, seed)
            trained = sum(q.numel() for q in learner.model.parameters() if q.requires_grad)
            found = accuracy(*answers(learner, data))
            cells.append({"arm": arm, "shots": shots, "accuracy": found, "trained": trained})
    spent = time.process_time() - before
    return {"seed": seed, "alone": alone, "pool": pool, "cells": cells, "cpu_s": spent}


def study(p: FewShotProtocol, seeds: Sequence[int], config: Config | None = None) -> dict[str, Any]:
    """Every seed on the embedded default, with the demo's model unless another is given."""
    base = load_config("demo") if config is None else config
    base = replace(
        base,
        model=replace(base.model, fusion_hidden=p.hidden),
        train=replace(base.train, batch_size=p.batch_size),
    )
    data = load_data(base.data)
    return {"protocol": asdict(p), "seeds": [study_seed(data, base, p, seed) for seed in seeds]}


def table(found: Mapping[str, Any]) -> str:
    """Accuracy of every arm and number of pairs, mean and range over seeds, as Markdown."""
    seeds = found["seeds"]
    shots = (0, *found["protocol"]["shots"])
    header = ["fusion", "parameters trained", *(f"{k} of each class" for k in shots)]
    rows: list[list[str]] = []
    for arm in ARMS:
        cells = [[c for c in seed["cells"] if c["arm"] == arm] for seed in seeds]
        row = [arm, f"{cells[0][0]['trained']:,}"]
        for k in shots:
            values = [c["accuracy"] for one in cells for c in one if c["shots"] == k]
            row.append(_spread(values) if values else "")
        rows.append(row)
    nothing = [""] * len(found["protocol"]["shots"])
    pool = _spread([seed["pool"] for seed in seeds])
    rows.append(["sum of the unimodal log-probabilities", "0", pool, *nothing])
    for name in MODALITIES:
        alone = _spread([seed["alone"][name] for seed in seeds])
        rows.append([f"{name} alone", "0", alone, *nothing])
    spent = sum(seed["cpu_s"] for seed in seeds)
    note = f"Mean over {len(seeds)} seeds (lowest to highest); {spent:.0f} s of processor time."
    return f"{markdown_table(header, rows)}\n\n{note}"


def _spread(values: Sequence[float]) -> str:
    """Mean and range."""
    return f"{mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.few_shot", description=__doc__
    )
    parser.add_argument("--json", type=Path, required=True, help="file for all results")
    parser.add_argument("--document", type=Path, help="page whose table is replaced")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = study(FewShotProtocol(), chosen.seeds)
    write_bytes(chosen.json, (json.dumps(found, indent=1) + "\n").encode())
    print(table(found))
    if chosen.document is not None:
        write_tables(chosen.document, {"few shots": table(found)})


if __name__ == "__main__":
    main()
