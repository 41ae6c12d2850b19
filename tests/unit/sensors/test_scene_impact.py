"""S6: looming, exact observers, equal marginals, and when hearing may sleep."""

from dataclasses import replace

import numpy as np
import pytest

from sensors.scenes.impact import ImpactParams, ImpactScene
from sensors.scenes.looming import contact_sd_ms, crossing_before_ms, looming_film
from sensors.scenes.observers import accuracy
from sensors.scenes.wake_up import causal, closed_form, default_scene, without_vision

TINY = ImpactParams(
    offsets_ms=(3,), ratios_ms=(2.0, 4.0), eccentricities_deg=(20.0, 40.0), jitter_ms=1.5,
    sound_jitter_ms=1.0, n_audio=2, first_ms=15, span_ms=20, tail_ms=6, noise_hz=20.0,
    sound_noise_hz=30.0,
)  # fmt: skip


def _arrays(batch):
    return {name: spikes.numpy().transpose(1, 0, 2) for name, spikes in batch.spikes.items()}


def test_edge_of_the_film_crosses_rings_when_stated():
    rings, ratio = np.array([8.0, 15.0, 25.0]), 25.0
    before = crossing_before_ms(rings, ratio)
    np.testing.assert_allclose(np.tan(np.deg2rad(rings)), ratio / before)
    film = looming_film(before, ratio, 60, 40.0)
    radius = np.sqrt(((200.0 - film) / 175.0).sum((1, 2)) / np.pi)
    np.testing.assert_allclose(radius, 40.0 * np.tan(np.deg2rad(rings)), rtol=0.01)
    assert (looming_film(np.array([-5.0]), ratio, 24, 19.0) == 25.0).all()
    with pytest.raises(ValueError, match="eccentricity_deg must lie in"):
        crossing_before_ms(np.array([90.0]), ratio)


def test_spread_of_contact_equals_that_of_least_squares(rng):
    rings = np.array([5.0, 9.0, 16.0, 28.0])
    slope = 1 / np.tan(np.deg2rad(rings))
    design = np.stack([np.ones(4), -slope], axis=1)
    crossings = design @ np.array([600.0, 25.0]) + 6.0 * rng.standard_normal((20_000, 4))
    found = np.linalg.lstsq(design, crossings.T, rcond=None)[0][0]
    assert found.std() == pytest.approx(contact_sd_ms(rings, 6.0, 1.0), rel=0.02)
    assert contact_sd_ms(rings, 6.0, 1.0, known_ratio=True) == pytest.approx(3.0)


@pytest.mark.parametrize("task", ["timing", "presence"])
def test_ideal_observer_equals_explicit_sums(task):
    scene = ImpactScene(replace(TINY, task=task))
    p, steps = scene.params, np.arange(scene.duration_ms)
    batch = scene.batch(1, range(4))
    trains = _arrays(batch)

    def of(x, rate):
        chance = 1 - np.exp(-rate)
        return np.log(np.where(x > 0, chance, 1 - chance)).sum()

    def bell(centre, sd):
        return np.exp(-0.5 * ((steps - centre) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))

    for b in range(4):
        x_v, x_a = trains["vision"][b], trains["audio"][b]
        scores = [[], []]
        for ratio in p.ratios_ms:
            for contact in range(p.span_ms):
                lead = ratio / np.tan(np.deg2rad(p.eccentricities_deg))
                seen = sum(
                    of(x_v[:, k], p.noise_hz / 1000
                       + p.hits * bell(p.first_ms + contact - lead[k], p.jitter_ms))
                    for k in range(2)
                )  # fmt: skip

                def heard(at, x_a=x_a):
                    rate = p.sound_noise_hz / 1000 + p.sound_hits * bell(
                        p.first_ms + at % p.span_ms, p.sound_jitter_ms
                    )
                    return of(x_a, np.repeat(rate[:, None], p.n_audio, 1))

                scores[1].append(seen + heard(contact))
                if task == "timing":
                    sides = heard(contact - 3), heard(contact + 3)
                    scores[0].append(seen + np.logaddexp(*sides) - np.log(2))
                else:
                    none = of(x_a, np.full(x_a.shape, p.sound_noise_hz / 1000))
                    scores[0].append(seen + none)
        expected = np.logaddexp.reduce(scores[1]) - np.logaddexp.reduce(scores[0])
        got = batch.ideal[b].double().numpy()
        assert got[1] - got[0] == pytest.approx(expected, abs=1e-3)


def test_default_difficulty_and_what_one_modality_tells():
    timing = ImpactScene().batch(2, range(1500))
    assert 0.88 <= accuracy(timing.ideal.numpy(), timing.labels.numpy()) <= 0.96
    assert accuracy(timing.additive.numpy(), timing.labels.numpy()) == 0.5
    presence = default_scene().batch(2, range(1500))
    both = accuracy(presence.ideal.numpy(), presence.labels.numpy())
    sound = accuracy(presence.additive.numpy(), presence.labels.numpy())
    assert 0.87 <= both <= 0.96
    assert 0.7 < sound < both - 0.03


def test_contact_and_sound_are_uniform_in_both_classes():
    from scipy.stats import chisquare

    scene = ImpactScene(TINY)
    drawn = scene.generate(scene.uniforms(3, range(6000), scene.n_uniforms))
    for name in ("contact", "sound"):
        for label in (0, 1):
            counts = np.bincount(drawn.latent[name][drawn.labels == label], minlength=20)
            assert chisquare(counts).pvalue > 1e-3
    late = (drawn.latent["sound"] - drawn.latent["contact"]) % 20
    assert set(late[drawn.labels == 1]) == {0}
    assert set(late[drawn.labels == 0]) == {3, 17}


def test_spikes_of_a_step_have_the_stated_chance():
    scene = ImpactScene(replace(TINY, ratios_ms=(3.0,), span_ms=7))
    drawn = scene.generate(scene.uniforms(4, range(20_000), scene.n_uniforms))
    mine = drawn.latent["contact"] == 2
    rate = drawn.trains()["vision"][mine].mean(0)
    chance = scene._chance_v[0, 2]
    spread = np.sqrt(chance * (1 - chance) / mine.sum())
    assert (np.abs(rate - chance) < 5 * spread).all()


def test_truth_names_the_ring_that_a_spike_came_from():
    scene = ImpactScene()
    sample = scene.draw(1, 3)
    late = sample.truth.displacement_us("vision", sample.stream["vision"]) / 1000
    assert len(late)
    assert np.abs(late).max() < 6 * scene.params.jitter_ms
    assert sample.truth.values["contact_us"] % 1000 == 0
    absent = next(s for s in (default_scene().draw(1, i) for i in range(20)) if s.label == 0)
    assert len(absent.truth.sources["audio"].time_us) == 0
    assert (absent.truth.cause["audio"] == -1).all()


def test_prediction_uses_the_past_only():
    scene = ImpactScene()
    batch = scene.batch(5, range(20))
    vision = _arrays(batch)["vision"]
    edited = vision.copy()
    edited[:, 400:] = 1 - edited[:, 400:]
    for a, b in zip(
        scene.predicted_contact_ms(vision, 400),
        scene.predicted_contact_ms(edited, 400),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    middle, spread = scene.predicted_contact_ms(np.zeros_like(vision), 1)
    np.testing.assert_allclose(middle, 599.5, atol=1.0)
    np.testing.assert_allclose(spread, np.sqrt((200**2 - 1) / 12), atol=1.0)


def test_predicted_spread_is_that_of_the_errors():
    scene = ImpactScene()
    drawn = scene.generate(scene.uniforms(6, range(800), scene.n_uniforms))
    mean, spread = scene.predicted_contact_ms(drawn.trains()["vision"])
    error = mean - scene.params.first_ms - drawn.latent["contact"]
    assert np.sqrt((error**2).mean()) == pytest.approx(np.sqrt((spread**2).mean()), rel=0.25)
    # The bulk is within what least squares allows; rare samples with few spikes are far out.
    assert np.median(np.abs(error)) < 0.6745 * scene.contact_sd_ms()


def test_hearing_sleeps_most_of_the_time_and_misses_little():
    scene = default_scene()
    curve = causal(scene, (0.0, 0.02, 0.2, 1.1), seed=7, n=200)
    assert curve.asleep[0] == curve.missed[0] == 0
    assert curve.asleep[3] == pytest.approx(1.0)
    assert curve.missed[3] == pytest.approx(1.0)
    assert (np.diff(curve.asleep) >= 0).all()
    assert curve.asleep[1] > 0.9
    assert curve.missed[1] < 0.06
    blind = without_vision(scene, [(1 - curve.asleep[1]) * scene.duration_ms / 200])
    assert blind.asleep[0] == pytest.approx(curve.asleep[1])
    assert blind.missed[0] > 0.6
    window = closed_form(scene, (0.0, scene.contact_sd_ms()))
    np.testing.assert_allclose(window.missed, [1.0, 0.3173], atol=1e-4)


def test_rendered_sound_is_at_its_time_or_absent():
    scene = default_scene()
    n_near = {0: [], 1: []}
    for index in range(12):
        sample = scene.draw(2, index)
        felt = scene.render(sample)
        contact = sample.truth.values["contact_us"]
        times = felt["audio"].events["t"]
        n_near[sample.label].append(((times >= contact) & (times < contact + 15_000)).sum())
        assert len(felt["vision"])
    assert min(n_near[1]) > max(n_near[0])


def test_refusals():
    for change, message in (
        ({"first_ms": 300}, "first_ms must be at least"),
        ({"offsets_ms": (100,)}, "offsets_ms must lie between"),
        ({"noise_hz": 0.0}, "noise_hz must lie in"),
        ({"task": "late"}, "task must be 'timing' or 'presence'"),
    ):
        with pytest.raises(ValueError, match=message):
            ImpactParams(**change)
    with pytest.raises(ValueError, match="half_widths_ms must be >= 0"):
        closed_form(ImpactScene(), [-1.0])
