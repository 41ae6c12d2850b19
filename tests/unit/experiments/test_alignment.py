"""The alignment study: its samples, controls, references and tables."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.config import load_config
from experiments.loading.data import load_data
from experiments.studies.alignment.digits import with_shuffled_labels
from experiments.studies.alignment.scenes import (
    SCENE_PROTOCOLS,
    binned,
    build,
    correlations,
    cosines,
    rolled,
    same_source,
    trained,
)
from experiments.studies.alignment.study import PARTS, known, scenes_table, study, verdicts
from sensors.digits import DigitsParams
from sensors.scenes.catalogue import scene_by_name

S2, S5 = SCENE_PROTOCOLS


def test_samples_of_s5_are_in_sync_and_never_repeat() -> None:
    scene = scene_by_name("s5")
    first, at = same_source(scene, 3, 60)
    second, _ = same_source(scene, 3, 60, at)
    drawn = scene.generate(scene.uniforms(3, range(at), scene.n_uniforms))
    keep = np.flatnonzero(drawn.labels == 1)[:60]
    np.testing.assert_array_equal(first["audio"], drawn.trains()["audio"][keep])
    assert len(second["audio"]) == 60
    assert not (first["audio"] == second["audio"]).all(axis=(1, 2)).any()


def test_a_moved_sound_keeps_its_spikes_and_the_vision(rng) -> None:
    trains, _ = same_source(scene_by_name("s2"), 0, 50)
    moved = rolled(trains, rng)
    assert moved["vision"] is trains["vision"]
    np.testing.assert_array_equal(moved["audio"].sum(axis=1), trains["audio"].sum(axis=1))
    assert (moved["audio"] != trains["audio"]).any()
    for before, after in zip(trains["audio"][:5, :, 0], moved["audio"][:5, :, 0], strict=True):
        assert any(np.array_equal(np.roll(before, k), after) for k in range(len(before)))


def test_binning_keeps_every_spike() -> None:
    trains, _ = same_source(scene_by_name("s5"), 0, 4)
    counts = binned(trains, 10)
    assert counts["audio"].shape == (64, 4, 4)
    for name in trains:
        assert float(counts[name].sum()) == trains[name].sum()
    assert float(counts["audio"][3, 1, 2]) == trains["audio"][1, 30:40, 2].sum()


def test_the_reference_finds_a_copy_and_its_lag() -> None:
    generator = np.random.default_rng(0)
    vision = generator.random((20, 300, 2)) < 0.02
    sound = np.roll(vision[:, :, 1:], 40, axis=1)
    at_lag = correlations({"vision": vision, "audio": sound}, 4.0, 40, best=True)
    np.testing.assert_allclose(np.diag(at_lag), 1.0)
    assert (at_lag.argmax(axis=1) == np.arange(20)).all()
    without = correlations({"vision": vision, "audio": sound}, 4.0, 0, best=True)
    assert (without.argmax(axis=1) == np.arange(20)).mean() < 0.5


def test_a_short_training_beats_the_untrained_embedding() -> None:
    p = replace(S2, hidden=0, dim=32, n_train=120, n_batch=64, learning_rate=1e-2)
    test, _ = same_source(scene_by_name("s2"), 99, 100)

    def rank(model) -> float:
        scores = cosines(model, test, p.dt_ms)
        return float((scores > np.diag(scores)[:, None]).sum(axis=1).mean())

    assert rank(build(p, scene_by_name("s2"), 0)) == pytest.approx(50, abs=12)
    assert rank(trained(p, 1)) < 41  # three standard errors below the middle


def test_the_same_seed_trains_the_same_embedding() -> None:
    p = replace(S2, hidden=8, dim=4, n_train=2, n_batch=8)
    one, two, other = trained(p, 1), trained(p, 1), trained(p, 2)
    weights = [model.heads["audio"].synapses.weight for model in (one, two, other)]
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.slow
def test_shuffled_labels_are_those_of_training_alone(tmp_path, rng) -> None:
    config = load_config("demo")
    digits = DigitsParams(n_train=30, n_validation=10, n_test=10, voices=2)
    data = load_data(replace(config.data, digits=digits), cache_dir=tmp_path)
    shuffled = with_shuffled_labels(data, rng)
    for name in ("vision", "audio"):
        before = [r.label for r in data.splits["train"][name]]
        after = [r.label for r in shuffled.splits["train"][name]]
        assert sorted(before) == sorted(after)
        assert before != after
        assert shuffled.splits["test"][name] == data.splits["test"][name]


def made_up(variant: str, hit: float, seed: int = 0) -> list[dict]:
    """One line of each scene in which this share of the queries is right."""
    recall = {
        f"{name}@{k}": [float(i % 100 < 100 * hit) for i in range(400)]
        for name in ("vision", "audio")
        for k in (1, 5)
    }
    choice = {"choice": {"sd_ms": 8.0, "lag_ms": 60, "best": True}}
    extra = choice if variant == "cross-correlation" else {}
    return [{"part": p, "variant": variant, "seed": seed, "recall": recall} | extra for p in PARTS]


def test_verdicts_say_who_wins() -> None:
    cells = [
        *made_up("trained", 0.2, 0),
        *made_up("trained", 0.3, 1),
        *made_up("cross-correlation", 0.4),
        *made_up("ideal observer", 0.75),
    ]
    lost = verdicts(cells)
    assert lost.count("the embedding loses; the ideal observer is ahead by 0.500") == 4
    assert "trained minus cross-correlation -0.150" in lost
    won = verdicts([*made_up("trained", 0.5), *cells[6:]])
    assert won.count("the embedding wins") == 4


def test_tables_hold_means_chance_and_what_was_chosen() -> None:
    names = ("untrained", "trained", "trained, sound moved at test", "trained on moved sound")
    cells = [cell for name in names for cell in made_up(name, 0.25)]
    cells += [*made_up("cross-correlation", 0.4), *made_up("ideal observer", 0.75)]
    table = scenes_table(cells)
    assert "| s2 | trained | 0.250 [0.250, 0.250] |" in table
    assert "cross-correlation (smoothed 8 ms, lag 60 ms, best vision channel)" in table
    assert "| s5 | chance | 0.01 | 0.01 | 0.05 | 0.05 |" in table


@pytest.mark.slow
def test_a_quick_study_resumes(tmp_path) -> None:
    path = tmp_path / "results.jsonl"
    study(path, [0], ["s2"], quick=True)
    made = path.read_text()
    assert len(known(path)) == 6
    study(path, [0], ["s2"], quick=True)
    assert path.read_text() == made
