"""Scenes S1, S2, S3 and the cue scenes: what is drawn, its truth, and what no one may know."""

from dataclasses import replace

import numpy as np
import pytest

from sensors.scenes.base import STEP_US
from sensors.scenes.catalogue import SCENES, scene_by_name
from sensors.scenes.comodulation import ComodulationParams, ComodulationScene, joint_states
from sensors.scenes.observers import accuracy
from sensors.scenes.onset import OnsetParams, OnsetScene
from sensors.scenes.which import WhichParams, WhichScene
from sensors.scenes.xor import CueParams, CueScene
from spikefuse import bin_events

NAMES = sorted(SCENES)


@pytest.mark.parametrize("name", NAMES)
def test_draw_and_batch_are_the_same_samples(name: str) -> None:
    scene = scene_by_name(name)
    indices = [7, 0, 123_456_789, 3]
    batch = scene.batch(5, indices)
    for b, index in enumerate(indices):
        sample = scene.draw(5, index)
        assert sample.label == sample.stream.label == int(batch.labels[b])
        assert sample.condition == float(batch.conditions[b])
        assert sample.condition in scene.conditions
        for modality, n_addresses in scene.modalities.items():
            stream = sample.stream[modality]
            assert stream.n_addresses == n_addresses
            assert stream.duration_us == 1000 * scene.duration_ms
            dense = bin_events([stream], dt_ms=1.0, n_steps=scene.duration_ms).to_dense()
            assert dense[:, 0].equal(batch.spikes[modality][:, b])


@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_parameters_make_other_samples(name: str) -> None:
    scene = scene_by_name(name)
    fields = {"s2": "p_drop", "s3": "coupling", "s4": "tuning_deg"}
    fields |= {"s5": "rest_hz", "s5_digits": "rest_hz"}
    field = fields.get(name, "noise_hz")
    changed = replace(scene.params, **{field: 1.01 * getattr(scene.params, field)})
    first = scene.batch(1, range(8))
    for other in (scene.batch(2, range(8)), type(scene)(changed).batch(1, range(8))):
        assert not first.spikes["audio"].equal(other.spikes["audio"])
    again = type(scene)(scene.params).batch(1, range(8))
    assert again.spikes["audio"].equal(first.spikes["audio"])


@pytest.mark.parametrize("name", NAMES)
def test_truth_fits_the_spikes(name: str) -> None:
    scene = scene_by_name(name)
    reach = {"s1": 8, "s1_order": 8, "s2": 9, "xor": 3, "redundant": 3, "incongruent": 3}.get(name)
    for index in range(20):
        sample = scene.draw(9, index)
        for modality in scene.modalities:
            stream, truth = sample.stream[modality], sample.truth
            sources, cause = truth.sources[modality], truth.cause[modality]
            assert len(cause) == len(stream)
            assert (np.diff(sources.time_us) >= 0).all()
            assert cause.min(initial=0) >= -1
            assert cause.max(initial=-1) < len(sources.time_us)
            assert truth.dropped(modality).sum() == len(sources.time_us) - len(
                np.unique(cause[cause >= 0])
            )
            late = truth.displacement_us(modality, stream)
            assert len(late) == (cause >= 0).sum()
            if reach is not None:
                period = 1000 * scene.duration_ms
                late = (late + period // 2) % period - period // 2  # S1 lies on a circle
                assert np.abs(late).max(initial=0) < (reach + 1) * STEP_US


def test_labels_and_conditions_are_even() -> None:
    for name in NAMES:
        scene = scene_by_name(name)
        batch = scene.batch(0, range(1200))
        shares = np.bincount(batch.labels.numpy(), minlength=scene.n_classes) / 1200
        assert np.abs(shares - 1 / scene.n_classes).max() < 4 * 0.5 / np.sqrt(1200)
        assert set(batch.conditions.tolist()) == set(scene.conditions)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_and_a_batch_of_one(name: str) -> None:
    scene = scene_by_name(name)
    assert scene.batch(0, []).ideal.shape == (0, scene.n_classes)
    one = scene.batch(0, [4])
    assert one.ideal.shape == one.additive.shape == (1, scene.n_classes)
    with pytest.raises(ValueError, match="indices must be >= 0, got -1"):
        scene.batch(0, [-1])


def test_offsets_are_those_of_the_class() -> None:
    for task in ("synchrony", "order"):
        scene = OnsetScene(OnsetParams(task=task))
        signs = set()
        for index in range(60):
            sample = scene.draw(1, index)
            times = {m: int(s.time_us[0]) for m, s in sample.truth.sources.items()}
            offset = sample.truth.offset_us["audio"]
            assert (times["audio"] - times["vision"] - offset) % (320 * STEP_US) == 0
            expected = {
                ("synchrony", 1): {0},
                ("synchrony", 0): {-1000 * sample.condition, 1000 * sample.condition},
                ("order", 0): {-1000 * sample.condition},
                ("order", 1): {1000 * sample.condition},
            }[task, sample.label]
            assert offset in expected
            signs.add(np.sign(offset))
        assert signs == ({-1, 0, 1} if task == "synchrony" else {-1, 1})


def test_objects_events_and_the_sounding_object() -> None:
    scene = WhichScene()
    p = scene.params
    for index in range(30):
        sample = scene.draw(2, index)
        vision, audio = sample.truth.sources["vision"], sample.truth.sources["audio"]
        for k in range(p.n_objects):
            times = vision.time_us[vision.object_id == k]
            assert len(times) == p.n_events
            assert (np.diff(times) > 2 * p.reach_ms * STEP_US).all()
        heard = vision.time_us[vision.object_id == sample.label]
        np.testing.assert_array_equal(audio.time_us, heard)
        assert (audio.object_id == sample.truth.values["sounding_object"]).all()
    batch = scene.batch(2, range(2000))
    evoked = p.n_events * (1 - p.p_drop)
    inserted = p.inserted_hz / 1000 * p.duration_ms
    # A noise spike on an evoked one is not seen: less than inserted * evoked / duration.
    mean = float(batch.spikes["audio"].sum(dim=(0, 2)).mean())
    assert evoked + inserted - 0.25 < mean < evoked + inserted + 0.15


def test_states_are_balanced_and_follow_the_joint_table() -> None:
    scene = ComodulationScene()
    n = 1500
    drawn = scene.generate(scene.uniforms(3, range(n), scene.n_uniforms))
    vision, audio = drawn.latent["vision"], drawn.latent["audio"]
    assert ((audio == 0).sum(1) == (audio == 1).sum(1)).all()
    for label, joint in enumerate(joint_states(scene.params.coupling)):
        np.testing.assert_allclose(joint.sum(0), 1 / 3)
        np.testing.assert_allclose(joint.sum(1), 1 / 3)
        mine = drawn.labels == label
        found = np.bincount(3 * vision[mine].ravel() + audio[mine].ravel(), minlength=9)
        # Balance leaves the sound's states a little more even, and equally so in both classes.
        np.testing.assert_allclose(found / found.sum(), joint.ravel(), atol=0.012)


def test_cues_make_the_class() -> None:
    for rule, name in (("xor", "xor"), ("redundant", "redundant"), ("incongruent", "incongruent")):
        for code in ("order", "rate"):
            scene = CueScene(CueParams(rule=rule, code=code))
            assert scene.name == (name if code == "order" else f"{name}_rate")
            for index in range(20):
                sample = scene.draw(0, index)
                v, a = (sample.truth.values[f"{m}_cue"] for m in ("vision", "audio"))
                assert sample.label == {"xor": v ^ a, "redundant": v, "incongruent": v}[rule]
                if rule != "xor":
                    assert (v == a) == (rule == "redundant")


@pytest.mark.parametrize(
    ("name", "low", "high", "n"),
    [("s2", 0.88, 0.96, 2000), ("s3", 0.88, 0.96, 2000), ("xor", 0.999, 1.0, 500)],
)
def test_difficulty(name: str, low: float, high: float, n: int) -> None:
    scene = scene_by_name(name)
    batch = scene.batch(77, range(n))
    assert low <= accuracy(batch.ideal.numpy(), batch.labels.numpy()) <= high
    assert accuracy(batch.additive.numpy(), batch.labels.numpy()) == pytest.approx(
        1 / scene.n_classes
    )


@pytest.mark.parametrize("task", ["synchrony", "order"])
@pytest.mark.parametrize("offset_ms", [8, 16, 32, 64])
def test_difficulty_of_each_offset(task: str, offset_ms: int) -> None:
    scene = OnsetScene(OnsetParams(task=task, offsets_ms=(offset_ms,)))
    batch = scene.batch(77, range(2500))
    assert 0.88 <= accuracy(batch.ideal.numpy(), batch.labels.numpy()) <= 0.96


def test_the_additive_observer_of_redundant_cues_is_right_and_of_incongruent_ones_too() -> None:
    for rule in ("redundant", "incongruent"):
        batch = CueScene(CueParams(rule=rule)).batch(1, range(300))
        assert accuracy(batch.additive.numpy(), batch.labels.numpy()) > 0.99


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OnsetParams(task="when"), "task must be 'synchrony' or 'order', got 'when'"),
        (lambda: OnsetParams(offsets_ms=(160,)), "half of period_ms=320, got"),
        (lambda: OnsetParams(p_evoke=1.0), r"p_evoke must lie in \(0, 1\), got 1.0"),
        (lambda: WhichParams(n_objects=1), "n_objects must be >= 2, got 1"),
        (lambda: WhichParams(n_events=20), "duration_ms must be above 379 for 20 events"),
        (lambda: ComodulationParams(coupling=0.2), "coupling must lie in"),
        (lambda: ComodulationParams(low_hz=200.0), "0 < low_hz < high_hz < 1000"),
        (lambda: CueParams(rule="and"), "rule must be one of"),
        (lambda: CueParams(spacing_ms=14), "spacing_ms must be above 14, got 14"),
        (lambda: scene_by_name("s9"), "name must be one of .* got 's9'"),
    ],
)
def test_refusals(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
