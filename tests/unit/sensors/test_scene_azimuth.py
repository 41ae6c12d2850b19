"""S4: time differences, population codes of known information, cue combination, sensors."""

import numpy as np
import pytest

from sensors.scenes.azimuth import DELAYS_US, AzimuthParams, AzimuthScene
from sensors.scenes.binaural import (
    HEAD_RADIUS_M,
    SOUND_M_S,
    azimuth_deg,
    coincidences,
    ear_waves,
    itd_from_coincidences,
    itd_slope_us,
    itd_us,
)
from sensors.scenes.observers import accuracy
from spikefuse.errors import DataError
from spikefuse.events import EventStream

N = 2000


def _arrays(batch):
    return {name: spikes.numpy().transpose(1, 0, 2) for name, spikes in batch.spikes.items()}


@pytest.fixture(scope="module")
def scene():
    return AzimuthScene()


@pytest.fixture(scope="module")
def batch(scene):
    return scene.batch(3, range(N))


def test_time_difference_has_its_closed_form_slope_and_inverse():
    assert itd_us(0.0) == 0
    assert itd_us(90.0) == pytest.approx(1e6 * HEAD_RADIUS_M / SOUND_M_S * (np.pi / 2 + 1))
    angles = np.linspace(-90, 90, 37)
    np.testing.assert_allclose(azimuth_deg(itd_us(angles)), angles, atol=1e-9)
    inner = angles[1:-1]
    slope = (itd_us(inner + 1e-4) - itd_us(inner - 1e-4)) / 2e-4
    np.testing.assert_allclose(itd_slope_us(inner), slope, rtol=1e-6)
    assert azimuth_deg(5000.0) == pytest.approx(90.0)
    with pytest.raises(ValueError, match="azimuth_deg must lie in"):
        itd_us(91.0)


@pytest.mark.parametrize("difference", [-311.0, 0.0, 17.5, 620.0])
def test_click_carries_its_difference_between_samples(difference):
    waves = ear_waves(np.array([10_000]), np.array([difference]), 20_000, 16_000)
    energy = waves**2
    centre_us = (np.arange(len(waves))[:, None] * energy).sum(0) / energy.sum(0) / 16_000 * 1e6
    assert centre_us[0] - centre_us[1] == pytest.approx(difference, abs=1.0)
    with pytest.raises(DataError, match="one a click"):
        ear_waves(np.array([1, 2]), np.array([0.0]), 1000, 16_000)


def test_coincidences_equal_every_pair_counted_by_hand(make_stream):
    ears = make_stream(120, (3, 2, 1), 6000, "audio")
    delays = np.arange(-300, 301, 50)
    code = coincidences(ears, delays, 40)
    found = []
    for a in ears.events:
        for b in ears.events:
            if a["x"] == b["x"] and a["y"] == 0 and b["y"] == 1:
                gap = int(a["t"]) - int(b["t"])
                found += [
                    (max(a["t"], b["t"]), k, a["x"])
                    for k, d in enumerate(delays)
                    if abs(gap - d) <= 40
                ]
    assert found
    got = [(e["t"], e["x"], e["y"]) for e in code.events]
    assert sorted(found) == sorted(got)
    assert (np.diff(code.events["t"]) >= 0).all()


def test_coincidences_of_nothing_and_of_one_ear(make_stream):
    silent = EventStream.empty((3, 2, 1), 1000, "audio")
    code = coincidences(silent, DELAYS_US, 30)
    assert len(code) == 0
    assert np.isnan(itd_from_coincidences(code, DELAYS_US))
    with pytest.raises(DataError, match="ears must have"):
        coincidences(make_stream(5, (3, 1, 1)), DELAYS_US, 30)


@pytest.mark.parametrize("modality", ["vision", "audio"])
@pytest.mark.parametrize("angle", [-8.0, 0.0, 5.3])
def test_fisher_information_is_one_over_the_stated_variance(scene, modality, angle):
    sd = np.array(5.0)
    step = 1e-3
    f = scene.mean_counts(modality, np.array(angle), sd)
    up, down = (scene.mean_counts(modality, np.array(angle + s), sd) for s in (step, -step))
    information = (((up - down) / (2 * step)) ** 2 / f).sum()
    assert 1 / np.sqrt(information) == pytest.approx(scene.sd_deg(modality, angle, 5.0), rel=2e-3)


def test_errors_of_simulated_estimates_have_the_stated_spread(scene, batch):
    found = scene.estimates(_arrays(batch))
    drawn = scene.generate(scene.uniforms(3, range(N), scene.n_uniforms))
    for name, estimate in (("vision", found.vision_deg), ("audio", found.audio_deg)):
        n = batch.spikes[name].sum((0, 2)).numpy()
        slope = 1.0 if name == "vision" else itd_slope_us(drawn.latent[name]) / itd_slope_us(0.0)
        seen = n > 0
        z = ((estimate - drawn.latent[name]) * slope * np.sqrt(n))[seen] / scene.params.tuning_deg
        assert abs(z.mean()) < 3.5 / np.sqrt(len(z))
        assert z.std() == pytest.approx(1.0, abs=3.5 / np.sqrt(2 * len(z)))


def test_conflict_trials_are_fused_by_the_predicted_weights():
    scene = AzimuthScene(
        AzimuthParams(reliabilities_deg=((2.5, 5.0),), conflicts_deg=(-12.0, 12.0))
    )
    found = scene.estimates(_arrays(scene.batch(1, range(1500))))
    truths = [scene.draw(1, i).truth.values for i in range(60)]
    for i, truth in enumerate(truths[:5]):
        assert truth["vision_deg"] - truth["audio_deg"] == pytest.approx(truth["conflict_deg"]), i
    assert truths[0]["vision_weight"] == pytest.approx(0.8, abs=0.01)
    drawn = scene.generate(scene.uniforms(1, range(1500), scene.n_uniforms))
    # Slope of the fused angle's shift over the conflict: w_v - 1/2.
    shift = found.fused_deg - drawn.latent["angle"]
    slope = (shift * drawn.latent["conflict"]).mean() / 12.0**2
    assert slope == pytest.approx(0.3, abs=0.03)
    assert found.vision_weight.mean() == pytest.approx(0.8, abs=0.02)


def test_ideal_observer_equals_explicit_sums(scene):
    batch = scene.batch(5, range(3))
    trains, p = _arrays(batch), scene.params
    for b in range(3):
        sds = p.reliabilities_deg[int(batch.conditions[b])]
        of_class = [[], []]
        for angle in p.angles_deg:
            total = 0.0
            for name, sd in zip(("vision", "audio"), sds, strict=True):
                mean = scene.mean_counts(name, np.array(angle), np.array(sd))
                chance = 1 - np.exp(-mean / p.stimulus_ms)
                inside = trains[name][b, p.lead_in_ms : p.lead_in_ms + p.stimulus_ms]
                total += np.where(inside > 0, np.log(chance), np.log(1 - chance)).sum()
            of_class[angle > 0].append(total)
        left, right = (np.logaddexp.reduce(scores) for scores in of_class)
        got = batch.ideal[b].double().numpy()
        assert got[1] - got[0] == pytest.approx(right - left, abs=1e-3)


def test_each_modality_alone_is_as_good_as_predicted_and_both_are_better(scene, batch):
    trains, labels = _arrays(batch), batch.labels.numpy()
    conditions = batch.conditions.numpy()
    both = accuracy(batch.ideal.numpy(), labels)
    assert 0.88 <= both <= 0.96
    for condition in scene.conditions:
        mine = conditions == condition
        for name in trains:
            cue = scene._cue_log_likelihood(name, trains[name][mine], conditions[mine])
            alone = accuracy(scene._by_class(cue), labels[mine])
            predicted = scene.unimodal_accuracy(name, int(condition))
            # The Gaussian form is that of the mean count; a small count's spread costs a little.
            assert predicted - 0.06 < alone < predicted + 0.035
            assert alone < accuracy(batch.ideal.numpy()[mine], labels[mine]) + 0.005


def test_a_sample_follows_from_seed_and_index_alone(scene, batch):
    for index in (0, 7):
        sample = scene.draw(3, index)
        assert sample.label == int(batch.labels[index])
        for name, n in scene.modalities.items():
            dense = np.zeros((scene.duration_ms, n))
            events = sample.stream[name].events
            dense[events["t"] // 1000, events["x"]] = 1
            np.testing.assert_array_equal(dense, batch.spikes[name][:, index].numpy())
            assert (sample.truth.cause[name] >= 0).all()
            assert len(sample.truth.sources[name].time_us) == len(events)
    assert len(scene.batch(3, []).labels) == 0


def test_sensors_recover_the_angles_of_the_same_sample():
    scene = AzimuthScene(AzimuthParams(reliabilities_deg=((4.0, 4.0),)))
    errors = []
    for index in range(25):
        sample = scene.draw(11, index)
        felt = scene.render(sample)
        events = {name: sample.stream[name].events["x"] for name in ("vision", "audio")}
        bare_v = scene.columns_deg[events["vision"]].mean()
        bare_a = azimuth_deg(scene.detectors_us[events["audio"]].mean())
        errors.append(
            (
                scene.vision_angle_deg(felt["vision"]) - bare_v,
                scene.audio_angle_deg(felt["audio"]) - bare_a,
            )
        )
    vision, audio = np.array(errors).T
    assert np.sqrt(np.mean(vision**2)) < 2.0
    assert np.sqrt(np.mean(audio**2)) < 4.5
    again = scene.render(scene.draw(11, 0))
    np.testing.assert_array_equal(
        again["audio"].events, scene.render(scene.draw(11, 0))["audio"].events
    )


def test_refusals():
    with pytest.raises(ValueError, match="angles_deg must be symmetric"):
        AzimuthParams(angles_deg=(1.0, 2.0))
    with pytest.raises(ValueError, match="reliabilities_deg must be pairs"):
        AzimuthParams(reliabilities_deg=((0.0, 3.0),))
    with pytest.raises(ValueError, match="stimulus_ms must be >= 1"):
        AzimuthParams(stimulus_ms=0)
