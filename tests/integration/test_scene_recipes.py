"""Recipes of timed scenes, end to end at tiny size: from training to stress."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from experiments.config import load_config, recipe_names, recipe_text
from experiments.run import run_experiment

SCENES = [name for name in recipe_names() if name.startswith("scene_")]
TINY = [
    "data.scene.n_train=10",
    "data.scene.n_validation=6",
    "data.scene.n_test=8",
    "train.epochs=1",
    "train.dense_epochs=1",
    "train.threads=1",
    "model.fusion_hidden=4",
    "model.vision.hidden=4",
    "model.audio.hidden=4",
    "data.dt_ms=24.0",
    "model.vision.delays_ms=[0.0, 48.0]",
    "model.audio.delays_ms=[0.0]",
    "cost.frame_vision_ms=48.0",
    "cost.frame_audio_ms=48.0",
    "cost.latency_repeats=3",
    'cost.profiles=["horowitz_45nm_fp32"]',
]


class Silent:
    def stage(self, text: str) -> None: ...

    def progress(self, done: int, total: int, text: str) -> None: ...


def spikefuse(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["spikefuse", *arguments])
    main()


def settings(*more: str) -> list[str]:
    return [part for o in (*TINY, *more) for part in ("--set", o)]


def test_every_scene_of_the_list_has_a_recipe() -> None:
    assert [*(f"scene_s{k}" for k in range(1, 7)), "scene_xor"] == SCENES


@pytest.mark.parametrize("recipe", SCENES)
def test_a_scene_is_trained_and_says_what_could_be_known(recipe: str, tmp_path: Path) -> None:
    result = run_experiment(load_config(recipe, TINY), tmp_path / "run", Silent())
    assert set(result["models"]) == {"snn", "dense", "snn_vision", "snn_audio"}
    assert result["data"]["scene"] == recipe.removeprefix("scene_")
    assert result["data"]["ideal"]["n"] == result["data"]["n_test"] == 8
    assert 0 < result["data"]["ideal"]["interval"][0] < result["data"]["ideal"]["interval"][1]
    for model in result["models"].values():
        energy = model["energy"]["horowitz_45nm_fp32"]
        assert energy["dynamic_pj"] > 0
        assert not energy["breakdown"].get("sensors_pj")
        assert not any("cochlea" in path for path in model["counts"]["by_path"])
    truth = json.loads((tmp_path / "run" / "manifest.json").read_text())["truth"]
    assert len(truth["test"]) == 8


@pytest.mark.slow
def test_commands_on_a_rendered_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPIKEFUSE_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    sensors = ("data.scene.level=sensor", 'models=["snn", "dense"]', "cost.vision_sensor=dvs128",
               "cost.audio_sensor=mems_mic_mp34dt05")  # fmt: skip
    spikefuse(monkeypatch, "train", "--config", "scene_s1", *settings(*sensors), "--out", str(run))
    assert "ideal observer" in capsys.readouterr().out
    first: dict[str, Any] = json.loads((run / "result.json").read_text())
    assert (run / "report.html").is_file()
    assert "frontend.audio.cochlea" in first["models"]["snn"]["counts"]["by_path"]
    assert first["models"]["snn"]["energy"]["horowitz_45nm_fp32"]["with_sensors_pj"] > 0

    spikefuse(monkeypatch, "evaluate", str(run))
    spikefuse(monkeypatch, "train", "--resume", str(run))
    again = json.loads((run / "result.json").read_text())
    assert again["models"]["snn"]["accuracy_by_seed"] == first["models"]["snn"]["accuracy_by_seed"]
    assert again["data"] == first["data"]

    spikefuse(monkeypatch, "compare", str(run), "--json", str(tmp_path / "compare.json"))
    assert json.loads((tmp_path / "compare.json").read_text())

    page = tmp_path / "page.md"
    page.write_text("<!-- recipes -->\n<!-- /recipes -->\n<!-- recipe scenes -->\n"
                    "<!-- /recipe scenes -->\n")  # fmt: skip
    spikefuse(monkeypatch, "recipes", "--run", str(run), "--document", str(page))
    text = page.read_text()
    assert f"{first['data']['ideal']['accuracy']:.3f} [" in text
    assert f"{first['models']['snn']['accuracy']:.3f} [" in text


def test_a_scene_is_stressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    config = load_config("scene_s1", [*TINY, 'models=["snn", "dense"]'])
    run_experiment(config, run, Silent())
    spikefuse(monkeypatch, "stress", str(run), "--only", "misalignment")
    found = json.loads((run / "stress.json").read_text())
    assert set(found["models"]) == {"snn", "dense"}


def test_a_sweep_takes_its_axis_from_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axis = 'over=["model.fusion=concat,late"]'
    text = recipe_text("operators")
    start, end = text.index("over = ["), text.index("]\n", text.index("over = [")) + 2
    recipe = tmp_path / "two.toml"
    recipe.write_text(text[:start] + axis + "\n" + text[end:])
    out = tmp_path / "sweep"
    spikefuse(monkeypatch, "sweep", "--config", str(recipe), *settings("seeds=[0]"), "--out",
              str(out))  # fmt: skip
    points = json.loads((out / "sweep.json").read_text())["points"]
    assert [p["values"]["model.fusion"] for p in points] == ["concat", "late"]
    assert (out / "sweep.csv").read_text().count("late") == 1

    page = tmp_path / "page.md"
    marks = [f"<!-- {slash}recipe{name} -->" for name in ("s", " operators") for slash in ("", "/")]
    page.write_text("\n".join(marks) + "\n")
    spikefuse(monkeypatch, "recipes", "--sweep", str(out), "--document", str(page))
    assert "| `late` |" in page.read_text()
