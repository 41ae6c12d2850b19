"""Every recipe of public data sets, end to end on stand-ins in the published layouts, offline."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_ins

from experiments.cli import main
from experiments.config import load_config, recipe_names
from experiments.loading.data import load_data
from experiments.run import run_experiment
from spikefuse.errors import ConfigError, DataError

TINY = [
    "train.epochs=1",
    "train.dense_epochs=1",
    "train.threads=1",
    "model.fusion_hidden=8",
    "model.vision.hidden=8",
    "model.vision.convs=[]",
    "model.audio.hidden=8",
    "model.audio.convs=[]",
    "model.audio.delays_ms=[0.0]",
    "data.dt_ms=50.0",
    "cost.frame_vision_ms=100.0",
    "cost.frame_audio_ms=100.0",
    "cost.latency_repeats=3",
]


class Silent:
    def stage(self, text: str) -> None: ...

    def progress(self, done: int, total: int, text: str) -> None: ...


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["SPIKEFUSE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    stand_ins.write_nmnist(folder)
    stand_ins.write_gestures(folder)
    stand_ins.write_lip(folder, folder / "sound")
    stand_ins.write_shd(folder)
    stand_ins.write_ssc(folder)
    stand_ins.write_tidigits(folder)
    stand_ins.write_wavs(folder)
    return folder


def configured(recipe: str, root: Path, *more: str) -> Any:
    extra = [f"data.root={root}"]
    if recipe == "dvslip_audio":
        extra = [f"data.vision.root={root}", f"data.audio.root={root / 'sound'}"]
    return load_config(recipe, [*TINY, *extra, *more])


def run(recipe: str, root: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    result = run_experiment(configured(recipe, root), folder, Silent())
    return result, json.loads((folder / "manifest.json").read_text())


def check(result: dict[str, Any], manifest: dict[str, Any], models: set[str]) -> None:
    assert set(result["models"]) == models
    assert manifest["sha256"] == result["data"]["manifest_sha256"]
    assert manifest["split_protocol"]
    assert "followed by silence" in manifest["policy"]["duration"]
    assert result["data"]["attribution"]
    for model in result["models"].values():
        assert 0 <= model["accuracy"] <= 1
        assert model["energy"]["horowitz_45nm_int8"]["with_sensors_pj"] > 0
        assert len(model["accuracy_interval"]) == 2


FUSED = {"snn", "dense", "snn_vision", "snn_audio"}


def test_every_recipe_of_public_sets_is_run_here() -> None:
    of_sets = [name for name in recipe_names() if load_config(name).data.source == "sets"]
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in of_sets if f'"{name}"' not in text] == []
    assert len(of_sets) == 8


@pytest.mark.parametrize(
    ("recipe", "modality", "n_classes", "n_test"),
    [("nmnist", "vision", 10, 10), ("shd", "audio", 20, 40), ("dvsgesture", "vision", 11, 11)],
)
def test_one_modality(
    recipe: str, modality: str, n_classes: int, n_test: int, root: Path, tmp_path: Path
) -> None:
    result, manifest = run(recipe, root, tmp_path / "run")
    check(result, manifest, {"snn", "dense"})
    assert result["data"]["n_classes"] == len(result["data"]["classes"]) == n_classes
    assert result["data"]["n_test"] == n_test
    assert result["models"]["snn"]["modalities"] == [modality]
    assert manifest["declaration"].startswith("one modality")
    with np.load(tmp_path / "run" / "raster.npz") as raster:
        assert raster["modalities"].tolist() == [modality]
    rows = (tmp_path / "run" / "predictions.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * n_test
    if recipe == "shd":
        paths = result["models"]["snn"]["counts"]["by_path"]
        assert paths["frontend.audio.cochlea"]["effective_macs"] > 1e8  # 700 places of a membrane
        assert any("groups must not be shared" in note for note in result["data"]["notes"])
    if recipe == "dvsgesture":
        assert manifest["cut_events"]["test"]["vision"] > 0  # takes of 1.7 s in 1.5 s
        assert manifest["groups"]["train"]["vision"] == 2
        assert "user01" in manifest["split_protocol"]["vision"]


def test_digits_of_two_languages(root: Path, tmp_path: Path) -> None:
    result, manifest = run("nmnist_shd", root, tmp_path / "run")
    check(result, manifest, FUSED)
    assert manifest["groups"]["test"]["audio"] == 1  # speaker 2 was in the train part
    assert any("20 of 40 SHD recordings" in note for note in result["data"]["notes"])
    assert {s.split("/")[0] for s in manifest["splits"]["test"]["audio"]} == {"shd_test"}
    assert 0.6 < manifest["silent_share"]["test"]["vision"] < 0.75  # 0.3 s of a second
    assert result["data"]["counts"]["train"]["vision"]["recordings"] == 40


def test_single_digits_of_a_silicon_cochlea(root: Path, tmp_path: Path) -> None:
    result, manifest = run("nmnist_ntidigits", root, tmp_path / "run")
    check(result, manifest, FUSED)
    names = manifest["splits"]["train"]["audio"] + manifest["splits"]["validation"]["audio"]
    assert len(names) == 33  # the strings stay out
    audio = result["models"]["snn_audio"]
    assert not any(path.startswith("frontend") for path in audio["counts"]["by_path"])
    sensors = audio["energy"]["horowitz_45nm_int8"]["breakdown"]["sensors_pj"]
    assert list(sensors) == ["das1_cochlea_ams"]


def test_assigned_classes_are_declared(root: Path, tmp_path: Path) -> None:
    result, manifest = run("dvsgesture_ssc", root, tmp_path / "run")
    check(result, manifest, FUSED)
    assert manifest["declaration"].startswith("assigned pairing")
    assert any(note.startswith("Assigned pairing") for note in result["data"]["notes"])
    assert len(manifest["assignment"]) == 11
    assert result["data"]["classes"][3].endswith(" + word03")
    pairs = manifest["pairs"]["test"]
    labels = {(v.split("/")[-1].removesuffix(".npy"), int(a.split("/")[1]) % 12) for v, a in pairs}
    assert labels == {(str(k), k) for k in range(11)}


def test_lips_and_their_own_sound(root: Path, tmp_path: Path) -> None:
    result, manifest = run("dvslip_audio", root, tmp_path / "run")
    check(result, manifest, FUSED)
    for split in ("validation", "test"):
        for vision, audio in manifest["pairs"][split]:
            assert vision.removesuffix(".npy") == audio.removesuffix(".wav")
    assert len(manifest["splits"]["validation"]["audio"]) == 2 * 3  # takes 0 and 5 of three words
    data = load_data(configured("dvslip_audio", root).data)
    one, other = data.epoch_pairs(0, 1, 1), data.epoch_pairs(0, 2, 1)
    assert one != other
    assert sorted(one) == sorted(other)


def test_wavs_by_the_command_line_with_its_report(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = [part for o in (*TINY, f"data.root={root}") for part in ("--set", o)]
    argv, sys.argv = sys.argv, ["spikefuse", "train", "--config", "nmnist_wav", *options]
    sys.argv += ["--out", str(folder)]
    try:
        main()
    finally:
        sys.argv = argv
    result = json.loads((folder / "result.json").read_text())
    check(result, json.loads((folder / "manifest.json").read_text()), FUSED)
    assert (folder / "report.html").stat().st_size > 10_000
    assert (folder / "raster.npz").is_file()


def test_a_second_load_reads_the_cache_and_equals_the_first(root: Path) -> None:
    config = configured("nmnist_shd", root).data
    first, again = load_data(config), load_data(config)
    assert again.cache_hit
    assert first.manifest["sha256"] == again.manifest["sha256"]
    for name in ("vision", "audio"):
        left, right = (d.splits["validation"][name][3].stream for d in (first, again))
        np.testing.assert_array_equal(left.events, right.events)
    assert first.sensor_sizes == {"vision": (34, 34, 2), "audio": (140, 1, 1)}


def test_fewer_of_each_class_and_another_fold(root: Path) -> None:
    few = load_data(configured("nmnist", root, "data.vision.max_per_class=3").data)
    assert len(few.splits["train"]["vision"]) + len(few.splits["validation"]["vision"]) == 30
    sources = [
        {r.source for r in load_data(configured("nmnist", root, f"data.fold={fold}").data).splits[
            "validation"]["vision"]}
        for fold in range(5)
    ]  # fmt: skip
    assert len(set.union(*sources)) == sum(map(len, sources)) == 50


def test_refusals_say_what_to_do(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tonic.datasets.NMNIST\(save_to="):
        load_data(configured("nmnist", tmp_path).data)
    with pytest.raises(ConfigError, match=r"data.root must be set for data.vision.name=NMNIST"):
        load_data(load_config("nmnist").data)
    with pytest.raises(DataError, match=r"must mean the same.*digits=True"):
        load_data(configured("nmnist_shd", root, "data.audio.digits=false").data)
    with pytest.raises(
        ConfigError, match=r"models must be of \['snn', 'dense', 'snn_vision'\] with vision"
    ):
        configured("nmnist", root, "models=snn,snn_late")
    with pytest.raises(ConfigError, match=r"data.vision.name must be one of"):
        configured("nmnist", root, "data.vision.name=MNIST")
    with pytest.raises(ConfigError, match="at most 34 and 34, got 64 and 34"):
        load_data(configured("nmnist", root, "data.vision.width=64").data)
    with pytest.raises(ConfigError, match=r"data.audio.digits must be false but for"):
        configured("nmnist_wav", root, "data.audio.digits=true")
    with pytest.raises(ConfigError, match=r'must be "sets" to use data.vision'):
        load_config("demo", ["data.vision.name=NMNIST"])
    for recipe, override, message in (
        ("nmnist_shd", "data.test_root=x", 'data.test_root must be empty with data.source "sets"'),
        ("nmnist_shd", "data.test_speaker=ann", "must be empty unless data.audio.name is"),
        ("dvslip_audio", "train.partners=2", "train.partners must be 1"),
        ("nmnist", "data.pairing=assigned", 'data.pairing must be "label" with vision alone'),
    ):
        with pytest.raises(ConfigError, match=message):
            configured(recipe, root, override)
    with pytest.raises(ConfigError, match="must be of two data sets"):
        load_data(configured("nmnist_wav", root, "data.pairing=assigned").data)
