"""A network of one's own beside the models of a run: result, compare, stress."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny_run import tiny

from analysis.records import load_run
from experiments.evaluation.compare import compare_runs
from experiments.evaluation.foreign import add_foreign
from experiments.run import Silent, run_experiment
from experiments.stress.suite import run_stress
from experiments.training.foreign import Foreign
from spikefuse.errors import ConfigError

MODULE = """
import snntorch
from torch import nn

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.vision = nn.Linear(34 * 34 * 2, 12, bias=False)
        self.audio = nn.Linear(64, 12, bias=False)
        self.neurons = snntorch.Leaky(beta=0.9, init_hidden=True)
        self.out = nn.Linear(12, 10, bias=False)

    def forward(self, vision, audio):
        current = self.vision(vision.flatten(1)) + self.audio(audio.flatten(1))
        return self.out(self.neurons(current))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 12), nn.Linear(12, 10)

    def forward(self, vision, audio):
        return self.out(self.hidden(audio.flatten(2)).relu())
"""
LOIHI = "loihi1_davies2018"
NET = Foreign("two_of_mine:Two", name="mine", loop=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny(
        "models=snn,dense", "train.epochs=1", "train.dense_epochs=1", "cost.latency_repeats=3"
    )
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_experiment(config, folder, Silent())
    return folder


@pytest.fixture(autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("own")
    (folder / "two_of_mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)


def missing_in(found: dict[str, Any], expected: dict[str, Any], at: str = "") -> list[str]:
    """What an entry lacks of another, but for names of layers and a chip that cannot hold it."""
    lacks: list[str] = []
    for key, value in expected.items():
        if key not in found:
            lacks.append(f"{at}/{key}")
        elif isinstance(value, dict) and key not in ("by_path", "exact", "exact_at", LOIHI):
            lacks += missing_in(found[key], value, f"{at}/{key}")
    return lacks


def digest(folder: Path) -> dict[str, str]:
    """What every file of a folder holds."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_plain_network_of_every_step_is_priced_or_says_why_not(run: Path, tmp_path: Path) -> None:
    net = Foreign("two_of_mine:Plain", name="plain")
    out = add_foreign(run, net, Silent(), tmp_path / "out", False, [])
    plain = load_run(out).result["models"]["plain"]
    assert plain["energy"]["horowitz_45nm_fp32"]["dynamic_pj"] > 0
    reasons = {entry["reason"] for entry in plain["energy"]["loihi1_davies2018"]["alternatives"]}
    assert any("without neurons" in reason for reason in reasons if reason)


def test_it_is_one_more_row_and_the_run_stays_as_it_was(run: Path, tmp_path: Path) -> None:
    before = digest(run)
    out = add_foreign(run, NET, Silent(), tmp_path / "out", True, ["train.epochs=2"])
    assert digest(run) == before
    record = load_run(out)
    mine = record.result["models"]["mine"]
    assert mine["kind"] == "spiking"
    assert mine["counts"]["total"]["neuron_updates_active"] > 0
    assert mine["energy"]["horowitz_45nm_fp32"]["dynamic_pj"] > 0
    assert mine["params"] == (34 * 34 * 2 + 64 + 10) * 12
    theirs = json.loads((run / "result.json").read_text())["models"]
    assert record.result["models"]["snn"] == theirs["snn"]
    assert missing_in(mine, theirs["snn"]) == []
    assert mine["accuracy_by_precision"]["int8"]["accuracy"] is not None
    for profile, estimate in mine["energy"].items():
        over_time = mine["anytime"]["energy"][profile]["dynamic_pj"]
        if estimate["dynamic_pj"] is None:
            assert mine["anytime"]["energy"][profile]["reason"] == estimate["reason"]
        else:
            assert over_time[-1] == pytest.approx(estimate["dynamic_pj"])
    on_chip = mine["latency"]["by_profile"][LOIHI]
    assert on_chip["mean_ms"] is None
    assert "out drives no neurons" in on_chip["reasons"]["compute"]
    assert record.predictions is not None
    rows = record.predictions["model"] == "mine"
    right = (record.predictions["prediction"] == record.predictions["label"])[rows]
    assert right.mean() == pytest.approx(mine["accuracy"])
    assert record.scores is not None
    assert "test.mine.seed0" in record.scores
    compared = compare_runs([out], Console(quiet=True))
    assert "mine" in [row["second"] for row in compared["differences"]]
    again = add_foreign(run, NET, Silent(), tmp_path / "out", True, ["train.epochs=2"])
    assert load_run(again).result["models"]["mine"]["accuracy"] == mine["accuracy"]


def test_one_that_is_not_trained_here_says_that_its_seeds_are_one(
    run: Path, tmp_path: Path
) -> None:
    out = add_foreign(run, NET, Silent(), tmp_path / "out")
    mine = load_run(out).result["models"]["mine"]
    assert "the same for every seed" in mine["own_network"]["note"]


def test_it_is_stressed_beside_the_models(run: Path) -> None:
    found = run_stress(run, Silent(), ["snn"], ["missing"], limit=6, own=NET)
    assert set(found["models"]) == {"snn", "mine"}
    assert "mine" in found["conditions"]["clean"]["models"]


@pytest.mark.parametrize(
    ("train", "overrides", "message"),
    [
        (False, ["train.epochs=2"], "--set must go with --train"),
        (True, ["data.dt_ms=1.0"], r"--set must be of train\.\*, got 'data.dt_ms=1.0'"),
    ],
)
def test_settings_that_do_not_train_it_are_refused(
    train: bool, overrides: list[str], message: str, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        add_foreign(run, NET, Silent(), tmp_path / "out", train, overrides)
    assert not (tmp_path / "out").exists()


def test_another_folder_and_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="--out must be a new or empty folder"):
        add_foreign(run, NET, Silent(), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"RUN must be a finished run directory"):
        add_foreign(tmp_path, NET, Silent(), tmp_path / "new")
