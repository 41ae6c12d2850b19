"""Scenes through retina and cochlea, their tests of themselves, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest

from sensors.scenes.__main__ import main
from sensors.scenes.catalogue import scene_by_name
from sensors.scenes.grid import Drawn
from sensors.scenes.onset import OnsetScene
from sensors.scenes.rendering import patch_film, patch_masks, pip_wave, render_patches
from sensors.scenes.self_test import LeakError, self_test
from sensors.scenes.which import WhichParams, WhichScene
from spikefuse.events import EVENT_DTYPE, EventStream

TIMED = ["s1", "s1_order", "s2", "s3", "xor"]


def bare(times_us: list[int], channels: list[int], n: int, duration_us: int) -> EventStream:
    events = np.zeros(len(times_us), EVENT_DTYPE)
    events["t"], events["x"], events["p"] = times_us, channels, True
    return EventStream(events, (n, 1, 1), duration_us, "vision")


@pytest.mark.parametrize("jump", [False, True])
@pytest.mark.parametrize("n", [1, 3, 4, 8, 25])
def test_patches_do_not_meet(n: int, jump: bool) -> None:
    before, after = patch_masks(n, jump)
    assert before.shape == after.shape == (n, 16, 16)
    assert (before | after).sum(axis=0).max() == 1
    assert after.any(axis=(1, 2)).all()
    assert before.any() == jump
    if jump:
        assert (before.sum(axis=(1, 2)) == after.sum(axis=(1, 2))).all()
        assert (before & ~after).any(axis=(1, 2)).all()
    with pytest.raises(ValueError, match="n_patches must be at most 25, got 26"):
        patch_masks(26, jump)


def test_a_patch_changes_when_its_event_is() -> None:
    before, after = patch_masks(4, jump=False)
    stream = bare([5_250, 20_000, 20_100], [2, 2, 2], 4, 40_000)
    film, film_us = patch_film(stream, before, after, 40_000)
    level = film[:, after[2]].mean(axis=1)
    at = dict(zip(film_us.tolist(), level.tolist(), strict=True))
    # On at the first event; off at the second; on again at the third, once the ramp has ended.
    assert at == {0: 60, 5_250: 60, 6_250: 200, 20_000: 200, 21_000: 60, 22_000: 200, 39_999: 200}
    assert (film[:, ~after[2]] == 60).all()


def test_the_ball_touches_the_ground_at_the_bounce() -> None:
    before, after = patch_masks(1, jump=False)
    film, film_us = patch_film(bare([], [], 1, 320_000), before, after, 320_000, bounce_us=100_000)
    rows = np.arange(16)[:, None]
    weight = film - 60
    height = (weight * rows).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    assert film_us[height.argmax()] == 100_000
    assert film_us[height.argmin()] == 100_000 + 160_000
    assert height.max() - height.min() > 9


def test_a_pip_begins_at_its_event() -> None:
    silence = np.random.default_rng(0)
    quiet = pip_wave(bare([], [], 2, 50_000), np.array([700.0, 5000.0]), 50_000, silence)
    wave = pip_wave(
        bare([20_030], [1], 2, 50_000),
        np.array([700.0, 5000.0]),
        50_000,
        np.random.default_rng(0),
    )
    heard = np.flatnonzero(wave != quiet) / 16_000
    assert 0.02003 <= heard[0] <= 0.02003 + 2 / 16_000
    assert heard[-1] < 0.02003 + 0.008 + 1 / 16_000
    spectrum = np.abs(np.fft.rfft(wave - quiet))
    assert np.fft.rfftfreq(len(wave), 1 / 16_000)[spectrum.argmax()] == pytest.approx(5000, rel=0.1)


@pytest.mark.parametrize("name", TIMED)
def test_rendering_is_deterministic_and_answers_follow_stimuli(name: str) -> None:
    scene = scene_by_name(name)
    late: dict[str, list[np.ndarray]] = {"vision": [], "audio": []}
    asked = dict.fromkeys(late, 0)
    for index in range(8):
        sample = scene.draw(3, index)
        rendered = scene.render_with_truth(sample)
        again = scene.render(scene.draw(3, index))
        for modality, stream in rendered.stream.streams.items():
            np.testing.assert_array_equal(stream.events, again[modality].events)
            assert stream.duration_us == 1000 * scene.duration_ms
            late[modality].append(rendered.latency_us(modality))
            asked[modality] += len(rendered.first_us[modality])
            first = rendered.first_of_source_us(sample, modality)
            assert len(first) == len(sample.truth.sources[modality].time_us)
            assert (first[sample.truth.dropped(modality)] == -1).all()
            assert set(first[first >= 0]) <= set(stream.events["t"])
    vision, audio = (np.concatenate(late[m]) for m in ("vision", "audio"))
    assert min(vision.min(), audio.min()) >= 0
    # A ramp of 1 ms in front of the retina; filters of a few ms in the cochlea.
    assert len(vision) / asked["vision"] > 0.98
    assert np.median(vision) < 1000
    assert len(audio) / asked["audio"] > 0.95
    assert np.median(audio) < 8000


def test_each_modality_is_rendered_from_its_own_spikes_alone() -> None:
    scene = scene_by_name("s3")
    one, other = scene.draw(0, 0), scene.draw(0, 1)
    mixed = type(one)(
        type(one.stream)({"vision": one.stream["vision"], "audio": other.stream["audio"]}),
        one.label,
        one.condition,
        type(one.truth)(
            one.truth.sources, {**one.truth.cause, "audio": other.truth.cause["audio"]}
        ),
        one.seed,
        one.index,
    )
    whole, part = render_patches(scene, one), render_patches(scene, mixed)
    np.testing.assert_array_equal(whole.stream["vision"].events, part.stream["vision"].events)
    assert len(whole.stream["audio"]) != len(part.stream["audio"])


class LeakyRate(WhichScene):
    """S2 with a planted leak: object 0 is louder."""

    def generate(self, uniforms: np.ndarray) -> Drawn:
        drawn = super().generate(uniforms)
        drawn.noise["audio"][drawn.labels == 0, ::40] = True
        return drawn


class LeakyCounts(OnsetScene):
    """S1 with a leak that only the counts of both together tell: vision's echo, parity of both."""

    def generate(self, uniforms: np.ndarray) -> Drawn:
        drawn = super().generate(uniforms)
        rng = np.random.default_rng(int(uniforms[0, 0] * 1e9))
        busy = rng.random(len(drawn.labels)) < 0.5
        drawn.noise["vision"][busy, ::40] = True
        drawn.noise["audio"][busy == (drawn.labels == 1), ::40] = True
        return drawn


def test_a_planted_leak_fails() -> None:
    verdict = self_test(LeakyRate(WhichParams()), n_train=400, n_test=400)
    assert not verdict.passed
    leaks = {(p.what, p.classifier) for p in verdict.leaks}
    assert {
        ("audio", "boosted trees"),
        ("audio", "logistic regression"),
        ("counts of all", "logistic regression"),
    } <= leaks
    assert "vision" not in {p.what for p in verdict.leaks}
    with pytest.raises(LeakError, match=r"every probe of s2 must stay in .* got audio"):
        verdict.require()


def test_a_planted_leak_across_modalities_fails() -> None:
    verdict = self_test(LeakyCounts(), n_train=500, n_test=500)
    told = {(p.what, p.classifier) for p in verdict.leaks}
    assert ("counts of all", "boosted trees") in told
    assert {what for what, _ in told} == {"counts of all"}


def test_a_small_self_test_and_its_observers() -> None:
    scene = scene_by_name("s2")
    verdict = self_test(scene, n_train=300, n_test=300)
    assert [p.what for p in verdict.probes] == ["vision"] * 3 + ["audio"] * 3 + [
        "counts of all"
    ] * 3
    assert verdict.require() is verdict
    (found,) = verdict.observers
    assert found.n == 300
    assert found.ideal_low < found.ideal < found.ideal_high
    assert found.additive == pytest.approx(1 / 3)
    for probe in verdict.probes:
        assert (probe.again is None) == probe.inside


def test_scenes_claim_only_what_holds() -> None:
    kinds = {}
    for name in ("xor", "xor_rate", "redundant"):
        scene = scene_by_name(name)
        kinds[name] = {p.what for p in self_test(scene, n_train=100, n_test=100).probes}
    assert kinds["xor"] == {"vision", "audio", "counts of all"}
    assert kinds["xor_rate"] == {"vision", "audio"}
    assert kinds["redundant"] <= {"counts of all"}
    with pytest.raises(ValueError, match="level must be 'bare' or 'sensor', got 'cortex'"):
        self_test(scene, "cortex")
    with pytest.raises(ValueError, match="must be >= 20, got 100 and 5"):
        self_test(scene, n_train=100, n_test=5)


def test_sensor_level_on_few_samples() -> None:
    verdict = self_test(scene_by_name("xor"), "sensor", n_train=60, n_test=60)
    assert verdict.level == "sensor"
    assert len(verdict.probes) == 9


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.json"
    arguments = ["s2", "--n-train", "200", "--n-test", "200", "--json", str(out)]
    assert main(arguments) == 0
    (verdict,) = json.loads(out.read_text())
    assert verdict["scene"] == "s2"
    assert verdict["passed"] is True
    printed = capsys.readouterr().out
    assert f"{verdict['observers'][0]['ideal']:.3f}" in printed
    with pytest.raises(SystemExit) as stop:
        main(["s9"])
    assert stop.value.code == 2


@pytest.mark.slow
@pytest.mark.parametrize("level", ["bare", "sensor"])
@pytest.mark.parametrize("name", TIMED)
def test_the_whole_self_test(name: str, level: str) -> None:
    verdict = self_test(scene_by_name(name), level)
    assert len(verdict.probes) == 9
    verdict.require()
