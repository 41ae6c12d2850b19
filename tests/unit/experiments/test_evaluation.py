"""Decision times, curves, folds, speakers and batches."""

import numpy as np
import pytest
import torch

from experiments.config import AugmentConfig
from experiments.evaluation.evaluate import first_final, framing_counts
from experiments.evaluation.results import at_equal_accuracy, time_to_accuracy
from experiments.loading.augment import augment
from experiments.loading.batches import spiking_inputs
from experiments.loading.data import choose_speakers, stratified_folds
from sensors.recordings import Recording
from spikefuse.baselines import blank_after
from spikefuse.errors import ConfigError
from spikefuse.events import EventStream, MultiStream


def test_an_answer_is_final_after_its_last_change() -> None:
    answers = np.array([[1, 1, 0], [2, 1, 1], [2, 1, 0], [2, 1, 1]])
    assert first_final(answers).tolist() == [1, 0, 3]


def test_time_to_accuracy_interpolates_and_never_extrapolates() -> None:
    curve = {"time_ms": [10.0, 20.0, 40.0], "accuracy": [0.2, 0.4, 0.8]}
    assert time_to_accuracy(curve, 0.2) == 10.0
    assert time_to_accuracy(curve, 0.6) == pytest.approx(30.0)
    assert time_to_accuracy(curve, 0.81) is None
    better = {"time_ms": [5.0, 40.0], "accuracy": [0.1, 0.9]}
    same = at_equal_accuracy(curve, better)
    assert same["accuracy"] == 0.8
    assert same["snn_ms"] == 40.0
    assert same["dense_ms"] == pytest.approx(5 + 35 * 0.7 / 0.8)


def test_folds_are_stratified_and_speakers_disjoint() -> None:
    stream = EventStream.empty((2, 1, 1), 10, "vision")
    recordings = [Recording(stream, i % 2, str(i), str(i)) for i in range(20)]
    folds = stratified_folds(recordings, 5)
    for fold in range(5):
        members = [r.label for r, f in zip(recordings, folds, strict=True) if f == fold]
        assert sorted(members) == [0, 0, 1, 1]
    names = ["a", "b", "c", "d"]
    assert choose_speakers(names, "", "", held_out=True) == ("d", "c")
    assert choose_speakers(names, "a", "", held_out=True) == ("a", "d")
    assert choose_speakers(names, "", "", held_out=False) == (None, "d")
    with pytest.raises(ConfigError, match=r"data.test_speaker must be one of"):
        choose_speakers(names, "zoe", "", held_out=True)
    with pytest.raises(ConfigError, match="at least 3 speakers"):
        choose_speakers(["a", "b"], "", "", held_out=True)
    with pytest.raises(ConfigError, match="must differ"):
        choose_speakers(names, "a", "a", held_out=True)


def test_training_inputs_hold_every_event_where_it_belongs(make_stream) -> None:
    streams = [make_stream(n, duration_us=50_000) for n in (300, 0, 40)]
    samples = [MultiStream({"vision": s}) for s in streams]
    events = spiking_inputs(samples, ["vision"], 5.0, 10)["vision"]
    by_hand = torch.zeros(10, 3, streams[0].n_addresses)
    for b, stream in enumerate(streams):
        for t, address in zip(stream.events["t"], stream.addresses(), strict=True):
            by_hand[int(t) // 5000, b, int(address)] += 1
    assert torch.equal(events.to_dense(), by_hand)


def test_blanked_frames_keep_what_was_complete() -> None:
    frames = {"vision": torch.ones(1, 8, 2, 2)}
    seen = blank_after(frames, {"vision": 50.0}, 120.0, 200.0)["vision"]
    assert seen.sum((2, 3)).flatten().tolist() == [4.0] * 4 + [0.0] * 4
    assert torch.equal(
        blank_after(frames, {"vision": 50.0}, 200.0, 200.0)["vision"], frames["vision"]
    )
    assert frames["vision"].sum() == 32


def test_augmentation_is_seeded_bounded_and_can_be_off(make_stream) -> None:
    stream = make_stream(500)
    off = AugmentConfig(0, 0.0, 0, 0.0)
    same = augment(stream, off, np.random.default_rng(0))
    np.testing.assert_array_equal(same.events, stream.events)
    config = AugmentConfig(2, 0.2, 2, 0.2)
    one, two, three = (augment(stream, config, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.events, two.events)
    assert len(one) < len(stream)
    assert len(one) != len(three) or not np.array_equal(one.events, three.events)


def test_framing_is_paid_per_event_and_cell() -> None:
    path = framing_counts(100, 60, "vision", 2)
    assert (path.effective_acs, path.state_reads, path.state_writes) == (100, 160, 160)
    assert path.state_words == 30
