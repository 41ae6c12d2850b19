"""``spikefuse stress`` end to end on a small run of two seeds."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import spikefuse

from experiments.stress.conditions import FAMILIES
from tests.tiny_run import TINY

MORE = (
    "train.epochs=1",
    "train.dense_epochs=1",
    "cost.latency_repeats=3",
    "seeds=0,1",
    "models=snn,dense,snn_audio",
)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "SPIKEFUSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stress") / "run"
    settings = [word for setting in (*TINY, *MORE) for word in ("--set", setting)]
    assert spikefuse("train", "--config", "demo", "--out", folder, *settings) == 0
    return folder


@pytest.fixture(scope="module")
def stressed(run: Path) -> dict:
    path = run.parent / "stress.json"
    assert spikefuse("stress", run, "--limit", 8, "--json", path) == 0
    assert json.loads((run / "stress.json").read_text()) == json.loads(path.read_text())
    return json.loads(path.read_text())


def test_every_measure_of_every_model_is_there(stressed: dict) -> None:
    assert stressed["n_pairs"] == 8
    assert stressed["seeds"] == [0, 1]
    for model in ("snn", "dense"):
        assert list(stressed["measures"][model]) == list(FAMILIES)
    assert set(stressed["measures"]["snn_audio"]) == {"noise"}
    assert stressed["measures"]["snn"]["noise"]["audio"]["sound"]["snr_db"][0] is None


def test_clean_accuracy_is_the_mean_over_seeds_and_every_condition_has_its_cost(
    stressed: dict,
) -> None:
    clean = stressed["conditions"]["clean"]["models"]["snn"]
    assert len(clean["accuracy_by_seed"]) == 2
    mean = sum(clean["accuracy_by_seed"]) / 2
    assert clean["accuracy"]["value"] == pytest.approx(mean)
    for condition in stressed["conditions"].values():
        for entry in condition["models"].values():
            assert entry["evidence_p50_ms"] > 0
            assert entry["energy"]["horowitz_45nm_fp32"]


def test_a_family_and_a_model_can_be_chosen(run: Path, stressed: dict, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    before = (run / "stress.json").read_text()
    words = ("--models", "snn", "--only", "missing", "--limit", 8, "--json", path)
    assert spikefuse("stress", run, *words) == 0
    found = json.loads(path.read_text())
    assert list(found["measures"]) == ["snn"]
    absent = found["measures"]["snn"]["missing"]["audio"]["accuracy"]
    assert absent["value"] == stressed["measures"]["snn"]["missing"]["audio"]["accuracy"]["value"]
    (run / "stress.json").write_text(before)


def test_the_report_and_stored_tables_show_the_suite(
    run: Path, stressed: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- stress -->\n<!-- /stress -->\n")
    assert spikefuse("stress", run, "--stored", "--document", page) == 0
    text = page.read_text()
    assert "**Multisensory gain**" in text
    assert "| sound | -10 dB |" in text
    assert (run / "figures" / "stress_noise.png").is_file()
    assert "8 test pairs, 2 seed(s)" in capsys.readouterr().out
