"""The few-shot study: what it draws, what its arms share, what its table says."""

from types import SimpleNamespace

import pytest
import torch

from experiments.config import load_config
from experiments.studies.few_shot import ARMS, FewShotProtocol, few_pairs, fusion_of, table
from experiments.training.learners import Learner, build_learner

SIZES = {"vision": (6, 6, 2), "audio": (9, 1, 1)}
SMALL = ("model.vision.hidden=7", "model.audio.hidden=5", "model.fusion_hidden=6")


def data_of(n: int = 40, n_classes: int = 4) -> SimpleNamespace:
    """Recordings that hold a label and nothing else."""
    labels = {
        "vision": [i % n_classes for i in range(n)],
        "audio": [(i // 2) % n_classes for i in range(n)],
    }
    train = {m: [SimpleNamespace(label=k) for k in of] for m, of in labels.items()}
    return SimpleNamespace(splits={"train": train}, classes=tuple("abcd"), sensor_sizes=SIZES)


def test_few_pairs_are_of_one_class_and_use_no_recording_twice() -> None:
    data = data_of()
    pairs = few_pairs(data, 5, seed=1)
    parts = data.splits["train"]
    labels = [(parts["vision"][v].label, parts["audio"][a].label) for v, a in pairs]
    assert labels == [(k, k) for k in range(4) for _ in range(5)]
    for column in zip(*pairs, strict=True):
        assert len(set(column)) == len(pairs)
    assert pairs == few_pairs(data, 5, seed=1) != few_pairs(data, 5, seed=2)


def unimodal_of(config) -> dict[str, Learner]:
    return {m: build_learner(f"snn_{m}", config, SIZES, 0, 4) for m in SIZES}


@pytest.mark.parametrize("arm", list(ARMS))
def test_an_arm_takes_over_what_it_says_and_trains_the_rest(arm: str) -> None:
    config, p = load_config(None, SMALL), FewShotProtocol(hidden=6, delay_max_ms=20.0)
    unimodal = unimodal_of(config)
    model = fusion_of(arm, unimodal, data_of(), config, p, seed=3).model
    operator, _, trained = ARMS[arm]
    pretrained = trained != "all"
    assert model.spec.fusion == operator
    for name, encoder in model.encoders.items():
        source = unimodal[name].model.encoders[name].state_dict()
        same = all(torch.equal(v, source[k]) for k, v in encoder.state_dict().items())
        assert same == pretrained
        assert any(q.requires_grad for q in encoder.parameters()) != pretrained
    assert model.fusion.hidden.beta_logit.requires_grad == (trained != "cross")
    assert model.readout.log_gain.requires_grad == (trained != "cross")
    if operator == "cross_synapse":
        assert all(q.requires_grad for q in model.fusion.cross.parameters())


def test_the_table_holds_every_arm() -> None:
    cells = [
        {"arm": arm, "shots": shots, "accuracy": 0.1 * shots, "trained": 1234}
        for arm in ARMS
        for shots in (1, 5)
    ]
    one = {"seed": 0, "alone": {"vision": 0.5, "audio": 0.25}, "pool": 0.75, "cells": cells}
    other = {**one, "seed": 1, "pool": 0.85}
    found = {"protocol": {"shots": (1, 5)}, "seeds": [one | {"cpu_s": 1.0}, other | {"cpu_s": 2.0}]}
    lines = table(found).splitlines()
    assert lines[2].endswith("| 1,234 |  | 0.100 (0.100 to 0.100) | 0.500 (0.500 to 0.500) |")
    assert "| 0 | 0.800 (0.750 to 0.850) |  |  |" in lines[2 + len(ARMS)]
    assert "| vision alone | 0 | 0.500 (0.500 to 0.500) |" in lines[3 + len(ARMS)]
    assert lines[-1].startswith("Mean over 2 seeds (lowest to highest); 3 s")
