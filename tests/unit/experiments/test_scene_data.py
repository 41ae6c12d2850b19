"""Timed scenes as a run's data: splits by seed, truth in the manifest, ideal observer beside it."""

from pathlib import Path

import numpy as np
import pytest

from experiments.config import load_config, to_toml
from experiments.loading.batches import batches
from experiments.loading.data import PairedData, load_data
from experiments.loading.scene import build_scene, seed_of
from sensors.scenes.observers import accuracy
from spikefuse.errors import ConfigError

SMALL = [
    "data.source=scene",
    "data.duration_ms=320",
    "data.scene.n_train=12",
    "data.scene.n_validation=6",
    "data.scene.n_test=10",
]


def loaded(*more: str, cache: Path | None = None) -> PairedData:
    return load_data(load_config(None, [*SMALL, *more]).data, cache_dir=cache)


def test_samples_are_those_of_the_scene_and_pairs_hold_one_event() -> None:
    config = load_config(None, [*SMALL, "data.scene.seed=3", "data.scene.params.offsets_ms=[32]"])
    data, scene = load_data(config.data), build_scene(config.data.scene)
    batch = next(batches(data, "test", data.fixed_pairs["test"], 10))
    for index, sample in enumerate(batch.samples):
        drawn = scene.draw(seed_of(config.data.scene, "test"), index)
        assert sample.label == drawn.label
        for name in ("vision", "audio"):
            np.testing.assert_array_equal(sample[name].events, drawn.stream[name].events)
    assert sorted(data.epoch_pairs(0, 1, 1)) == [(i, i) for i in range(12)]
    assert data.epoch_pairs(0, 1, 1) != data.epoch_pairs(0, 2, 1)


def test_no_seed_serves_two_splits_of_any_two_data_seeds() -> None:
    configs = [load_config(None, [*SMALL, f"data.scene.seed={k}"]).data.scene for k in range(4)]
    seeds = [seed_of(c, split) for c in configs for split in ("train", "validation", "test")]
    assert len(set(seeds)) == len(seeds)


def test_the_manifest_holds_onsets_and_true_delay() -> None:
    data = loaded("data.scene.params.offsets_ms=[32]")
    truth = data.manifest["truth"]["test"]
    assert set(data.manifest["truth"]) == {"validation", "test"}
    assert list(truth) == data.manifest["splits"]["test"]["audio"]
    for found in truth.values():
        late = found["onsets_us"]["audio"][0] - found["onsets_us"]["vision"][0]
        assert (found["delay_us"]["audio"] - late) % 320_000 == 0
        assert (found["delay_us"]["audio"] == 0) == (found["label"] == 1)
    assert {f["delay_us"]["audio"] for f in truth.values()} <= {-32_000, 0, 32_000}
    assert data.manifest["scene"]["params"]["offsets_ms"] == [32]


def test_the_ideal_observer_is_asked_about_the_test_samples() -> None:
    config = load_config(None, SMALL)
    data, scene = load_data(config.data), build_scene(config.data.scene)
    assert data.scene is not None
    ideal = data.scene["ideal"]
    batch = scene.batch(seed_of(config.data.scene, "test"), range(10))
    assert ideal["accuracy"] == accuracy(batch.ideal.numpy(), batch.labels.numpy())
    assert ideal["additive"] == 0.5
    assert sum(found["n"] for found in ideal["by_condition"].values()) == ideal["n"] == 10


def test_rendered_samples_are_kept_and_priced_with_their_cochlea(tmp_path: Path) -> None:
    more = ("data.scene.level=sensor", "data.scene.name=s4", "data.duration_ms=400")
    first, again = loaded(*more, cache=tmp_path), loaded(*more, cache=tmp_path)
    assert (first.cache_hit, again.cache_hit) == (False, True)
    assert first.manifest["sha256"] == again.manifest["sha256"]
    assert first.sensor_sizes == {"vision": (37, 6, 2), "audio": (8, 2, 1)}
    for name in ("vision", "audio"):
        left, right = (d.splits["test"][name][4].stream for d in (first, again))
        np.testing.assert_array_equal(left.events, right.events)
    assert first.hearing is not None
    assert first.hearing.counts(400.0, 2).effective_macs > 0
    assert loaded().hearing is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.scene.name=s9"], "data.scene.name must be one of .*'s1'.* got 's9'"),
        (["data.duration_ms=500"], "data.duration_ms must be 320, the length of scene s1, got 500"),
        (["data.scene.params.offset=3"], "data.scene.params must be of .*_ms.* got 'offset'"),
        (["data.scene.params.n_channels=many"], "data.scene.params.n_channels is wrong"),
        (["data.scene.params.offsets_ms=[200]"], "offsets_ms must lie between 0 and half"),
        (["data.scene.n_test=1"], "data.scene.n_test must be at least 2, got 1"),
        (["data.scene.seed=-1"], "data.scene.seed must be >= 0, got -1"),
        (["train.partners=2"], 'train.partners must be 1 with data.source "scene"'),
        (["data.root=x"], 'data.root must be empty with data.source "scene"'),
        (["data.source=embedded_digits"], 'data.source must be "scene" to use data.scene'),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_name(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [*SMALL, *overrides])


def test_parameters_survive_the_run_directory(tmp_path: Path) -> None:
    config = load_config(None, [*SMALL, "data.scene.params.offsets_ms=[8, 16]",
                                "data.scene.params.p_evoke=0.7"])  # fmt: skip
    (tmp_path / "config.toml").write_text(to_toml(config))
    again = load_config(str(tmp_path / "config.toml"))
    assert again == config
    assert build_scene(again.data.scene).params.offsets_ms == (8, 16)
