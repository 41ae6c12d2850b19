"""The planted cue: where it is, whom it agrees with, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_run import tiny

from experiments.loading.data import PairedData, load_data
from experiments.studies.spurious import (
    LAWS,
    SpuriousProtocol,
    conclusion,
    cue_addresses,
    drawn_cues,
    model_names,
    planted,
    table,
    with_cue,
)
from spikefuse.fusion import OPERATORS


@pytest.fixture(scope="module")
def data() -> PairedData:
    return load_data(tiny().data)


@pytest.mark.parametrize("size", [(64, 1, 1), (34, 34, 2)])
def test_cues_lie_apart_by_more_than_augmentation_shifts(size: tuple[int, int, int]) -> None:
    width, height, _ = size
    places = [cue_addresses(size, cue, 10) for cue in range(10)]
    assert all(((p >= 0) & (p < width * height)).all() for p in places)
    for i, one in enumerate(places):
        for other in places[:i]:
            dy, dx = np.abs(np.subtract(np.divmod(one, width), np.divmod(other, width))).min(1)
            assert max(dx, dy) > 2


def test_a_cue_adds_regular_events_and_keeps_the_others(data: PairedData) -> None:
    stream = data.splits["test"]["audio"][0].stream
    p = SpuriousProtocol(channel_hz=100.0)
    found = with_cue(stream, 3, 10, p)
    added = round(stream.duration_us * 1e-4) * 2
    assert len(found) == len(stream) + added
    assert (np.diff(found.events["t"]) >= 0).all()
    hot = np.isin(found.events["x"], cue_addresses(stream.sensor_size, 3, 10))
    was = np.isin(stream.events["x"], cue_addresses(stream.sensor_size, 3, 10))
    assert hot.sum() - was.sum() == added


def test_laws_of_the_cue_are_what_they_say() -> None:
    labels = np.arange(20_000) % 10
    cues = {law: drawn_cues(labels, law, 0.95, 10, np.random.default_rng(0)) for law in LAWS}
    assert (cues["agreeing"] == labels).mean() == pytest.approx(0.95, abs=0.01)
    assert (cues["neutral"] == labels).mean() == pytest.approx(0.1, abs=0.01)
    assert not (cues["reversed"] == labels).any()
    assert set(cues["reversed"].tolist()) == set(range(10))
    assert (cues["absent"] == -1).all()


def test_only_the_cued_modality_changes_and_training_keeps_its_law(data: PairedData) -> None:
    p = SpuriousProtocol()
    one, cues = planted(data, "audio", "reversed", p)
    other, _ = planted(data, "audio", "agreeing", p)
    assert len(cues) == len(data.fixed_pairs["test"])
    for split, parts in data.splits.items():
        for mine, theirs in zip(one.splits[split]["vision"], parts["vision"], strict=True):
            assert mine is theirs
        same = [
            np.array_equal(a.stream.events, b.stream.events)
            for a, b in zip(one.splits[split]["audio"], other.splits[split]["audio"], strict=True)
        ]
        assert all(same) == (split != "test")
    labels = [one.splits["test"]["vision"][pair[0]].label for pair in one.fixed_pairs["test"]]
    assert (cues != labels).all()


def test_table_and_conclusion_name_who_falls() -> None:
    assert model_names(["vision", "audio"])[:3] == [
        "snn_vision",
        "snn_audio",
        next(iter(OPERATORS)),
    ]
    rows = []
    for model, turned in (("snn_vision", 0.8), ("snn_audio", 0.1), ("concat", 0.7), ("late", 0.85)):
        accuracy = {"agreeing": 0.9, "absent": 0.8, "neutral": 0.8, "reversed": turned}
        rows.append(
            {
                "model": model,
                "cued": "audio",
                "seed": 0,
                "accuracy": accuracy,
                "follows": dict.fromkeys(LAWS, 0.1),
            }
        )
    assert "| audio | concat | 1 | 90.0 | 80.0 | 80.0 | 70.0 | 20.0 | 10.0 |" in table(rows)
    text = conclusion(rows)
    assert "audio alone loses 80.0 points" in text
    assert "`concat` most (20.0), `late` least (5.0)" in text
    assert text.endswith("itself (80.0 %): `concat`.")
